//! Closures that capture, where a function is asked for. The compiler shows the line of the method.

use pool_api::WorkerPool;

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    let factor = 3u64;
    pool.map(0..100u64, |x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `tasks(items).with(data)`
    let _ = pool.imap(0..100u64, |x| x * factor);
    //~ message: mismatched types
    //~ note: no captures in `f`: `tasks(items).with(data)`
    pool.tasks(0..100u64).chunk_size(10).map(|x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `tasks(items).with(data)`
    pool.tasks(0..100u64).map_async(|x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `tasks(items).with(data)`
    pool.apply(7u64, |x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: put them into the item
    pool.task(7u64).retry(2).apply_async(|x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: put them into the item
    Ok(())
}
