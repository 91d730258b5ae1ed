//! A worker that ends in order leaves its barriers and locks: nothing that others wait at is broken
//! by that, and nothing is lost.

use std::{mem, time::Duration};

use pool_api::{
    Error, SharedBarrier, SharedRwLock, SharedSemaphore, StartMethod, Worker, WorkerPool,
};

use crate::{
    case::{Case, Outcome, builder},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("barrier_of_workers_that_were_stopped", stopped),
    Case::new("barrier_of_workers_that_end_with_their_call", end_with_call),
    Case::new("barrier_of_workers_with_a_lifespan", lifespan),
    Case::new("barrier_of_workers_of_an_old_setting", settings),
    Case::new("barrier_of_scoped_workers", scoped),
    Case::new("barrier_of_scoped_workers_of_a_failed_call", scoped_failed),
    Case::new("barrier_of_workers_of_an_old_setting_in_a_call", settings_in_a_call),
    Case::new("barrier_of_idle_workers_that_were_killed", idle_ones_killed).processes(),
    Case::new("barrier_beside_workers_that_are_killed", others_killed).processes(),
    Case::new("barrier_of_busy_workers_that_were_killed", busy_ones_killed).processes(),
    Case::new("permits_and_places_of_ended_workers", permits).processes(),
];

/// Rounds in which all `n` workers of the pool meet; each item waits for the others.
fn meet(pool: &WorkerPool<SharedBarrier>, rounds: u32) -> Result<(), Error> {
    let waits = |w: &mut Worker<'_, SharedBarrier>, _: u32| w.shared.wait().is_ok();
    let items = rounds * pool.n_jobs() as u32;
    let met = pool.tasks(0..items).chunk_size(1).with_worker().map(waits)?;
    assert_eq!(met, vec![true; items as usize]);
    Ok(())
}

fn stopped(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(3)?;
    let pool = builder(method, 3).shared(barrier.clone()).build()?;
    for round in 0..4 {
        meet(&pool, 2)?;
        pool.stop_and_join()?;
        assert!(!barrier.is_broken(), "after stop {round}");
    }
    Ok(())
}

fn end_with_call(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).keep_alive(false).build()?;
    for _ in 0..5 {
        meet(&pool, 2)?;
    }
    pool.stop_and_join()?;
    assert!(!barrier.is_broken());
    Ok(())
}

fn lifespan(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).worker_lifespan(1).build()?;
    meet(&pool, 10)?;
    meet(&pool, 1)?;
    pool.stop_and_join()?;
    assert!(!barrier.is_broken());
    Ok(())
}

/// Workers that a setting replaces end in order, too.
fn settings(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).build()?;
    for lifespan in [100, 200, 300] {
        meet(&pool, 2)?;
        pool.set_worker_lifespan(lifespan)?;
    }
    meet(&pool, 1)?;
    pool.set_shared(barrier.clone())?;
    meet(&pool, 1)?;
    assert!(!barrier.is_broken());
    Ok(())
}

fn scoped(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        return Ok(());
    }
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).build()?;
    for _ in 0..3 {
        let met = pool.tasks(0..4u32).chunk_size(1).map_scoped(|_| barrier.wait().is_ok())?;
        assert_eq!(met, [true; 4]);
        assert!(!barrier.is_broken());
    }
    Ok(())
}

fn scoped_failed(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        return Ok(());
    }
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).build()?;
    let met = |items: u32| {
        let all = pool.tasks(0..items).chunk_size(1).map_scoped(|_| barrier.wait().is_ok());
        all.map(|met| assert_eq!(met, vec![true; items as usize]))
    };
    for _ in 0..3 {
        met(4)?;
        let failed = pool.tasks(0..6u32).chunk_size(1).map_scoped(|item| {
            assert!(item < 4, "too large");
        });
        assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
        assert!(!barrier.is_broken());
        met(2)?;
        // Processes of a failed call are killed at once, perhaps at items that have waited.
        let failed = pool.tasks(0..4u32).chunk_size(1).map_scoped(|item| {
            assert!(barrier.wait().is_err() || item < 2, "too large");
        });
        assert!(matches!(failed, Ok(_) | Err(Error::Task(_))), "{failed:?}");
        barrier.reset();
    }
    Ok(())
}

/// A setting comes while a call runs on the old workers, which end in order with that call.
fn settings_in_a_call(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).build()?;
    let waits = |w: &mut Worker<'_, SharedBarrier>, _: u32| w.shared.wait().is_ok();
    for lifespan in [100, 200, 300] {
        let mut lazy =
            pool.tasks(0..8u32).chunk_size(1).max_tasks_active(2).with_worker().imap(waits);
        assert_eq!(lazy.next().transpose()?, Some(true));
        pool.set_worker_lifespan(lifespan)?;
        assert_eq!(lazy.collect::<Result<Vec<_>, _>>()?, [true; 7]);
        assert!(!barrier.is_broken());
        // The new workers find the barrier as it was.
        meet(&pool, 2)?;
    }
    // The old workers end in order even where the call is left unfinished, once its items have
    // ended.
    let mut lazy = pool.tasks(0..2u32).chunk_size(1).max_tasks_active(2).with_worker().imap(waits);
    assert_eq!(lazy.next().transpose()?, Some(true));
    pool.set_worker_lifespan(400)?;
    drop(lazy);
    assert!(!barrier.is_broken());
    Ok(())
}

/// No lock misses a worker that has no task, however the worker ends.
fn idle_ones_killed(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    for _ in 0..4 {
        let pool = builder(method, 2).shared(barrier.clone()).build()?;
        meet(&pool, 2)?;
        pool.terminate()?;
        meet(&pool, 2)?;
        // One worker alone is killed by a signal.
        let pid = pool.worker_pids()[0];
        assert!(sys::kill(pid, sys::SIGKILL));
        wait_until("it is gone", || !pool.worker_pids().contains(&pid));
        meet(&pool, 2)?;
        drop(pool);
        assert!(!barrier.is_broken());
    }
    Ok(())
}

/// A barrier does not break when another worker is killed in a call that does not use it.
fn others_killed(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 3).shared(barrier.clone()).build()?;
    let waits = |w: &mut Worker<'_, SharedBarrier>, _: u32| w.shared.wait().is_ok();
    let both = || -> Result<(), Error> {
        let two = pool.tasks(0..2u32).chunk_size(1).order_tasks(true);
        assert_eq!(two.with_worker().map(waits)?, [true; 2]);
        Ok(())
    };
    both()?;
    let ends = |_: &mut Worker<'_, SharedBarrier>, (): ()| std::process::abort();
    let ended: Result<(), _> = pool.task(()).on_worker(2).with_worker().apply(ends);
    assert!(matches!(ended, Err(Error::Task(_))), "{ended:?}");
    both()?;
    let over = pool.tasks([()]).on_worker(2).task_timeout(Duration::from_millis(20));
    let over = over.with_worker().map(|_: &mut Worker<'_, SharedBarrier>, (): ()| -> () {
        loop {
            std::thread::park();
        }
    });
    assert!(matches!(over, Err(Error::Task(_))), "{over:?}");
    both()?;
    assert!(!barrier.is_broken());
    Ok(())
}

/// A worker that is killed at an item that others may wait for is missed, so that they do not wait
/// for ever.
fn busy_ones_killed(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).build()?;
    let told = pool.tasks(0..2u32).chunk_size(1).with_worker().map_results(|w, item| {
        let met = w.shared.wait().is_ok();
        if item == 0 {
            std::process::abort();
        }
        (met, w.shared.wait().is_ok())
    })?;
    assert!(told[0].is_err() && matches!(told[1], Ok((true, false))), "{told:?}");
    assert!(barrier.is_broken());
    barrier.reset();
    meet(&pool, 1)?;
    Ok(())
}

type Shared = (SharedSemaphore, SharedRwLock<u64>);

fn permits(method: StartMethod) -> Outcome {
    let (semaphore, lock) = (SharedSemaphore::new(4)?, SharedRwLock::new(7u64)?);
    let pool = builder(method, 2).shared((semaphore.clone(), lock.clone())).build()?;
    let takes = |w: &mut Worker<'_, Shared>, (): ()| {
        let shared: &Shared = w.shared;
        mem::forget(shared.0.acquire().expect("there are four"));
        let guard = Box::leak(Box::new(shared.1.read().expect("no holder writes")));
        **guard
    };
    for _ in 0..3 {
        assert_eq!(pool.task(()).on_worker(0).with_worker().apply(takes)?, 7);
        assert_eq!(pool.task(()).on_worker(1).with_worker().apply(takes)?, 7);
        assert_eq!(semaphore.available(), 2);
        pool.stop_and_join()?;
        assert_eq!((semaphore.available(), semaphore.reclaimed()), (4, 0));
        // A writer finds the lock free at once.
        assert!(lock.try_write().is_ok());
    }
    Ok(())
}
