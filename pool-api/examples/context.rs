//! Own types, and data that all tasks of one call need.
//!
//! A task is a function or a closure without captures. What it would capture travels beside the
//! items: encoded once, decoded once per worker.

use std::collections::HashMap;

use pool_api::{Error, WorkerPool, wire};

wire! {
    struct Order {
        product: String,
        count: u32,
    }
}

fn price(prices: &HashMap<String, u32>, order: Order) -> Option<u32> {
    Some(prices.get(&order.product)? * order.count)
}

fn main() -> Result<(), Error> {
    let prices = HashMap::from([("tea".to_owned(), 4), ("cake".to_owned(), 3)]);
    let orders = [("tea", 2), ("cake", 5), ("soup", 1)]
        .map(|(product, count)| Order { product: product.to_owned(), count });

    let pool = WorkerPool::new(2)?;
    let sums = pool.tasks(orders).with(prices).map(price)?;
    assert_eq!(sums, [Some(8), Some(15), None]);
    println!("{sums:?}");
    Ok(())
}
