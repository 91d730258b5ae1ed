//! Iterators that are asked with a limit: a value that is not there in time is waited for again.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

use pool_api::{CancelToken, Cause, Error, Result, StartMethod};

use super::{cancelling::TimeOnCpu, futures_told::until_told};
use crate::{
    case::{Case, Outcome, builder, pool, words},
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("next_timeout_while_a_task_holds", holds),
    Case::new("next_timeout_of_zero", zero),
    Case::new("next_timeout_refuses_as_next_does", refused),
    Case::new("next_timeout_of_a_killed_worker", killed).processes(),
    Case::new("next_timeout_cancelled", cancelled),
    Case::new("next_timeout_of_overdue_items", overdue),
    Case::new("next_timeout_beside_a_call_that_drives", beside_a_map),
    Case::new("next_timeout_without_room", no_room).processes(),
    Case::new("next_timeout_sleeps", sleeps),
    Case::new("next_timeout_without_keep_alive", without_keep_alive),
];

const SOON: Duration = Duration::from_millis(5);
/// No case waits so long.
const LONG: Duration = Duration::from_secs(600);

/// Appends the process to the first file, and returns when the second one is no longer empty.
fn holding((begun, gate, n): (String, String, u32)) -> u32 {
    append(&begun, u64::from(std::process::id()));
    until_told((gate, n))
}

/// The files of a task that holds, and its item.
struct Held {
    begun: Scratch,
    gate: Scratch,
}

impl Held {
    fn new() -> Self {
        Self { begun: Scratch::new(), gate: Scratch::new() }
    }

    fn item(&self, n: u32) -> (String, String, u32) {
        (self.begun.path(), self.gate.path(), n)
    }

    fn wait_for(&self, tasks: usize) {
        wait_until("they hold", || self.begun.numbers().len() == tasks);
    }

    fn release(&self) {
        append(&self.gate.path(), 1);
    }
}

fn is_not_ready<T>(next: &Option<Result<T>>) -> bool {
    matches!(next, Some(Err(Error::NotReady)))
}

/// What `next` with any limit has to do while a task holds, and afterwards; `value` takes the
/// iterator's item apart.
fn hold<T: std::fmt::Debug>(
    held: &Held,
    mut next: impl FnMut(Duration) -> Option<Result<T>>,
    value: impl Fn(T) -> u32,
) -> Outcome {
    // The first one sends the item.
    for limit in [Duration::ZERO, Duration::from_nanos(1), SOON] {
        assert!(is_not_ready(&next(limit)));
    }
    held.wait_for(1);
    for limit in [SOON, Duration::ZERO, SOON] {
        assert!(is_not_ready(&next(limit)), "it holds");
    }
    held.release();
    assert_eq!(next(Duration::MAX).transpose()?.map(value), Some(7));
    for limit in [Duration::MAX, SOON, Duration::ZERO] {
        assert!(next(limit).is_none(), "it has ended");
    }
    Ok(())
}

fn holds(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let held = Held::new();
    let mut values = pool.tasks([held.item(7)]).imap(holding);
    hold(&held, |limit| values.next_timeout(limit), |n| n)?;
    let held = Held::new();
    let mut values = pool.tasks([held.item(7)]).imap_unordered(holding);
    hold(&held, |limit| values.next_timeout(limit), |n| n)?;
    let held = Held::new();
    let mut results = pool.tasks([held.item(7)]).imap_results(holding);
    hold(&held, |limit| results.next_timeout(limit), |n| n)?;
    let held = Held::new();
    let mut results = pool.tasks([held.item(7)]).imap_unordered_results(holding);
    hold(&held, |limit| results.next_timeout(limit), |(index, n)| n - index as u32)?;
    // Values behind one that holds wait for it; both ways to ask get along.
    let held = Held::new();
    let items = (0..6).map(|n| (n == 2).then(|| held.item(n)).ok_or(n));
    let mut values = pool.tasks(items.collect::<Vec<_>>()).chunk_size(1).imap(|item| match item {
        Ok(held) => holding(held),
        Err(n) => n,
    });
    assert_eq!(values.next_timeout(LONG).transpose()?, Some(0));
    assert_eq!(values.next().transpose()?, Some(1));
    assert!(is_not_ready(&values.next_timeout(SOON)));
    held.release();
    for n in 2..6 {
        let next = if n % 2 == 0 { values.next() } else { values.next_timeout(LONG) };
        assert_eq!(next.transpose()?, Some(n));
    }
    assert!(values.next_timeout(SOON).is_none());
    Ok(())
}

/// Asks without waiting until the value is there.
fn poll<T>(mut next: impl FnMut() -> Option<Result<T>>) -> Option<Result<T>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let next = next();
        if !is_not_ready(&next) {
            return next;
        }
        assert!(Instant::now() < deadline, "polled in vain");
        thread::yield_now();
    }
}

fn zero(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let read = Cell::new(0);
    let items = (0..300u32).inspect(|_| read.set(read.get() + 1));
    let mut values = pool.tasks(items).chunk_size(3).imap(|x| x);
    assert_eq!(read.get(), 0, "nothing runs before it is asked");
    for n in 0..300 {
        assert_eq!(poll(|| values.next_timeout(Duration::ZERO)).transpose()?, Some(n));
    }
    assert!(values.next_timeout(Duration::ZERO).is_none());
    assert_eq!(read.get(), 300);
    assert!(pool.tasks(0..0u8).imap(|x| x).next_timeout(Duration::ZERO).is_none());
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let mut refused = pool.tasks(0..3u8).chunk_size(0).imap(|x| x);
    assert!(matches!(refused.next_timeout(Duration::ZERO), Some(Err(Error::InvalidInput(_)))));
    assert!(refused.next_timeout(Duration::ZERO).is_none());
    // A failure ends `imap`, not `imap_results`.
    let odd = |n: u32| if n == 1 { panic!("one") } else { n };
    let mut values = pool.tasks(0..3).imap(odd);
    assert_eq!(values.next_timeout(LONG).transpose()?, Some(0));
    assert!(matches!(values.next_timeout(LONG), Some(Err(Error::Task(_)))));
    assert!(values.next_timeout(LONG).is_none());
    let mut results = pool.tasks(0..3).imap_results(odd);
    assert_eq!(results.next_timeout(LONG).transpose()?, Some(0));
    assert!(matches!(results.next_timeout(LONG), Some(Err(Error::Task(_)))));
    assert_eq!(results.next_timeout(LONG).transpose()?, Some(2));
    assert!(results.next_timeout(LONG).is_none());
    Ok(())
}

fn killed(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let held = Held::new();
    let mut results = pool.tasks([held.item(1), held.item(2)]).chunk_size(1).imap_results(holding);
    assert!(is_not_ready(&results.next_timeout(SOON)));
    held.wait_for(2);
    for pid in held.begun.numbers() {
        assert!(sys::kill(pid as u32, 9));
    }
    for index in 0..2 {
        match poll(|| results.next_timeout(SOON)) {
            Some(Err(Error::Task(task))) => {
                assert_eq!(task.index(), index);
                assert!(matches!(task.cause(), Cause::Death(_)), "{task}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(results.next_timeout(SOON).is_none());
    // It is tried again, and the iterator still waits for it.
    let held = Held::new();
    let mut values = pool.tasks([held.item(3)]).retry(1).imap(holding);
    assert!(is_not_ready(&values.next_timeout(SOON)));
    held.wait_for(1);
    assert!(sys::kill(held.begun.numbers()[0] as u32, 9));
    let deadline = Instant::now() + Duration::from_secs(20);
    while held.begun.numbers().len() < 2 {
        assert!(is_not_ready(&values.next_timeout(SOON)) && Instant::now() < deadline);
    }
    held.release();
    assert_eq!(values.next_timeout(LONG).transpose()?, Some(3));
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    // Dropped after the pool, whose threads may still look at the files.
    let held = Held::new();
    let pool = pool(method, 2)?;
    let token = CancelToken::new()?;
    let tasks = || pool.tasks([held.item(1)]).cancel_token(&token);
    let (mut values, mut results) = (tasks().imap(holding), tasks().imap_results(holding));
    let mut indexed = tasks().imap_unordered_results(holding);
    // The third one waits behind those of two workers.
    assert!(is_not_ready(&values.next_timeout(SOON)));
    assert!(is_not_ready(&results.next_timeout(SOON)));
    assert!(is_not_ready(&indexed.next_timeout(Duration::ZERO)));
    held.wait_for(2);
    let pulls = token.clone();
    thread::scope(|scope| {
        scope.spawn(move || pulls.cancel());
        assert!(matches!(values.next_timeout(LONG), Some(Err(Error::Cancelled))));
    });
    assert!(values.next_timeout(LONG).is_none());
    let is_cancelled = |error: Option<Error>| matches!(&error, Some(Error::Task(task)) if task.index() == 0 && task.cause() == &Cause::Cancelled);
    assert!(is_cancelled(results.next_timeout(Duration::ZERO).and_then(Result::err)));
    assert!(results.next_timeout(LONG).is_none());
    assert!(is_cancelled(indexed.next_timeout(LONG).and_then(Result::err)));
    assert!(indexed.next_timeout(LONG).is_none());
    held.release();
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn overdue(method: StartMethod) -> Outcome {
    // Dropped after the pool, whose threads may still look at the files.
    let held = Held::new();
    let pool = pool(method, 2)?;
    let limit = Duration::from_millis(60);
    let items = [Ok(0), Err(held.item(1)), Ok(2)];
    let tasks = pool.tasks(items).chunk_size(1).task_timeout(limit);
    let mut results = tasks.imap_results(|item| item.unwrap_or_else(holding));
    for index in 0..3 {
        match poll(|| results.next_timeout(SOON)) {
            Some(Ok(n)) if index != 1 => assert_eq!(n, index),
            Some(Err(Error::Task(task))) if index == 1 => {
                assert_eq!((task.index(), task.cause()), (1, &Cause::Timeout { limit }));
            }
            other => panic!("{index}: {other:?}"),
        }
    }
    assert!(results.next_timeout(SOON).is_none());
    held.release();
    Ok(())
}

/// Another thread that waits in a call does the work for both.
fn beside_a_map(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (map, lazy) = (Held::new(), Held::new());
    thread::scope(|scope| {
        let mapped = scope.spawn(|| pool.map([map.item(1)], holding));
        map.wait_for(1);
        let mut values = pool.tasks([lazy.item(7)]).imap(holding);
        hold(&lazy, |limit| values.next_timeout(limit), |n| n)?;
        map.release();
        assert_eq!(mapped.join().expect("no panic")?, [1]);
        Ok(())
    })
}

/// A call whose items have no room in the arena does not wait for it beyond the limit.
fn no_room(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).arena_limit(1 << 20).build()?;
    let held = Held::new();
    let large = || words(600 << 10, 3);
    let holding = |(held, large): ((String, String, u32), Vec<u64>)| (holding(held), large.len());
    let call = |n| pool.tasks([(held.item(n), large())]).imap(holding);
    let (mut first, mut second) = (call(1), call(2));
    assert!(is_not_ready(&first.next_timeout(SOON)));
    held.wait_for(1);
    for limit in [Duration::ZERO, SOON, Duration::ZERO, SOON] {
        assert!(is_not_ready(&second.next_timeout(limit)), "there is no room");
    }
    assert_eq!(held.begun.numbers().len(), 1);
    held.release();
    assert_eq!(second.next_timeout(LONG).transpose()?, Some((2, large().len())));
    assert_eq!(first.next_timeout(LONG).transpose()?, Some((1, large().len())));
    assert!(first.next_timeout(SOON).is_none() && second.next_timeout(SOON).is_none());
    Ok(())
}

fn sleeps(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let held = Held::new();
    let token = CancelToken::new()?;
    let mut plain = pool.tasks([held.item(1)]).imap(holding);
    let mut with_token = pool.tasks([held.item(1)]).cancel_token(&token).imap(holding);
    assert!(is_not_ready(&plain.next_timeout(SOON)));
    assert!(is_not_ready(&with_token.next_timeout(SOON)));
    held.wait_for(2);
    let nap = Duration::from_millis(400);
    let on_cpu = TimeOnCpu::open()?;
    let before = on_cpu.read()?;
    assert!(is_not_ready(&plain.next_timeout(nap)));
    assert!(is_not_ready(&with_token.next_timeout(nap)));
    assert!(on_cpu.read()? - before < nap / 4, "it spins");
    held.release();
    assert_eq!(plain.next_timeout(LONG).transpose()?, Some(1));
    assert_eq!(with_token.next_timeout(LONG).transpose()?, Some(1));
    Ok(())
}

/// The end does not wait for the exits of workers that end with their call.
fn without_keep_alive(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).keep_alive(false).worker_exit(|w| w.id()).build()?;
    for _ in 0..3 {
        let mut values = pool.tasks(0..5u32).imap(|x| x);
        for n in 0..5 {
            assert_eq!(values.next_timeout(LONG).transpose()?, Some(n));
        }
        assert!(values.next_timeout(LONG).is_none() && values.next().is_none());
    }
    pool.stop_and_join()?;
    Ok(())
}
