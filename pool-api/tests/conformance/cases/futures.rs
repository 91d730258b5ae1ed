//! Calls of which the caller takes the results later.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use pool_api::{AsyncResult, Cause, Error, StartMethod, Worker, as_completed};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    scratch::{Scratch, append, read_numbers, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_in_any_order", any_order),
    Case::new("futures_are_ready_without_a_waiting_thread", no_thread_waits),
    Case::new("futures_fail_alone", fail_alone),
    Case::new("futures_of_a_dying_worker", dying).processes(),
    Case::new("futures_wait_no_longer_than_asked", timeouts),
    Case::new("futures_cancelled_before_they_start", cancelled),
    Case::new("futures_outlive_their_pool", outlive),
    Case::new("futures_of_a_terminated_pool", terminated),
    Case::new("futures_beside_maps", beside_maps),
    Case::new("futures_from_many_threads", many_threads),
    Case::new("futures_more_than_a_pool_takes", more_than_fit),
    Case::new("a_million_futures", million).heavy(),
    Case::new("futures_results_are_counted", counted),
    Case::new("futures_large_and_small", large_and_small),
    Case::new("futures_without_handles", dropped),
    Case::new("futures_in_a_forked_child_are_refused", forked),
    Case::new("fork_beside_a_driver_thread", fork_beside_driver).only_fork(),
];

/// Nothing here takes as long as this.
const PROMPT: Duration = Duration::from_secs(20);

fn any_order(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let squares: Vec<_> =
        (0..100u64).map(|x| pool.apply_async(x, |x| x * x)).collect::<Result<_, _>>()?;
    let words: Vec<_> = (0..100usize)
        .map(|n| pool.apply_async("ab".repeat(n), |word| (word.len(), word)))
        .collect::<Result<_, _>>()?;
    for (n, word) in words.into_iter().enumerate().rev() {
        assert_eq!(word.get()?, (2 * n, "ab".repeat(n)));
    }
    for (n, square) in squares.into_iter().enumerate() {
        square.wait()?;
        assert!(square.ready());
        assert_eq!(square.successful(), Some(true));
        assert_eq!(square.get()?, (n * n) as u64);
    }
    assert_eq!(pool.apply_async((1u8, 2u8), |(a, b)| a + b)?.get()?, 3);
    Ok(())
}

fn no_thread_waits(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let handles: Vec<_> = (0..500)
        .map(|_| pool.apply_async(scratch.path(), |path| append(&path, 1)))
        .collect::<Result<_, _>>()?;
    wait_until("all have run", || scratch.numbers().len() == 500);
    wait_until("all are ready", || handles.iter().all(AsyncResult::ready));
    Ok(())
}

fn fail_alone(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let odd = |n: u32| if n % 2 == 1 { panic!("odd: {n}") } else { n };
    let handles: Vec<_> = (0..20).map(|n| pool.apply_async(n, odd)).collect::<Result<_, _>>()?;
    for (n, handle) in (0..20).zip(handles) {
        handle.wait()?;
        assert_eq!(handle.successful(), Some(n % 2 == 0));
        match handle.get() {
            Ok(value) => assert_eq!((value, n % 2), (n, 0)),
            Err(Error::Task(task)) => {
                let Cause::Panic { message, .. } = task.cause() else { panic!("{task}") };
                assert_eq!((task.index(), message), (0, &format!("odd: {n}")));
            }
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn dying(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let dies = |n: u32| if n == 7 { std::process::abort() } else { n };
    let handles: Vec<_> = (0..300).map(|n| pool.apply_async(n, dies)).collect::<Result<_, _>>()?;
    // No thread is in a call: the dead worker is replaced all the same.
    wait_until("all are ready", || handles.iter().all(AsyncResult::ready));
    for (n, handle) in (0..300).zip(handles) {
        match handle.get() {
            Ok(value) => assert!(value == n && n != 7),
            Err(Error::Task(task)) => {
                assert!(n == 7 && matches!(task.cause(), Cause::Death(_)), "{n}: {task}");
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// Waits until there is something in the file.
fn until_told(path: String) -> u64 {
    wait_until("it is told", || !read_numbers(&path).is_empty());
    7
}

fn timeouts(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let scratch = Scratch::new();
    let mut handle = pool.apply_async(scratch.path(), until_told)?;
    assert!(!handle.ready() && handle.successful().is_none());
    let begun = Instant::now();
    assert!(!handle.wait_timeout(Duration::from_millis(20))?);
    assert!(matches!(handle.get_timeout(Duration::from_millis(20)), Err(Error::NotReady)));
    assert!(begun.elapsed() >= Duration::from_millis(40) && begun.elapsed() < PROMPT);
    assert!(matches!(handle.get_timeout(Duration::ZERO), Err(Error::NotReady)));
    append(&scratch.path(), 1);
    assert_eq!(handle.get_timeout(PROMPT)?, 7);
    assert!(matches!(handle.get_timeout(PROMPT), Err(Error::ResultTaken)));
    assert!(handle.ready() && handle.successful().is_none());
    assert!(matches!(handle.get(), Err(Error::ResultTaken)));
    assert_eq!(pool.apply_async(1u8, |x| x)?.get_timeout(Duration::MAX)?, 1);
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (scratch, ran) = (Scratch::new(), Scratch::new());
    let busy = pool.apply_async(scratch.path(), until_told)?;
    let waits: Vec<_> = (0..200)
        .map(|_| pool.apply_async(ran.path(), |path| append(&path, 1)))
        .collect::<Result<_, _>>()?;
    for handle in waits.iter().step_by(2) {
        assert!(handle.cancel());
        assert!(handle.ready() && handle.successful() == Some(false));
        assert!(!handle.cancel());
    }
    append(&scratch.path(), 1);
    assert_eq!(busy.get()?, 7);
    for (n, handle) in waits.into_iter().enumerate() {
        match handle.get() {
            Err(Error::Cancelled) => assert_eq!(n % 2, 0),
            other => assert!(other.is_ok() && n % 2 == 1, "{n}: {other:?}"),
        }
    }
    assert_eq!(ran.numbers().len(), 100);
    // A task that runs or has run is not taken back.
    let done = pool.apply_async(1u8, |x| x)?;
    done.wait()?;
    assert!(!done.cancel());
    assert_eq!(done.get()?, 1);
    Ok(())
}

fn outlive(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let handles: Vec<_> =
        (0..1000u64).map(|x| pool.apply_async(x, |x| x + 1)).collect::<Result<_, _>>()?;
    pool.stop_and_join()?;
    assert!(pool.worker_pids().is_empty());
    // The pool can be used again, also for futures.
    let again = pool.apply_async(1u8, |x| x)?;
    again.wait()?;
    drop(pool);
    let other = thread::spawn(move || handles.into_iter().map(AsyncResult::get).sum());
    let sum: Result<u64, _> = other.join().expect("no panic");
    assert_eq!(sum?, 500_500);
    assert_eq!(again.get()?, 1);
    Ok(())
}

fn terminated(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let done = pool.apply_async(3u8, |x| x)?;
    done.wait()?;
    let begun = Scratch::new();
    let until_ended = |w: &mut Worker<'_, (), ()>, begun: String| {
        append(&begun, 1);
        while !w.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let hand_in = |_| pool.task(begun.path()).apply_async_with(until_ended);
    let open: Vec<_> = (0..50).map(hand_in).collect::<Result<_, _>>()?;
    wait_until("one is begun", || !begun.numbers().is_empty());
    let waiter = thread::scope(|scope| {
        let waiter = scope.spawn(|| open[49].wait());
        pool.terminate()?;
        waiter.join().expect("no panic")
    });
    waiter?;
    assert_eq!(done.get()?, 3);
    let ended = open.into_iter().map(AsyncResult::get).filter(Result::is_err).count();
    // A thread ends the items that it has begun.
    assert!(ended >= 49, "{ended}");
    assert_eq!(begun.numbers().len(), 1);
    let again = pool.apply_async(1u8, |x| x)?;
    assert_eq!(again.get()?, 1);
    let late = pool.apply_async(20, |x| x)?;
    drop(pool);
    match late.get() {
        Ok(20) | Err(Error::Terminated) => Ok(()),
        other => panic!("{other:?}"),
    }
}

fn beside_maps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut lazy = pool.imap(0u64.., |x| x);
    assert_eq!(lazy.next().transpose()?, Some(0));
    let handle = pool.apply_async(1u64, |x| x + 1)?;
    assert_eq!(pool.map(0..1000u64, |x| x)?.len(), 1000);
    assert_eq!(handle.get()?, 2);
    thread::scope(|scope| -> Outcome {
        let map = scope.spawn(|| pool.map(0..sized(3_000_000, 100_000) as u64, |x| x + 1));
        let mut rounds = 0u64;
        while !map.is_finished() {
            assert_eq!(pool.apply_async(rounds, |x| x + 1)?.get()?, rounds + 1);
            rounds += 1;
        }
        let all = map.join().expect("no panic")?;
        assert_eq!(all.iter().sum::<u64>(), (1..=all.len() as u64).sum::<u64>());
        Ok(())
    })?;
    assert_eq!(lazy.next().transpose()?, Some(1));
    Ok(())
}

fn many_threads(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let pool = &pool;
    thread::scope(|scope| {
        let callers: Vec<_> = (0..4u64)
            .map(|caller| {
                scope.spawn(move || -> pool_api::Result<u64> {
                    let handles: Vec<_> = (0..500)
                        .map(|n| pool.apply_async(caller * 1000 + n, |x| x))
                        .collect::<Result<_, _>>()?;
                    // Another thread waits for half of them.
                    let mut mine = handles;
                    let theirs = mine.split_off(250);
                    let other = thread::spawn(move || theirs.into_iter().map(|h| h.get()).sum());
                    let sum: u64 = mine.into_iter().map(|h| h.get()).sum::<Result<_, _>>()?;
                    let others: Result<u64, Error> = other.join().expect("no panic");
                    Ok(sum + others?)
                })
            })
            .collect();
        for (caller, thread) in (0..4u64).zip(callers) {
            let sum = thread.join().expect("no panic")?;
            assert_eq!(sum, 500 * caller * 1000 + 499 * 500 / 2);
        }
        Ok(())
    })
}

fn more_than_fit(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let scratch = Scratch::new();
    let path = scratch.path();
    let busy = pool.apply_async(path.clone(), until_told)?;
    let accepted = AtomicUsize::new(0);
    let many = thread::scope(|scope| {
        // One of the calls has to wait until there is room, which is when this opens the gate.
        scope.spawn(|| {
            wait_until("some were accepted", || accepted.load(Ordering::Relaxed) > 3000);
            append(&path, 1);
        });
        let calls = (0..10_000u32).map(|n| pool.apply_async(n, |x| x));
        let calls = calls.inspect(|_| {
            accepted.fetch_add(1, Ordering::Relaxed);
        });
        calls.collect::<Result<Vec<_>, _>>()
    })?;
    assert_eq!(busy.get()?, 7);
    for (n, handle) in (0..10_000).zip(many) {
        assert_eq!(handle.get()?, n);
    }
    Ok(())
}

fn million(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let handles: Vec<_> =
        (0..1_000_000u64).map(|x| pool.apply_async(x, |x| x + 1)).collect::<Result<_, _>>()?;
    let sum: u64 = handles.into_iter().map(AsyncResult::get).sum::<Result<_, _>>()?;
    assert_eq!(sum, 500_000_500_000);
    Ok(())
}

fn counted(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).max_result_bytes(10_000).build()?;
    let make = |n: usize| vec![7u8; n];
    let mut handles = Vec::new();
    for _ in 0..2 {
        let handle = pool.apply_async(6_000, make)?;
        handle.wait()?;
        handles.push(handle);
    }
    let refused = pool.apply_async(1, make).expect_err("there is too much");
    assert_eq!(refused.item, 1);
    assert!(matches!(refused.error, Error::ResultsUnread { bytes: 12_000.., limit: 10_000 }));
    assert!(refused.to_string().contains("max_result_bytes is 10000"));
    assert!(matches!(Error::from(refused), Error::ResultsUnread { .. }));
    // Other calls are not affected, and results that were taken or dropped do not count.
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    assert_eq!(handles.pop().map(AsyncResult::get).transpose()?.map(|v| v.len()), Some(6_000));
    assert_eq!(pool.apply_async(1, make)?.get()?, [7]);
    handles.push(pool.apply_async(6_000, make)?);
    wait_until("it is ready", || handles.iter().all(AsyncResult::ready));
    assert!(pool.apply_async(1, make).is_err());
    drop(handles);
    assert_eq!(pool.apply_async(1, make)?.get()?, [7]);
    Ok(())
}

fn large_and_small(method: StartMethod) -> Outcome {
    // Fast workers may have all results in their handles before the last call is handed in.
    let pool = builder(method, 2).arena_limit(2 << 20).max_result_bytes(16 << 20).build()?;
    let sizes: Vec<usize> = (0..16).map(|n| if n % 3 == 0 { 600 << 10 } else { n * 100 }).collect();
    let handles: Vec<_> = sizes
        .iter()
        .map(|size| pool.apply_async(vec![1u8; *size], |bytes| bytes))
        .collect::<Result<_, _>>()?;
    for (size, handle) in sizes.iter().zip(handles) {
        assert_eq!(handle.get()?.len(), *size);
    }
    if method != StartMethod::Threads {
        let refused = pool.apply_async(vec![1u8; 3 << 20], |bytes| bytes.len());
        let refused = refused.expect_err("it never fits");
        assert!(matches!(refused.error, Error::ItemTooLarge { .. }), "{refused}");
        assert_eq!(refused.item.len(), 3 << 20);
        let large = pool.apply_async((), |()| vec![1u8; 3 << 20])?;
        let Err(Error::Task(task)) = large.get() else { panic!("it never fits") };
        assert!(matches!(task.cause(), Cause::ResultTooLarge { .. }));
    }
    assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
    Ok(())
}

fn dropped(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    for _ in 0..300 {
        drop(pool.apply_async(scratch.path(), |path| append(&path, 1))?);
    }
    pool.stop_and_join()?;
    assert_eq!(scratch.numbers().len(), 300);
    Ok(())
}

fn forked(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let scratch = Scratch::new();
    let handle = pool.apply_async(scratch.path(), until_told)?;
    let mut others = as_completed([pool.apply_async(scratch.path(), until_told)?])?;
    let child = sys::fork();
    if child == 0 {
        let refused = pool.apply_async(1u8, |x| x);
        let refused =
            refused.is_err_and(|r| r.item == 1 && matches!(r.error, Error::ForeignProcess));
        let waits = matches!(handle.wait(), Err(Error::ForeignProcess));
        let other = others.next().map(|(_, other)| other.get());
        let foreign = matches!(other, Some(Err(Error::ForeignProcess))) && others.next().is_none();
        let all = refused && waits && foreign && !handle.ready() && !handle.cancel();
        drop((handle, pool));
        std::process::exit(if all { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0, "the child has seen something else");
    append(&scratch.path(), 1);
    assert_eq!(handle.get()?, 7);
    assert_eq!(others.next().expect("it ends").1.get()?, 7);
    Ok(())
}

fn fork_beside_driver(method: StartMethod) -> Outcome {
    let (first, scratch) = (pool(method, 1)?, Scratch::new());
    let slow = first.apply_async(scratch.path(), until_told)?;
    assert!(!slow.ready());
    // The thread that works for the first pool's futures does not count.
    let second = pool(method, 1)?;
    let sum = |x: u64| x + 1;
    assert_eq!(second.tasks([1u64]).map_scoped(sum)?, [2]);
    append(&scratch.path(), 1);
    wait_until("it is ready", || slow.ready());
    assert_eq!(slow.get()?, 7);
    assert_eq!(second.apply_async(1u64, sum)?.get()?, 2);
    Ok(())
}
