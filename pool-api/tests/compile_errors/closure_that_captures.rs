//! Closures that capture, where a function is asked for. The compiler shows the line of the method.

use pool_api::WorkerPool;

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
    //~ note: no captures in `f`: `task(item).with(data)`
    pool.task(7u64).retry(2).apply_async(|x| x * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `task(item).with(data)`
    let shared = pool_api::SharedArray::from_slice(&[1u64, 2, 3])?;
    pool.slices(&shared, 2).map(|_, slice| slice[0] * factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `slices(&array, n).with(data)`
    pool.workers().broadcast(|_| factor)?;
    //~ message: mismatched types
    //~ note: no captures in `f`: `workers().with(data)`
    Ok(())
}
