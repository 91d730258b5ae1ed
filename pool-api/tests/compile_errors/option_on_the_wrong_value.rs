//! Options where there are none of them, and values that an option cannot have.

use pool_api::WorkerPool;

fn main() -> Result<(), pool_api::Error> {
    let pool = WorkerPool::new(2)?;
    pool.chunk_size(100).map(0..1000u64, |x| x + 1)?;
    //~ message: `WorkerPool` does not have the steps and options of a call
    //~ label: this belongs behind `tasks(items)`, `task(item)`, `slices(&array, n)` or `workers()`
    //~ note: steps and options of a call come right behind its input: `pool.tasks(items).with_worker().chunk_size(100).map(f)`
    let pool = WorkerPool::new(2)?;
    pool.task(7u64).chunk_size(100).apply(|x| x + 1)?;
    //~ message: this call has no chunks
    //~ label: this option belongs to `tasks(items)`, `slices(&array, n)` and `slices_mut`
    let array = pool_api::SharedArray::<u8>::new(9)?;
    pool.slices(&array, 3).iterable_len(2).map(|_, slice| slice.len())?;
    //~ message: this call has no input iterator to cut
    //~ label: this option belongs to `tasks(items)`
    pool.workers().on_worker(1).broadcast(|w| w.id())?;
    //~ message: this call runs on every worker
    //~ label: this option belongs to `tasks(items)`, `slices(&array, n)` and `task(item)`
    let pool = WorkerPool::new(2)?;
    pool.with_worker().map(0..9u64, |x| x + 1)?;
    //~ message: `WorkerPool` does not have the steps and options of a call
    //~ label: this belongs behind `tasks(items)`, `task(item)`, `slices(&array, n)` or `workers()`
    //~ note: steps and options of a call come right behind its input: `pool.tasks(items).with_worker().chunk_size(100).map(f)`
    WorkerPool::builder().retry(3).build()?;
    //~ message: Builder` does not have the steps and options of a call
    //~ label: this belongs behind `tasks(items)`, `task(item)`, `slices(&array, n)` or `workers()`
    //~ note: steps and options of a call come right behind its input: `pool.tasks(items).with_worker().chunk_size(100).map(f)`
    pool.tasks(0..9u64).chunk_size(100u64).map(|x| x + 1)?;
    //~ message: `u64` is no number of items for a chunk
    //~ label: neither `usize` nor `f64`
    //~ note: `chunk_size` takes a `usize`, or an `f64` whose fraction is carried over from chunk to chunk
    WorkerPool::builder().cpu_ids("0-3").build()?;
    //~ message: `&str` does not say which CPUs the workers run on
    //~ label: none of the forms that `cpu_ids` takes
    //~ note: `cpu_ids` takes ids that are `usize` (`[0]`, `[2, 3]`, `40..60`), lists of sets of them
    Ok(())
}
