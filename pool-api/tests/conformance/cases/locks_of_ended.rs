//! A worker that ends in order leaves what it sits in: nothing that others wait at is broken by
//! that, and nothing is lost.

use std::mem;

use pool_api::{
    Error, SharedBarrier, SharedRwLock, SharedSemaphore, StartMethod, Worker, WorkerPool,
};

use crate::case::{Case, Outcome, builder};

pub(crate) const CASES: &[Case] = &[
    Case::new("barrier_of_workers_that_were_stopped", stopped),
    Case::new("barrier_of_workers_that_end_with_their_call", end_with_call),
    Case::new("barrier_of_workers_with_a_lifespan", lifespan),
    Case::new("barrier_of_workers_of_an_old_setting", settings),
    Case::new("barrier_of_scoped_workers", scoped),
    Case::new("barrier_of_workers_that_were_killed", killed).processes(),
    Case::new("permits_and_places_of_ended_workers", permits).processes(),
];

/// Rounds in which all `n` workers of the pool meet; each item waits for the others.
fn meet(pool: &WorkerPool<SharedBarrier>, rounds: u32) -> Result<(), Error> {
    let waits = |w: &mut Worker<'_, SharedBarrier>, _: u32| w.shared.wait().is_ok();
    let items = rounds * pool.n_jobs() as u32;
    let met = pool.tasks(0..items).chunk_size(1).map_with(waits)?;
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

/// It is no rule that a barrier stays whole: who is killed is missed.
fn killed(method: StartMethod) -> Outcome {
    let barrier = SharedBarrier::new(2)?;
    let pool = builder(method, 2).shared(barrier.clone()).build()?;
    meet(&pool, 1)?;
    pool.terminate()?;
    let waits = |w: &mut Worker<'_, SharedBarrier>, _: u32| w.shared.wait().is_ok();
    assert_eq!(pool.tasks(0..2).chunk_size(1).map_with(waits)?, [false; 2]);
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
        let guard = Box::leak(Box::new(shared.1.read().expect("nobody writes")));
        **guard
    };
    for _ in 0..3 {
        assert_eq!(pool.apply_on_with(0, (), takes)?, 7);
        assert_eq!(pool.apply_on_with(1, (), takes)?, 7);
        assert_eq!(semaphore.available(), 2);
        pool.stop_and_join()?;
        assert_eq!((semaphore.available(), semaphore.reclaimed()), (4, 0));
        // A writer finds the lock free at once.
        assert!(lock.try_write().is_ok());
    }
    Ok(())
}
