//! An item that takes longer than it may fails, and no other item does.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use pool_api::{Cause, Error, SharedValue, StartMethod, TaskError, TryError, Worker};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("timeout_ends_a_map_and_says_which_item", ends_a_map),
    Case::new("timeout_fails_one_item_among_many", among_many),
    Case::new("timeout_of_the_pool_and_of_a_call", of_the_pool),
    Case::new("timeout_of_nothing_is_refused", refused),
    Case::new("timeout_counts_from_the_item_s_beginning", from_its_beginning),
    Case::new("timeout_concerns_no_other_call", no_other_call),
    Case::new("timeout_in_every_form_of_a_call", forms),
    Case::new("timeout_counts_as_a_try", tries),
    Case::new("timeout_outside_of_any_call", no_thread_waits).processes(),
    Case::new("timeout_is_seen_by_a_thread", seen_by_a_thread).threads(),
    Case::new("timeout_of_all_threads_at_once", all_threads).threads(),
    Case::new("timeouts_of_items_that_take_about_as_long", about_as_long),
    Case::new("timeout_of_worker_init", of_worker_init),
    Case::new("timeout_with_a_grace_that_is_used", grace_used),
    Case::new("timeout_with_a_grace_that_is_not_used", grace_over).processes(),
];

const LIMIT: Duration = Duration::from_millis(200);
/// No call takes as long as an item that would not be ended.
const PROMPT: Duration = Duration::from_secs(8);
const FOR_EVER: Duration = Duration::from_secs(10);

fn task<T: std::fmt::Debug>(result: Result<T, Error>) -> TaskError {
    match result {
        Err(Error::Task(task)) => task,
        other => panic!("no task failed: {other:?}"),
    }
}

/// Hangs for far too long; under Threads until it is told, so that a case ends.
fn hang(w: &Worker<'_>) {
    let begun = Instant::now();
    while begun.elapsed() < FOR_EVER && !w.is_cancelled() {
        thread::sleep(Duration::from_millis(1));
    }
}

fn hang_at_20(w: &mut Worker<'_>, n: u32) -> u32 {
    if n == 20 {
        hang(w);
    }
    n + 1
}

fn ends_a_map(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    let workers = if method == StartMethod::Threads { 0 } else { 2 };
    for chunk_size in [1, 7] {
        wait_until("both are there", || pool.worker_pids().len() == workers);
        let before = pool.worker_pids();
        let begun = Instant::now();
        let tasks = pool.tasks(0..60u32).chunk_size(chunk_size).task_timeout(LIMIT);
        let failed = task(tasks.with_worker().map(hang_at_20));
        assert!(begun.elapsed() >= LIMIT && begun.elapsed() < PROMPT);
        assert_eq!((failed.index(), failed.tries()), (20, 1));
        assert_eq!(*failed.cause(), Cause::Timeout { limit: LIMIT });
        let text =
            format!("task 20 on worker {}: ran longer than its limit of 200ms", failed.worker());
        assert_eq!(failed.to_string(), text);
        // The pool goes on, with the same ids: the worker that had the item was replaced.
        let ids = pool.tasks(0..400u32).chunk_size(1).with_worker().map(|w, _| {
            thread::sleep(Duration::from_micros(50));
            w.id()
        })?;
        assert!(ids.iter().all(|id| *id < 2));
        if workers > 0 {
            wait_until("both are there", || pool.worker_pids().len() == workers);
            let after = pool.worker_pids();
            let at = failed.worker() as usize;
            assert_ne!(after[at], before[at], "it was killed");
            assert_eq!(after[1 - at], before[1 - at], "and no other");
        }
    }
    Ok(())
}

fn among_many(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let results = pool.tasks(0..1000u32).task_timeout(LIMIT).with(()).map_results(|_, n| {
        thread::sleep(Duration::from_micros(if n == 333 { 900_000 } else { 100 }));
        n
    })?;
    assert_eq!(results.len(), 1000);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(value == n && n != 333),
            Err(task) => {
                assert_eq!((task.index(), n), (333, 333));
                assert_eq!(*task.cause(), Cause::Timeout { limit: LIMIT });
            }
        }
    }
    assert_eq!(pool.map(0..20u32, |n| n)?.len(), 20);
    Ok(())
}

fn of_the_pool(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).task_timeout(LIMIT).build()?;
    let failed = task(pool.tasks(0..30u32).with_worker().map(hang_at_20));
    assert_eq!((failed.index(), failed.cause()), (20, &Cause::Timeout { limit: LIMIT }));
    // A call with a limit of its own.
    let longer = Duration::from_secs(60);
    let nap = |()| thread::sleep(2 * LIMIT);
    pool.tasks([()]).task_timeout(longer).map(nap)?;
    let failed = task(pool.apply((), nap));
    assert_eq!((failed.index(), failed.cause()), (0, &Cause::Timeout { limit: LIMIT }));
    pool.tasks([()]).task_timeout(Duration::MAX).map(nap)?;
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let text = "task_timeout must be more than 0";
    let built = builder(method, 2).task_timeout(Duration::ZERO).build().expect_err("refused");
    let pool = pool(method, 2)?;
    let called = pool.tasks([1u8]).task_timeout(Duration::ZERO).map(|x| x).expect_err("refused");
    for error in [built, called] {
        assert!(matches!(error, Error::InvalidInput(_)), "{error:?}");
        assert_eq!(error.to_string(), text);
    }
    assert!(pool.worker_pids().is_empty());
    Ok(())
}

/// Neither the time of earlier items of the chunk counts, nor the wait for a worker.
fn from_its_beginning(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let limit = Duration::from_secs(2);
    let naps = pool.tasks(0..6u32).chunk_size(6).task_timeout(limit).map(|n| {
        thread::sleep(Duration::from_millis(450));
        n
    })?;
    assert_eq!(naps, [0, 1, 2, 3, 4, 5]);
    Ok(())
}

fn no_other_call(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    thread::scope(|scope| -> Outcome {
        let other = scope.spawn(|| {
            pool.apply(7u32, |n| {
                thread::sleep(5 * LIMIT);
                n
            })
        });
        let failed = task(pool.tasks([20u32]).task_timeout(LIMIT).with_worker().map(hang_at_20));
        assert_eq!(failed.index(), 0);
        assert_eq!(other.join().expect("no panic")?, 7);
        Ok(())
    })
}

fn forms(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let nap_at_20 = |n: u32| {
        thread::sleep(if n == 20 { 3 * LIMIT } else { Duration::ZERO });
        n
    };
    let tasks = || pool.tasks(0..40u32).chunk_size(4).task_timeout(LIMIT);
    let timeout = Cause::Timeout { limit: LIMIT };
    let check = |failed: TaskError| assert_eq!((failed.index(), failed.cause()), (20, &timeout));
    check(task(tasks().map(nap_at_20)));
    check(task(tasks().map_unordered(nap_at_20)));
    check(task(tasks().for_each_view(nap_at_20, |_, _| ())));
    check(task(tasks().view().map(|n| {
        thread::sleep(if *n == 20 { 3 * LIMIT } else { Duration::ZERO });
    })));
    match tasks().try_map(|n| {
        thread::sleep(if n == 20 { 3 * LIMIT } else { Duration::ZERO });
        Ok::<_, String>(n)
    }) {
        Err(TryError::Pool(Error::Task(failed))) => check(failed),
        other => panic!("{other:?}"),
    }
    let mut lazy = tasks().imap(nap_at_20);
    for n in 0..20 {
        assert_eq!(lazy.next().transpose()?, Some(n));
    }
    check(task(lazy.next().expect("the failure")));
    assert!(lazy.next().is_none());
    drop(lazy);
    let results: Vec<_> = tasks().imap_results(nap_at_20).collect();
    assert_eq!(results.len(), 40);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => check(task(Err::<(), _>(error))),
        }
    }
    if matches!(method, StartMethod::Fork | StartMethod::Threads) {
        let at = std::hint::black_box(20);
        check(task(tasks().map_scoped(|n| nap_at_20(if n == at { 20 } else { 0 }))));
    }
    Ok(())
}

fn tries(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let tasks = pool.tasks(0..30u64).chunk_size(5).retry(2).task_timeout(LIMIT / 2);
    let results = tasks.with(scratch.path()).map_results(|path, n| {
        append(path, n);
        thread::sleep(if n == 13 { 4 * LIMIT } else { Duration::ZERO });
    })?;
    // An item cannot be taken from a thread.
    let tries = if method == StartMethod::Threads { 1 } else { 3 };
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].index(), failed[0].tries()), (13, tries));
    assert_eq!(*failed[0].cause(), Cause::Timeout { limit: LIMIT / 2 });
    assert_eq!(failed[0].to_string().ends_with("it was tried 3 times"), tries == 3);
    let mut expected: Vec<u64> = (0..30).collect();
    expected.extend((1..tries).map(|_| 13));
    expected.sort_unstable();
    assert_eq!(scratch.numbers(), expected);
    // A death counts as well.
    if method != StartMethod::Threads {
        let scratch = Scratch::new();
        let tasks = pool.tasks([0u64, 1, 2]).chunk_size(1).retry(2).task_timeout(LIMIT);
        let values = tasks.with(scratch.path()).map(|path, n| {
            append(path, n);
            let before = crate::scratch::read_numbers(path).iter().filter(|m| **m == n).count();
            match (n, before) {
                (1, 1) => thread::sleep(FOR_EVER),
                (1, 2) => sys::raise(sys::SIGKILL),
                _ => {}
            }
            n
        })?;
        assert_eq!(values, [0, 1, 2]);
        assert_eq!(scratch.numbers(), [0, 1, 1, 1, 2]);
    }
    Ok(())
}

fn no_thread_waits(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let path = Scratch::new();
    let tasks = pool.tasks([0u64, 1]).chunk_size(1).task_timeout(LIMIT).with(path.path());
    let mut lazy = tasks.imap_results(|path, n| {
        append(path, u64::from(std::process::id()));
        thread::sleep(if n == 1 { FOR_EVER } else { Duration::ZERO });
        n
    });
    assert_eq!(lazy.next().transpose()?, Some(0));
    wait_until("the second is begun", || path.numbers().len() == 2);
    // No thread drives the pool now.
    let worker = path.numbers()[0];
    wait_until("it was killed", || sys::has_ended(worker as u32));
    let failed = task(lazy.next().expect("a failure"));
    assert_eq!((failed.index(), failed.cause()), (1, &Cause::Timeout { limit: LIMIT }));
    assert!(lazy.next().is_none());
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn seen_by_a_thread(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let paths = std::iter::repeat_n(scratch.path(), 1);
    let failed = task(pool.tasks(paths).task_timeout(LIMIT).with_worker().map(|w, path| {
        assert!(!w.is_cancelled());
        hang(w);
        append(&path, 1);
    }));
    assert_eq!(*failed.cause(), Cause::Timeout { limit: LIMIT });
    wait_until("the thread has gone on", || scratch.numbers() == [1]);
    // The only thread is busy with an item that failed; the others wait for it and have results.
    let pool = crate::case::pool(method, 1)?;
    let results = pool.tasks(0..20u32).chunk_size(20).task_timeout(LIMIT).map_results(|n| {
        thread::sleep(if n == 3 { 2 * LIMIT } else { Duration::ZERO });
        n
    })?;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert_eq!((failed.len(), failed[0].index()), (1, 3));
    Ok(())
}

fn all_threads(method: StartMethod) -> Outcome {
    let pool = pool(method, 4)?;
    let results = pool.tasks(0..8u32).task_timeout(LIMIT).map_results(|n| {
        thread::sleep(if n < 4 { 2 * LIMIT } else { Duration::ZERO });
        n
    })?;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n < 4, "{result:?}");
    }
    Ok(())
}

/// Whether an item is finished or overdue is decided at the last moment, thousands of times: the
/// ended item is always the overdue one.
fn about_as_long(method: StartMethod) -> Outcome {
    let items = sized(2_000, 500) as u64;
    let pool = pool(method, 3)?;
    let scratch = Scratch::new();
    let limit = Duration::from_millis(2);
    let tasks = pool.tasks(0..items).chunk_size(10).task_timeout(limit).with(scratch.path());
    let results = tasks.map_results(|path, n| {
        append(path, n);
        let begun = Instant::now();
        // Little less than the limit, little more, and some much more: those are seen to be over it
        // also where the machine is busy.
        let long = match n % 100 {
            50 => 60_000,
            n if n % 5 == 0 => 1900 + n * 37 % 200,
            _ => 100,
        };
        while begun.elapsed() < Duration::from_micros(long) {}
        n
    })?;
    let mut overdue = 0;
    for (n, result) in (0..items).zip(results) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(task) => {
                overdue += 1;
                assert_eq!((task.index(), task.cause()), (n, &Cause::Timeout { limit }));
            }
        }
    }
    assert!(overdue > 0, "none came beyond its limit");
    // Each item has run once, but for those that were ended before they could note it.
    let ran = scratch.numbers();
    let distinct: BTreeSet<u64> = ran.iter().copied().collect();
    assert_eq!(distinct.len(), ran.len(), "one has run twice");
    assert!(distinct.len() + overdue >= items as usize);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn of_worker_init(method: StartMethod) -> Outcome {
    let begun = SharedValue::new(0u32)?;
    let builder = builder(method, 1).shared(begun.clone()).worker_init(|w| {
        // Only the first `worker_init` takes long; a thread goes on, and sees that it is no longer
        // wanted.
        if w.shared.swap(1) == 0 {
            assert!(!w.is_cancelled());
            let begun = Instant::now();
            while begun.elapsed() < FOR_EVER && !w.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        7u8
    });
    let pool = builder.clone().worker_init_timeout(LIMIT).build()?;
    let started = Instant::now();
    match pool.tasks(0..9u32).with_worker().map(|w, n| (*w.state, n)) {
        Err(Error::WorkerInitFailed { worker: 0, cause }) => {
            assert_eq!(cause, Cause::Timeout { limit: LIMIT });
        }
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() >= LIMIT && started.elapsed() < PROMPT);
    // A later `worker_init` that is in time is not affected.
    let values = pool.tasks(0..3u32).with_worker().map(|w, n| (*w.state, n))?;
    assert_eq!(values, [(7, 0), (7, 1), (7, 2)]);
    // Futures learn of it in a way of their own.
    begun.set(0);
    let other = builder.clone().worker_init_timeout(LIMIT).build()?;
    let failed = other.apply_async(1u8, |x| x)?.get();
    assert!(matches!(failed, Err(Error::WorkerInitFailed { worker: 0, .. })), "{failed:?}");
    assert_eq!(other.apply_async(1u8, |x| x)?.get()?, 1);
    // The time of `worker_init` is not the first item's.
    let builder = crate::case::builder(method, 1).worker_init(|_| thread::sleep(2 * LIMIT));
    let pool = builder.build()?;
    let values = pool.tasks(0..3u32).task_timeout(LIMIT).with_worker().map(|w, n| (*w.state, n))?;
    assert_eq!(values.len(), 3);
    let text = "worker_init_timeout must be more than 0";
    let refused = crate::case::builder(method, 1).worker_init_timeout(Duration::ZERO).build();
    assert_eq!(refused.expect_err("refused").to_string(), text);
    Ok(())
}

/// An item that returns when it is told has failed, and its worker is kept.
fn grace_used(method: StartMethod) -> Outcome {
    let limit = Duration::from_millis(60);
    let pool = builder(method, 2).task_timeout(limit).timeout_grace(FOR_EVER * 60).build()?;
    pool.apply((), |()| ())?;
    let workers = if method == StartMethod::Threads { 0 } else { 2 };
    wait_until("both are there", || pool.worker_pids().len() == workers);
    let before = pool.worker_pids();
    let late_at_20 = |w: &mut Worker<'_>, n: u32| {
        let begun = Instant::now();
        if n == 20 {
            hang(w);
            assert!(begun.elapsed() >= Duration::from_millis(60));
        }
        n
    };
    let check = |failed: &TaskError, tries: u32| {
        assert_eq!((failed.index(), failed.tries()), (20, tries));
        assert_eq!(*failed.cause(), Cause::Timeout { limit });
    };
    let results = pool.tasks(0..40u32).chunk_size(7).with_worker().map_results(late_at_20)?;
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(value == n && n != 20),
            Err(task) => check(&task, 1),
        }
    }
    check(&task(pool.tasks(0..40u32).with_worker().map(late_at_20)), 1);
    // An item that panics then is late, too; and each time it was a try.
    let tries = if method == StartMethod::Threads { 1 } else { 3 };
    let failed = pool.tasks(0..30u32).retry(2).with_worker().map(|w, n| {
        if n == 20 {
            hang(w);
            panic!("too late");
        }
    });
    check(&task(failed), tries);
    let handle =
        pool.task(0u32).timeout_grace(Duration::MAX).with_worker().apply_async(|w, _| hang(w))?;
    assert_eq!(*task(handle.get()).cause(), Cause::Timeout { limit });
    assert_eq!(pool.worker_pids(), before, "no worker was killed");
    assert_eq!(pool.map(0..20u32, |n| n)?.len(), 20);
    Ok(())
}

/// An item that does not return is killed after the grace; a quick one never notices.
fn grace_over(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    wait_until("both are there", || pool.worker_pids().len() == 2);
    let (before, begun) = (pool.worker_pids(), Instant::now());
    let grace = Duration::from_millis(300);
    let tasks = || pool.tasks(0..40u32).chunk_size(7).task_timeout(LIMIT / 2);
    let results = tasks().timeout_grace(grace).map_results(|n| {
        if n == 20 {
            loop {
                std::hint::spin_loop();
            }
        }
        n
    })?;
    assert!(begun.elapsed() >= LIMIT / 2 + grace && begun.elapsed() < PROMPT);
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.is_err(), n == 20);
    }
    wait_until("both are there", || pool.worker_pids().len() == 2);
    assert_ne!(pool.worker_pids(), before);
    // Without a grace the item is killed at the limit, as before.
    assert_eq!(
        task(tasks().timeout_grace(Duration::ZERO).with_worker().map(hang_at_20)).index(),
        20
    );
    assert_eq!(pool.tasks(0..99u32).timeout_grace(grace).map(|n| n)?.len(), 99);
    Ok(())
}
