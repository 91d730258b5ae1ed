//! A pool that is stopped while other threads give it futures.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use pool_api::StartMethod;

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_beside_stops", beside_stops),
    Case::new("futures_without_end_beside_stops", without_end),
];

fn beside_stops(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    for round in 0..20u64 {
        let ones: Vec<_> =
            (0..5 * round).map(|x| pool.apply_async(x, |x| x)).collect::<Result<_, _>>()?;
        let map = pool.map_async(0..50 * round, |x| x)?;
        let values = thread::scope(|scope| {
            // This future goes to the next life of the pool while the first one is drained.
            let beside = scope.spawn(|| {
                let one = pool.apply_async(round, |x| x).expect("a pool that works");
                assert_eq!(one.get().expect("a value"), round);
                pool.map_async(0..50u64, |x| x).expect("a pool that works").get()
            });
            pool.stop_and_join()?;
            beside.join().expect("no panic")
        })?;
        assert_eq!(values.len(), 50);
        assert_eq!(map.get()?.len() as u64, 50 * round);
        assert_eq!(ones.into_iter().filter_map(|one| one.get().ok()).count() as u64, 5 * round);
    }
    Ok(())
}

/// A thread that hands in futures all the time does not hold a stop up, and loses none of them.
fn without_end(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let restless = scope.spawn(|| {
            let mut handed = 0u64;
            while !over.load(Ordering::Relaxed) {
                let one = pool.apply_async(handed, |x| x).expect("a pool that works");
                if handed.is_multiple_of(3) {
                    assert_eq!(one.get().expect("a value"), handed);
                }
                handed += 1;
            }
        });
        let stopped = (0..10).try_for_each(|_| pool.stop_and_join());
        over.store(true, Ordering::Relaxed);
        restless.join().expect("no panic");
        stopped
    })?;
    assert_eq!(pool.apply(1u8, |x| x)?, 1);
    Ok(())
}
