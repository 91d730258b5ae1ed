//! What all workers see: a table that is decoded once, a container that they write their results
//! to, and another table for the next calls.

use std::collections::HashMap;

use pool_api::{Error, WorkerPool};
use pool_shm::{SharedArray, SharedMutex};

fn main() -> Result<(), Error> {
    // Several objects are a tuple. Each task writes its own element, so the array needs no lock.
    let prices = HashMap::from([("tea".to_owned(), 4u32), ("cake".to_owned(), 3)]);
    let sums = SharedArray::<u64>::new(4)?;
    let busiest = SharedMutex::new(0u32)?;
    let pool =
        WorkerPool::builder().n_jobs(2).shared((prices, sums.clone(), busiest.clone())).build()?;

    let orders = [("tea", 2), ("cake", 5), ("soup", 1), ("tea", 7)];
    let orders = orders.map(|(product, count)| (product.to_owned(), count));
    let known =
        pool.tasks(orders.into_iter().enumerate()).with_worker().map(|w, (index, order)| {
            let (prices, sums, most) = w.shared;
            let (product, count): (String, u32) = order;
            let mut most = most.lock().expect("no holder died");
            *most = (*most).max(count);
            // A task may return something beside.
            prices.get(&product).map(|price| sums.set(index, u64::from(price * count))).is_some()
        })?;
    assert_eq!(known, [true, true, false, true]);
    assert_eq!(sums.to_vec(), [8, 15, 0, 28]);
    assert_eq!(*busiest.lock().expect("no holder died"), 7);

    // Another type: the same pool, with the same options and worker ids. A view is read in place.
    let pool = pool.with_shared_view(vec![String::from("a"), String::from("bcd")])?;
    let lens = pool.tasks(0..2usize).with_worker().map(|w, n| w.shared[n].len())?;
    pool.set_shared_view(vec![String::new(); 2])?;
    let empty = pool.tasks(0..2usize).with_worker().map(|w, n| w.shared[n].is_empty())?;
    println!("{sums:?} {lens:?} {empty:?}");
    Ok(())
}
