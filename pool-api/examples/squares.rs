//! The smallest program with a pool, and what it prints when a task goes wrong.

use pool_api::{Error, WorkerPool};

fn reciprocal(x: u32) -> u32 {
    assert!(x != 3, "I do not like {x}");
    1_000_000 / x
}

fn main() -> Result<(), Error> {
    let pool = WorkerPool::new(4)?;
    println!("{:?}", pool.map(0..10u64, |x| x * x)?);

    // An error ends a `map` ...
    println!("{}", pool.map(1..6u32, reciprocal).expect_err("item 2 panics"));
    // ... but neither the pool nor, if asked per item, the other items.
    for result in pool.tasks(1..6u32).map_results(reciprocal)? {
        match result {
            Ok(value) => println!("{value}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
