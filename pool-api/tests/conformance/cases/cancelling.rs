//! A cancel token ends the calls that have it, and no other.

use std::{
    os::unix::fs::FileExt,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
    thread,
    time::{Duration, Instant},
};

use pool_api::{CancelToken, Cause, Error, SharedArray, StartMethod, Worker};

use crate::{
    case::{Case, Outcome, pool},
    scratch::{Scratch, append, read_numbers, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("a_pulled_token_refuses_before_anything_starts", refused),
    Case::new("cancel_while_workers_are_busy", busy),
    Case::new("cancel_begins_nothing_more", begins_nothing),
    Case::new("cancel_an_endless_stream_of_results", endless),
    Case::new("cancel_one_call_of_two", one_of_two),
    Case::new("cancel_lazy_calls", lazy),
    Case::new("cancel_keeps_what_has_finished", keeps_finished),
    Case::new("cancel_keeps_what_was_not_collected", keeps_uncollected),
    Case::new("cancel_in_the_input_itself", in_the_input),
    Case::new("cancel_in_a_signal_handler", in_handler),
    Case::new("cancel_map_scoped", scoped),
    Case::new("cancel_token_of_more_calls_than_descriptors", many_calls).processes(),
];

/// No call that was cancelled takes as long as this.
const PROMPT: Duration = Duration::from_secs(5);

fn refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let token = CancelToken::new()?;
    assert!(!token.is_cancelled());
    assert_eq!(pool.tasks(0..3u8).cancel_token(&token).map(|x| x)?, [0, 1, 2]);
    pool.stop_and_join()?;
    token.clone().cancel();
    assert!(token.is_cancelled());
    let asked = std::cell::Cell::new(0);
    let items = || (0..3u8).inspect(|_| asked.set(asked.get() + 1));
    let tasks = || pool.tasks(items()).cancel_token(&token);
    assert!(matches!(tasks().map(|x| x), Err(Error::Cancelled)));
    assert!(matches!(tasks().map_results(|x| x), Err(Error::Cancelled)));
    assert!(matches!(tasks().with(1u8).map(|_, x| x), Err(Error::Cancelled)));
    let mut lazy = tasks().imap(|x| x);
    assert!(matches!(lazy.next(), Some(Err(Error::Cancelled))));
    assert!(lazy.next().is_none());
    drop(lazy);
    assert!(matches!(tasks().map_scoped(|x| x), Err(Error::Cancelled)));
    let text = tasks().map(|x| x).expect_err("refused").to_string();
    assert_eq!(text, "the call was cancelled, by its token or its handle");
    assert_eq!((asked.get(), pool.worker_pids().len()), (0, 0));
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

/// Waits until the result is no longer wanted, and appends to the file.
fn until_cancelled(w: &mut Worker<'_>, path: String) {
    append(&path, 1);
    wait_until("it is told", || w.is_cancelled());
    append(&path, 2);
}

fn busy(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    let (scratch, token) = (Scratch::new(), CancelToken::new()?);
    let count = |n: u64| scratch.numbers().iter().filter(|m| **m == n).count();
    let (ended, pulled) = thread::scope(|scope| {
        let puller = scope.spawn(|| {
            wait_until("both workers are busy", || count(1) == 2);
            token.cancel();
            Instant::now()
        });
        let paths = std::iter::repeat_n(scratch.path(), 50);
        let tasks = pool.tasks(paths).chunk_size(1).cancel_token(&token);
        assert!(matches!(tasks.with_worker().map(until_cancelled), Err(Error::Cancelled)));
        (Instant::now(), puller.join().expect("the puller does not panic"))
    });
    assert!(ended.saturating_duration_since(pulled) < PROMPT);
    // The items that ran were told, and nothing else has begun.
    wait_until("both items have ended", || count(2) == 2);
    assert_eq!(pool.tasks(0..9u8).chunk_size(1).map(|x| x)?.len(), 9);
    assert_eq!((count(1), count(2)), (2, 2));
    Ok(())
}

/// A worker that is told of a cancel looks for more at once; by then the waiting items of both
/// calls with the token are gone.
fn begins_nothing(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    let begun = SharedArray::<u64>::new(2)?;
    for round in 0..50u64 {
        let token = CancelToken::new()?;
        begun.copy_from_slice(&[0, 0]);
        let call = || {
            let tasks = pool.tasks(std::iter::repeat_n(begun.clone(), 50)).chunk_size(1);
            tasks.cancel_token(&token).with_worker().map(|w, begun| {
                begun.fetch_add(w.id() as usize, 1);
                while !w.is_cancelled() {
                    std::hint::spin_loop();
                }
            })
        };
        thread::scope(|scope| {
            let calls = [scope.spawn(call), scope.spawn(call)];
            wait_until("both workers are busy", || begun.to_vec() == [1, 1]);
            token.cancel();
            for call in calls {
                assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
            }
        });
        // No worker has an item in hand any more when both have run this.
        pool.broadcast(|_| ())?;
        assert_eq!(begun.to_vec(), [1, 1], "round {round}");
    }
    Ok(())
}

fn endless(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    let (scratch, token) = (Scratch::new(), CancelToken::new()?);
    let tasks = pool.tasks(0u64..).cancel_token(&token).with(scratch.path());
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("some have run", || !scratch.numbers().is_empty());
            token.cancel();
        });
        let ended = tasks.try_map(|path, n| {
            if n % 1000 == 999 {
                append(path, n);
            }
            Ok::<(), String>(())
        });
        assert_eq!(ended.expect_err("it has no end").to_string(), Error::Cancelled.to_string());
    });
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn one_of_two(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply((), |()| ())?;
    let (scratch, token) = (Scratch::new(), CancelToken::new()?);
    thread::scope(|scope| -> Outcome {
        let other = scope.spawn(|| pool.tasks(0..30_000u64).chunk_size(10).map(|x| x + 1));
        let cancelled = scope.spawn(|| {
            let tasks = pool.tasks([scratch.path()]).cancel_token(&token);
            tasks.with_worker().map(until_cancelled)
        });
        wait_until("it is busy", || scratch.numbers().len() == 1);
        token.cancel();
        let cancelled = cancelled.join().expect("no panic");
        assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        let all = other.join().expect("no panic")?;
        assert_eq!(all, (1..=30_000).collect::<Vec<_>>());
        Ok(())
    })?;
    // A token of a call that sleeps while another thread drives.
    let (one, two) = (Scratch::new(), Scratch::new());
    let tokens = [CancelToken::new()?, CancelToken::new()?];
    thread::scope(|scope| {
        let calls = [(&one, &tokens[0]), (&two, &tokens[1])].map(|(scratch, token)| {
            let pool = &pool;
            scope.spawn(move || {
                pool.tasks([scratch.path()]).cancel_token(token).with_worker().map(until_cancelled)
            })
        });
        wait_until("both are busy", || one.numbers().len() + two.numbers().len() == 2);
        for (call, token) in calls.into_iter().zip(&tokens) {
            assert!(!call.is_finished());
            token.cancel();
            assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
        }
    });
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn lazy(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let token = CancelToken::new()?;
    let mut values = pool.tasks(0u64..).cancel_token(&token).imap(|x| x);
    for n in 0..100 {
        assert_eq!(values.next().transpose()?, Some(n));
    }
    token.cancel();
    assert!(matches!(values.next(), Some(Err(Error::Cancelled))));
    assert!(values.next().is_none());
    let token = CancelToken::new()?;
    let mut results = pool.tasks(0u64..).cancel_token(&token).imap_results(|x| x);
    assert!(matches!(results.next(), Some(Ok(0))));
    token.cancel();
    // Each item that was read has finished, or has an error.
    for (n, result) in (1..).zip(results.by_ref()) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(Error::Task(task)) => {
                assert_eq!((task.index(), task.cause()), (n, &Cause::Cancelled));
                let text = format!("task {n}: its call was cancelled before it had ended");
                assert_eq!(task.to_string(), text);
            }
            Err(other) => panic!("{other:?}"),
        }
        assert!(n < 10_000, "it reads no more");
    }
    assert!(results.next().is_none());
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    // A token has no effect on a call that is over.
    let token = CancelToken::new()?;
    let sum = pool.tasks(0..10u64).cancel_token(&token).imap(|x| x).map(Result::unwrap_or_default);
    assert_eq!(sum.sum::<u64>(), 45);
    token.cancel();
    Ok(())
}

fn in_the_input(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for chunk_size in [1, 64] {
        let token = CancelToken::new()?;
        let pulled = || {
            (0u64..).inspect(|n| {
                if *n == 500 {
                    token.cancel()
                }
            })
        };
        let asked = std::cell::Cell::new(0);
        let items = pulled().inspect(|n| asked.set(*n));
        let ended = pool.tasks(items).chunk_size(chunk_size).cancel_token(&token).map(|x| x + 1);
        assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
        assert!(asked.get() < 500 + 64, "no chunk is filled after that");
        let token = CancelToken::new()?;
        let items = (0u64..).inspect(|n| {
            if *n == 500 {
                token.cancel()
            }
        });
        let mut lazy = pool.tasks(items).chunk_size(chunk_size).cancel_token(&token).imap(|x| x);
        let ended = lazy.find_map(Result::err);
        assert!(matches!(ended, Some(Error::Cancelled)), "{ended:?}");
        assert!(lazy.next().is_none());
    }
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

const SIGUSR2: i32 = 12;
/// The token in a local of the case; a program's would live for good, but it has a descriptor.
static TOKEN: AtomicPtr<CancelToken> = AtomicPtr::new(ptr::null_mut());

extern "C" fn pull(_: i32) {
    // SAFETY: null, or the token of the case, which takes the address back before it drops the
    // token.
    if let Some(token) = unsafe { TOKEN.load(Ordering::Acquire).as_ref() } {
        token.cancel();
    }
}

fn in_handler(method: StartMethod) -> Outcome {
    let token = CancelToken::new()?;
    TOKEN.store(ptr::from_ref(&token).cast_mut(), Ordering::Release);
    sys::on_signal(SIGUSR2, pull);
    let pool = pool(method, 2)?;
    let items = std::iter::repeat_n(std::process::id(), 20);
    let ended =
        pool.tasks(items).chunk_size(1).cancel_token(&token).with_worker().map(|w, parent| {
            sys::kill(parent, SIGUSR2);
            wait_until("it is told", || w.is_cancelled());
        });
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    // Its workers are gone, and their signals with them.
    pool.stop_and_join()?;
    TOKEN.store(ptr::null_mut(), Ordering::Release);
    Ok(())
}

fn scoped(method: StartMethod) -> Outcome {
    if !matches!(method, StartMethod::Fork | StartMethod::Threads) {
        return Ok(());
    }
    let pool = pool(method, 2)?;
    let (scratch, token) = (Scratch::new(), CancelToken::new()?);
    let path = scratch.path();
    // The input pulls the token once an item has run.
    let items = (0u64..).inspect(|_| {
        if !read_numbers(&path).is_empty() {
            token.cancel();
        }
    });
    let ended = pool.tasks(items).cancel_token(&token).map_scoped(|n| append(&path, n));
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    let ran = scratch.numbers().len();
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    assert_eq!(scratch.numbers().len(), ran, "nothing of it runs any more");
    Ok(())
}

/// A thread that waits sleeps meanwhile: it does not spin although the system refuses to watch so
/// many descriptors.
fn many_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let tokens = [CancelToken::new()?, CancelToken::new()?];
    let open = |at: usize| {
        let mut values = pool.tasks(0u64..).chunk_size(1).cancel_token(&tokens[at % 2]).imap(|x| x);
        values.next().transpose().map(|first| (values, first))
    };
    let mut calls = (0..80).map(open).collect::<Result<Vec<_>, _>>()?;
    assert!(calls.iter().all(|(_, first)| *first == Some(0)));
    let nap = Duration::from_millis(400);
    pool.broadcast(|_| ())?;
    let on_cpu = TimeOnCpu::open()?;
    for limit in [64, 3] {
        let limit_before = sys::limit_descriptors(limit);
        let before = on_cpu.read()?;
        let napped = pool.apply(nap, thread::sleep);
        let after = on_cpu.read()?;
        sys::limit_descriptors(limit_before);
        napped?;
        assert!(after - before < nap / 4, "it spins, with {limit} descriptors");
    }
    tokens[0].cancel();
    pool.apply((), |()| ())?;
    for (at, (values, _)) in calls.iter_mut().enumerate() {
        let cancelled = values.any(|value| matches!(value, Err(Error::Cancelled)) || at % 2 == 1);
        assert!(cancelled);
    }
    assert!(
        calls
            .iter_mut()
            .skip(1)
            .step_by(2)
            .all(|(values, _)| values.next().is_some_and(|v| v.is_ok()))
    );
    Ok(())
}

/// How long this thread has run; opened before descriptors are limited.
pub(super) struct TimeOnCpu(std::fs::File);

impl TimeOnCpu {
    pub(super) fn open() -> std::io::Result<Self> {
        Ok(Self(std::fs::File::open("/proc/thread-self/schedstat")?))
    }

    pub(super) fn read(&self) -> Result<Duration, Box<dyn std::error::Error>> {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0)?;
        let text = std::str::from_utf8(&text[..len])?;
        let nanos = text.split_whitespace().next().ok_or("no time")?.parse()?;
        Ok(Duration::from_nanos(nanos))
    }
}

/// Each item that was read and has not finished is an error of its own, whether it ran or waited;
/// nothing more is read.
fn keeps_finished(method: StartMethod) -> Outcome {
    for lazy in [false, true] {
        let pool = pool(method, 2)?;
        let token = CancelToken::new()?;
        let begun = SharedArray::<u64>::new(2)?;
        let read = std::cell::Cell::new(0);
        let items = (0u64..).inspect(|_| read.set(read.get() + 1)).map(|n| (begun.clone(), n));
        let tasks = pool.tasks(items).chunk_size(1).max_tasks_active(60).cancel_token(&token);
        let task = |w: &mut Worker<'_>, (begun, n): (SharedArray<u64>, u64)| {
            if n == 10 || n == 30 {
                begun.fetch_add(usize::from(n == 30), 1);
                // The item's value comes too late.
                while !w.is_cancelled() {
                    std::hint::spin_loop();
                }
            }
            n
        };
        let results: Vec<Result<u64, Error>> = thread::scope(|scope| {
            scope.spawn(|| {
                wait_until("both workers are busy", || begun.to_vec() == [1, 1]);
                token.cancel();
            });
            if lazy {
                tasks.with_worker().imap_results(task).collect()
            } else {
                let results =
                    tasks.with_worker().map_results(task).expect("it is no failure of the pool");
                results.into_iter().map(|result| result.map_err(Error::from)).collect()
            }
        });
        assert_eq!(results.len(), read.get(), "lazy: {lazy}");
        assert!(read.get() <= 30 + 61);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert!(value == n && n < 30 && n != 10),
                Err(Error::Task(task)) => {
                    assert_eq!((task.index(), task.cause()), (n, &Cause::Cancelled));
                    assert!(n == 10 || n >= 29, "{n} had finished");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(pool.map([1u8], |x| x)?, [1]);
    }
    Ok(())
}

/// The input pulls the token, before the caller has taken any result: what had finished is kept all
/// the same.
fn keeps_uncollected(method: StartMethod) -> Outcome {
    const LAST: u64 = 30;
    for lazy in [false, true] {
        let pool = pool(method, 1)?;
        let token = CancelToken::new()?;
        let begun = SharedArray::<u64>::new(1)?;
        let items = (0..LAST + 10).inspect(|n| {
            if *n == LAST + 9 {
                wait_until("the last one has begun", || begun.to_vec() == [1]);
                token.cancel();
            }
        });
        let items = items.map(|n| (begun.clone(), n));
        let task = |w: &mut Worker<'_>, (begun, n): (SharedArray<u64>, u64)| {
            if n == LAST {
                begun.fetch_add(0, 1);
                while !w.is_cancelled() {
                    std::hint::spin_loop();
                }
            }
            n
        };
        let tasks = pool.tasks(items).chunk_size(1).max_tasks_active(60).cancel_token(&token);
        let results: Vec<Result<u64, Error>> = if lazy {
            tasks.with_worker().imap_results(task).collect()
        } else {
            let results = tasks.with_worker().map_results(task)?;
            results.into_iter().map(|result| result.map_err(Error::from)).collect()
        };
        assert_eq!(results.len() as u64, LAST + 10, "lazy: {lazy}");
        let finished: Vec<u64> = results.into_iter().map_while(Result::ok).collect();
        assert!(finished.into_iter().eq(0..LAST), "lazy: {lazy}");
    }
    Ok(())
}
