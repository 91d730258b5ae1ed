//! Workers that die, or do not start, while calls wait for just them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use pool_api::{Cause, Error, ExitStatus, SharedArray, StartMethod, Worker, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, kill_in_turn, pool, sized},
    scratch::{Scratch, append, read_numbers},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("a_worker_dies_in_its_broadcast", dies).processes(),
    Case::new("a_worker_takes_too_long_in_its_broadcast", too_long).processes(),
    Case::new("broadcast_is_tried_again_on_the_same_id", tried_again).processes(),
    Case::new("direct_calls_while_workers_are_killed", killed).processes(),
    Case::new("direct_calls_to_a_worker_that_does_not_come_up", not_coming_up),
];

fn dies(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let die = |w: &mut Worker<'_>| {
        if w.id() == 1 {
            sys::raise(sys::SIGKILL);
        }
        w.id()
    };
    for _ in 0..5 {
        let Err(Error::Task(task)) = pool.broadcast(die) else { panic!("worker 1 dies") };
        assert_eq!((task.index(), task.worker(), task.tries()), (1, 1, 1));
        assert_eq!(*task.cause(), Cause::Death(ExitStatus::Signal(sys::SIGKILL)));
        let mut results = pool.workers().broadcast_results(die)?;
        let task = results.remove(1).expect_err("worker 1 dies");
        assert_eq!((task.index(), task.worker()), (1, 1));
        assert_eq!(results, [Ok(0), Ok(2)]);
        let failed = pool.task(()).on_worker(1).apply(|()| sys::raise(sys::SIGKILL));
        assert!(matches!(failed, Err(Error::Task(t)) if (t.index(), t.worker()) == (0, 1)));
        assert_eq!(pool.broadcast(|w| w.id())?, [0, 1, 2]);
    }
    Ok(())
}

fn too_long(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let limit = Duration::from_millis(50);
    let results = pool.workers().task_timeout(limit).broadcast_results(|w| {
        if w.id() == 2 {
            thread::sleep(Duration::from_secs(60)); // far beyond its limit
        }
    })?;
    for (id, result) in (0..).zip(results) {
        let told = result.err().map(|task| (task.worker(), task.cause().clone()));
        assert_eq!(told, (id == 2).then_some((2, Cause::Timeout { limit })));
    }
    assert_eq!(pool.broadcast(|w| w.id())?, [0, 1, 2]);
    Ok(())
}

fn tried_again(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = builder(method, 3).shared(scratch.path()).build()?;
    let lucky = |w: &mut Worker<'_, String>| {
        append(w.shared, w.id().into());
        let tries = read_numbers(w.shared).iter().filter(|n| **n == u64::from(w.id())).count();
        if w.id() > 0 && tries < 3 {
            sys::raise(sys::SIGKILL);
        }
        w.id()
    };
    assert_eq!(pool.workers().retry(2).broadcast(lucky)?, [0, 1, 2]);
    assert_eq!(scratch.numbers(), [0, 1, 1, 1, 2, 2, 2]);
    let never = |w: &mut Worker<'_, String>, (): ()| {
        append(w.shared, 100 + u64::from(w.id()));
        sys::raise(sys::SIGKILL)
    };
    let failed = pool.task(()).retry(2).on_worker(1).with_worker().apply(never);
    assert!(matches!(failed, Err(Error::Task(t)) if (t.worker(), t.tries()) == (1, 3)));
    assert_eq!(scratch.numbers()[7..], [101; 3]);
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    let rounds = sized(60, 25) as u32;
    let begun = SharedArray::<u32>::new(3)?;
    let pool = pool(method, 3)?;
    pool.apply((), |()| ())?;
    let over = AtomicBool::new(false);
    let (called, kills) = thread::scope(|scope| {
        let killer = scope.spawn(|| kill_in_turn(&begun, &over).len());
        let called = calls(&pool, rounds, &begun);
        over.store(true, Ordering::Relaxed);
        (called, killer.join().expect("the killer does not panic"))
    });
    called?;
    assert!(kills > 3, "{kills} kills");
    assert_eq!(pool.broadcast(|w| w.id())?, [0, 1, 2]);
    Ok(())
}

fn calls(pool: &WorkerPool, rounds: u32, begun: &SharedArray<u32>) -> Outcome {
    for round in 0..rounds {
        let seen = pool.workers().retry(100).broadcast(|w| {
            thread::sleep(Duration::from_millis(1)); // so that some die of it
            w.id()
        })?;
        assert_eq!(seen, [0, 1, 2]);
        let id = round % 3;
        assert_eq!(
            pool.task(id).retry(100).on_worker(id).with_worker().apply(|w, n| (w.id(), n))?,
            (id, id)
        );
        let ordered = pool.tasks(0..30u32).order_tasks(true).chunk_size(2).retry(100);
        let seen = ordered.with(begun.clone()).with_worker().map(|w, begun, n| {
            begun.set(w.id() as usize, std::process::id());
            (w.id(), n)
        })?;
        assert!(seen.into_iter().eq((0..30).map(|n| (n / 2 % 3, n))));
    }
    Ok(())
}

fn not_coming_up(method: StartMethod) -> Outcome {
    let pool = builder(method, 3).worker_init(|w| assert!(w.id() != 1)).build()?;
    for _ in 0..3 {
        assert_eq!(pool.task(()).on_worker(0).with_worker().apply(|w, ()| w.id())?, 0);
        assert_eq!(pool.task(()).on_worker(2).with_worker().apply(|w, ()| w.id())?, 2);
        let failed = pool.task(()).on_worker(1).with_worker().apply(|w, ()| w.id());
        assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
        let failed = pool.broadcast(|w| w.id());
        assert!(matches!(failed, Err(Error::WorkerInitFailed { .. })), "{failed:?}");
    }
    Ok(())
}
