//! Futures of workers that do not live on, or do not start.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use pool_api::{Error, SharedValue, StartMethod, Starting};

use crate::{
    case::{Case, Outcome, builder, sized},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_without_keep_alive", without_keep_alive),
    Case::new("futures_beside_maps_without_keep_alive", beside_maps),
    Case::new("futures_beside_settings", beside_settings),
    Case::new("futures_after_an_init_that_failed", init_failed),
];

fn without_keep_alive(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).keep_alive(false).build()?;
    for round in 0..3u64 {
        assert_eq!(pool.map(0..50u64, |x| x)?.len(), 50);
        let one = pool.apply_async(round, |x| x)?;
        let map = pool.map_async(0..50 + round, |x| x)?;
        assert_eq!(pool.map(0..50u64, |x| x)?.len(), 50);
        let later = pool.apply_async(round, |x| x + 1)?;
        assert_eq!((one.get()?, later.get()?), (round, round + 1));
        assert_eq!(map.get()?.len() as u64, 50 + round);
    }
    pool.stop_and_join()?;
    assert_eq!(pool.map_async(0..50u64, |x| x)?.get()?.len(), 50);
    Ok(())
}

fn beside_maps(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).keep_alive(false).build()?;
    thread::scope(|scope| {
        let maps = scope.spawn(|| (0..10).try_for_each(|n| pool.map(0..100 * n, |x| x).map(drop)));
        for n in 0..20u64 {
            let map = pool.tasks(0..50 * n).chunk_size(3).map_async(|x| x)?;
            assert_eq!(pool.apply_async(n, |x| x)?.get()?, n);
            assert_eq!(map.get()?.len() as u64, 50 * n);
        }
        maps.join().expect("no panic")?;
        Ok(())
    })
}

/// Settings that end workers, or let a call end them, lose no future that is handed in meanwhile.
fn beside_settings(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).build()?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let settings = scope.spawn(|| -> pool_api::Result<()> {
            for n in 1.. {
                pool.set_keep_alive(false)?;
                pool.map(0..8u64, |x| x)?;
                pool.set_keep_alive(true)?;
                // Fork would need a process with one thread for that.
                if method != StartMethod::Fork {
                    pool.set_worker_lifespan(Some(1_000_000 + n))?;
                }
                if done.load(SeqCst) {
                    break;
                }
            }
            Ok(())
        });
        let futures = (0..sized(1_000, 300) as u64).try_for_each(|n| -> Outcome {
            assert_eq!(pool.apply_async(n, |x| x + 1)?.get()?, n + 1);
            assert_eq!(pool.map_async([n; 3], |x| x)?.get()?, [n; 3]);
            Ok(())
        });
        done.store(true, SeqCst);
        settings.join().expect("no panic")?;
        futures
    })
}

fn init_failed(method: StartMethod) -> Outcome {
    let ready = SharedValue::new(1u32)?;
    let init = |w: &Starting<'_, SharedValue<u32>>| assert!(w.shared.get() == 1, "not ready");
    let pool =
        builder(method, 1).shared(ready.clone()).worker_init(init).worker_lifespan(1).build()?;
    assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
    ready.set(0);
    let failed = pool.map_async(0..20u8, |x| x)?.get();
    assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
    let failed = pool.map(0..20u8, |x| x);
    assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
    ready.set(1);
    // A worker that is still failing could take a chunk of the next call.
    wait_until("those that have failed are gone", || pool.worker_pids().is_empty());
    assert_eq!(pool.map(0..20u8, |x| x)?.len(), 20);
    assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
    assert_eq!(pool.map_async(0..20u8, |x| x)?.get()?.len(), 20);
    Ok(())
}
