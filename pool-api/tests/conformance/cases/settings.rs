//! Settings between two calls.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use pool_api::{Cause, Error, SharedMutex, SharedValue, StartMethod, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool},
    scratch::wait_until,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("set_keep_alive_between_calls", keep_alive),
    Case::new("set_worker_lifespan_between_calls", lifespan),
    Case::new("set_task_timeout_between_calls", task_timeout),
    Case::new("set_timeouts_of_init_and_exit", timeouts_of_lives),
    Case::new("set_what_needs_fresh_workers_ends_the_old_in_order", ends_in_order),
    Case::new("set_beside_an_unfinished_iterator", beside_an_iterator),
    Case::new("set_in_a_call_leaves_its_workers_an_exit", exits_of_a_call),
    Case::new("set_beside_futures", beside_futures),
    Case::new("set_shared_after_futures_keeps_no_old_worker", after_futures).processes(),
    Case::new("set_what_means_nothing_is_refused", refused),
    Case::new("set_in_a_task_of_the_pool_is_refused", in_a_task).threads(),
    Case::new("snapshot_is_refreshed", snapshot).only_fork(),
    Case::new("snapshot_stays_when_the_process_cannot_be_forked", snapshot_refused).only_fork(),
    Case::new("snapshot_is_refreshed_beside_an_iterator", snapshot_beside).only_fork(),
    Case::new("snapshot_of_other_methods_is_refused", no_snapshot),
];

/// A pool whose workers count their tasks, and return the count at their exit.
fn counting(method: StartMethod, n: usize) -> pool_api::Result<WorkerPool<(), u64, u64>> {
    builder(method, n).worker_init(|_| 0u64).worker_exit(|w| *w.state).build()
}

fn count<S: Send + Sync + 'static, E>(
    pool: &WorkerPool<S, u64, E>,
    tasks: u64,
) -> pool_api::Result<Vec<u64>> {
    pool.tasks(0..tasks).chunk_size(1).with_worker().map(|w, _| {
        *w.state += 1;
        *w.state
    })
}

fn keep_alive(method: StartMethod) -> Outcome {
    let pool = counting(method, 1)?;
    assert_eq!(count(&pool, 3)?, [1, 2, 3]);
    pool.set_keep_alive(false)?;
    for _ in 0..2 {
        assert_eq!(count(&pool, 2)?, [1, 2], "of a fresh worker");
        assert_eq!(pool.exit_results(), [2]);
    }
    pool.set_keep_alive(true)?;
    assert_eq!(count(&pool, 2)?, [1, 2]);
    assert_eq!(count(&pool, 2)?, [3, 4]);
    assert!(pool.exit_results().is_empty());
    Ok(())
}

fn lifespan(method: StartMethod) -> Outcome {
    let pool = counting(method, 2)?;
    count(&pool, 10)?;
    pool.set_worker_lifespan(1)?;
    assert_eq!(count(&pool, 10)?, [1; 10]);
    assert_eq!(pool.exit_results(), [1; 10]);
    pool.set_worker_lifespan(2)?;
    count(&pool, 10)?;
    // Of ten tasks each of two workers may have one left over.
    assert!([vec![2; 4], vec![2; 5]].contains(&pool.exit_results()));
    pool.set_worker_lifespan(None)?;
    count(&pool, 40)?;
    assert!(pool.exit_results().is_empty());
    Ok(())
}

fn task_timeout(method: StartMethod) -> Outcome {
    let (limit, pool) = (Duration::from_millis(80), pool(method, 1)?);
    let nap = |millis| {
        thread::sleep(Duration::from_millis(millis));
        millis
    };
    assert_eq!(pool.map([160], nap)?, [160]);
    assert_eq!(pool.apply_async(160, nap)?.get()?, 160);
    pool.set_task_timeout(limit)?;
    for failed in [
        pool.map([400], nap).map(drop),
        pool.apply(400, nap).map(drop),
        pool.apply_async(400, nap)?.get().map(drop),
    ] {
        let Err(Error::Task(task)) = failed else { panic!("{failed:?}") };
        assert_eq!(*task.cause(), Cause::Timeout { limit });
    }
    pool.set_task_timeout(None)?;
    assert_eq!(pool.apply_async(160, nap)?.get()?, 160);
    assert_eq!(pool.map([160], nap)?, [160]);
    Ok(())
}

fn timeouts_of_lives(method: StartMethod) -> Outcome {
    let (limit, naps) = (Duration::from_millis(80), SharedValue::new(0u64)?);
    let pool = builder(method, 1)
        .shared(naps.clone())
        .worker_init(|w| thread::sleep(Duration::from_millis(w.shared.get())))
        .worker_exit(|w| thread::sleep(Duration::from_millis(w.shared.get())))
        .build()?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    pool.set_worker_init_timeout(limit)?;
    naps.set(300);
    let failed = pool.map([1u8], |x| x);
    assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
    pool.set_worker_init_timeout(None)?;
    naps.set(0);
    pool.set_worker_exit_timeout(limit)?;
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    naps.set(300);
    // The setting holds although an old worker fails at its end.
    let failed = pool.set_worker_lifespan(7);
    assert!(matches!(failed, Err(Error::WorkerExitFailed { worker: 0, .. })), "{failed:?}");
    naps.set(0);
    assert_eq!(pool.tasks(0..14u8).chunk_size(1).map(|x| x)?.len(), 14);
    assert_eq!(pool.exit_results().len(), 2);
    Ok(())
}

fn ends_in_order(method: StartMethod) -> Outcome {
    let pool = counting(method, 2)?;
    count(&pool, 9)?;
    pool.set_worker_lifespan(100)?;
    assert_eq!(pool.exit_results().iter().sum::<u64>(), 9);
    count(&pool, 4)?;
    assert!(pool.exit_results().is_empty(), "workers have started anew");
    // Setting the present value changes nothing.
    let before = pool.worker_pids();
    pool.set_worker_lifespan(100)?;
    pool.set_worker_exit_timeout(None)?;
    assert_eq!(pool.worker_pids(), before);
    assert!(pool.exit_results().is_empty());
    pool.stop_and_join()?;
    assert_eq!(pool.exit_results().iter().sum::<u64>(), 4);
    Ok(())
}

fn beside_an_iterator(method: StartMethod) -> Outcome {
    let pool = counting(method, 1)?;
    let mut lazy = pool.tasks(0..50u64).chunk_size(1).with_worker().imap(|w, _| {
        *w.state += 1;
        *w.state
    });
    assert_eq!(lazy.next().transpose()?, Some(1));
    pool.set_worker_lifespan(3)?;
    assert_eq!(count(&pool, 6)?, [1, 2, 3, 1, 2, 3], "of fresh workers");
    let rest = lazy.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(rest, (2..=50).collect::<Vec<u64>>(), "of the one that it began with");
    Ok(())
}

/// The old workers end in order with their last call.
fn exits_of_a_call(method: StartMethod) -> Outcome {
    let pool = counting(method, 2)?;
    for limit in [30, 40] {
        let mut lazy = pool.tasks(0..6u32).chunk_size(1).with_worker().imap(|w, _| *w.state += 1);
        lazy.next().transpose()?;
        pool.set_worker_exit_timeout(Duration::from_secs(limit))?;
        assert!(pool.exit_results().is_empty(), "they have a call");
        assert_eq!(lazy.collect::<Result<Vec<()>, _>>()?.len(), 5);
        assert_eq!(pool.exit_results().iter().sum::<u64>(), 6);
        pool.map(0..2u32, |x| x)?;
        pool.stop_and_join()?;
    }
    Ok(())
}

fn beside_futures(method: StartMethod) -> Outcome {
    let pool = counting(method, 2)?;
    let handles = (0..40u64).map(|n| {
        pool.apply_async(n, |n| {
            thread::sleep(Duration::from_millis(1));
            n
        })
    });
    let handles = handles.collect::<Result<Vec<_>, _>>()?;
    pool.set_worker_lifespan(1)?;
    let more = (40..60u64).map(|n| pool.apply_async(n, |n| n)).collect::<Result<Vec<_>, _>>()?;
    for (n, handle) in (0..).zip(handles.into_iter().chain(more)) {
        assert_eq!(handle.get()?, n);
    }
    Ok(())
}

fn after_futures(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(1u64).build()?;
    assert_eq!(pool.apply_async(3u64, |n| n)?.get()?, 3);
    let old = pool.worker_pids();
    assert!(!old.is_empty());
    pool.set_shared(2)?;
    let is_there = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    wait_until("the old workers are gone", || !old.iter().any(is_there));
    assert_eq!(pool.tasks(0..2u64).with_worker().map(|w, n| n + w.shared)?, [2, 3]);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (zero, tasks) = (Duration::ZERO, pool.set_worker_lifespan(0));
    for (refused, text) in [
        (tasks, "worker_lifespan must be at least 1, got 0"),
        (pool.set_task_timeout(zero), "task_timeout must be more than 0"),
        (pool.set_worker_init_timeout(zero), "worker_init_timeout must be more than 0"),
        (pool.set_worker_exit_timeout(zero), "worker_exit_timeout must be more than 0"),
    ] {
        let error = refused.expect_err("it means nothing");
        assert!(matches!(&error, Error::InvalidInput(why) if why == text), "{error}");
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn in_a_task(method: StartMethod) -> Outcome {
    static POOL: std::sync::OnceLock<WorkerPool> = std::sync::OnceLock::new();
    let pool = POOL.get_or_init(|| pool(method, 2).expect("a pool"));
    let refused = pool.map([3u64], |n| {
        let pool = POOL.get().expect("it was made");
        matches!(pool.set_worker_lifespan(n), Err(Error::NestedUse))
    })?;
    assert_eq!(refused, [true]);
    pool.stop_and_join()?;
    Ok(())
}

static RATE: AtomicU64 = AtomicU64::new(1);

fn scaled(x: u64) -> u64 {
    x * RATE.load(Relaxed)
}

fn snapshot(method: StartMethod) -> Outcome {
    RATE.store(1, Relaxed);
    let pool = builder(method, 2).worker_exit(|w| w.id()).build()?;
    for rate in [3, 4] {
        let before = RATE.swap(rate, Relaxed);
        assert_eq!(pool.map([10, 20], scaled)?, [10 * before, 20 * before], "as it was");
        pool.refresh_snapshot()?;
        assert!(!pool.exit_results().is_empty(), "the old ones had their ends");
        assert!(pool.worker_pids().is_empty());
        assert_eq!(pool.map([10, 20], scaled)?, [10 * rate, 20 * rate]);
    }
    // Before any call, and twice.
    let pool = builder(method, 2).build()?;
    RATE.store(5, Relaxed);
    pool.refresh_snapshot()?;
    pool.refresh_snapshot()?;
    assert_eq!(pool.map([10], scaled)?, [50]);
    Ok(())
}

fn snapshot_refused(method: StartMethod) -> Outcome {
    RATE.store(1, Relaxed);
    let pool = builder(method, 1).worker_init(|_| 0u64).build()?;
    assert_eq!(count(&pool, 2)?, [1, 2]);
    RATE.store(2, Relaxed);
    let threads = thread::scope(|scope| {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || wait.recv());
        let refused = pool.refresh_snapshot();
        drop(end);
        refused
    });
    assert!(matches!(threads, Err(Error::ForkWithThreads { threads: 2 })), "{threads:?}");
    let lock = SharedMutex::new(1u64)?;
    let guard = lock.lock().map_err(|error| error.give_up())?;
    let borrowed = pool.refresh_snapshot();
    assert!(matches!(borrowed, Err(Error::ForkWhileBorrowed)), "{borrowed:?}");
    drop(guard);
    assert_eq!(count(&pool, 2)?, [3, 4], "the same worker");
    assert_eq!(pool.map([10], scaled)?, [10], "of the old snapshot");
    Ok(())
}

fn snapshot_beside(method: StartMethod) -> Outcome {
    RATE.store(1, Relaxed);
    let pool = builder(method, 1).build()?;
    let mut lazy = pool.tasks(0..30u64).chunk_size(1).imap(scaled);
    assert_eq!(lazy.next().transpose()?, Some(0));
    RATE.store(2, Relaxed);
    pool.refresh_snapshot()?;
    assert_eq!(pool.map([10], scaled)?, [20]);
    let rest = lazy.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(rest, (1..30).collect::<Vec<u64>>(), "of the old snapshot");
    Ok(())
}

fn no_snapshot(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let refreshed = pool.refresh_snapshot();
    if method == StartMethod::Fork {
        return Ok(refreshed?);
    }
    assert!(matches!(&refreshed, Err(Error::NotSupported { method: m, .. }) if *m == method));
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}
