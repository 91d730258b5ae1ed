//! A kitchen: cooks in worker processes share a pantry, an order book and a stove at a server.
//!
//! The pantry is a dictionary, the orders are a queue, the one stove is a lock, and the till is an
//! own type. One cook drops dead at the stove; the next one is told, and cleans it first.

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use pool_api::{
    WorkerPool,
    managers::{DictProxy, Error, LockError, LockProxy, Manager, QueueProxy, manager},
    wire,
};

manager! {
    /// Counts the takings.
    pub trait Till => TillProxy {
        /// Takes so many pence, and says how many there are.
        fn take(&self, pence: u64) -> u64;
    }
}

impl Till for AtomicU64 {
    fn take(&self, pence: u64) -> u64 {
        self.fetch_add(pence, Ordering::SeqCst) + pence
    }
}

wire! {
    /// What all cooks work with. Proxies cross as parts of other values.
    struct Kitchen {
        pantry: DictProxy<String, u64>,
        orders: QueueProxy<String>,
        stove: LockProxy,
        till: TillProxy,
    }
}

/// Cooks until there are no orders left; returns how often the stove had to be cleaned.
fn cook(kitchen: &Kitchen, cook: u64) -> u64 {
    let mut cleaned = 0;
    while let Ok(dish) = kitchen.orders.try_get() {
        let guard = kitchen.stove.lock();
        if dish == "fugu" {
            println!("cook {cook} tastes the fugu");
            process::abort();
        }
        let guard = match guard {
            Err(LockError::HolderDied(guard)) => {
                cleaned += 1;
                Ok(guard)
            }
            guard => guard,
        };
        let _guard = guard.expect("the server is there");
        let price = kitchen.pantry.get(&dish).expect("the server is there").unwrap_or(0);
        kitchen.till.take(price).expect("the server is there");
    }
    cleaned
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder().start_with(|server| {
        server.register::<TillProxy, ()>(|()| Box::new(AtomicU64::new(0))).serve();
    })?;
    let pantry = manager.dict()?;
    pantry.update([("tea".into(), 90), ("cake".into(), 250), ("fugu".into(), 9000)])?;
    let orders = manager.queue(0)?;
    for dish in ["tea", "cake", "fugu", "cake", "tea"] {
        orders.put(&dish.to_string())?;
    }
    let kitchen = Kitchen { pantry, orders, stove: manager.lock()?, till: manager.create(())? };
    let till = kitchen.till.clone();

    let pool = WorkerPool::new(1)?;
    let results = pool.tasks(0..3u64).with(kitchen).chunk_size(1).map_results(cook)?;
    let lost = results.iter().filter(|result| result.is_err()).count();
    let cleaned: u64 = results.iter().flatten().sum();
    println!("{lost} cook was lost, the stove was cleaned {cleaned} time");
    assert_eq!((lost, cleaned), (1, 1));

    let takings = till.take(0)?;
    println!("{takings} pence in the till");
    assert_eq!(takings, 2 * 90 + 2 * 250);

    // The till is gone with the server.
    manager.shutdown()?;
    assert!(matches!(till.take(1), Err(Error::Disconnected | Error::Connect { .. })));
    Ok(())
}
