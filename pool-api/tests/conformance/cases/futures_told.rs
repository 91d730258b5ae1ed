//! The receivers of a future's end: callbacks, tasks of executors, threads that wait for several.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use pool_api::{
    AsyncResult, Cause, Error, StartMethod, WaitFor, as_completed, as_completed_timeout, wait,
};

use crate::{
    case::{Case, Outcome, pool},
    executor::block_on,
    scratch::{Scratch, append, read_numbers, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_call_back", call_back),
    Case::new("futures_callbacks_that_panic_or_block", bad_callbacks),
    Case::new("futures_as_completed", completed),
    Case::new("futures_as_completed_in_time", completed_in_time),
    Case::new("futures_wait_for_several", several),
    Case::new("futures_are_awaited", awaited),
    Case::new("futures_are_awaited_beside_a_map", awaited_beside_a_map),
];

fn odd_fails(n: u32) -> u32 {
    if n % 2 == 1 { panic!("odd: {n}") } else { n }
}

fn call_back(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (to, told) = mpsc::channel();
    for n in 0..100 {
        let handle = pool.apply_async(n, odd_fails)?;
        let (good, bad) = (to.clone(), to.clone());
        handle.callback(move |value| {
            assert_eq!(thread::current().name(), Some("pool-driver"));
            good.send(Ok(value)).expect("the case listens");
        });
        handle.error_callback(move |error| {
            bad.send(Err(error.to_string())).expect("the case listens");
        });
        // The handle is dropped: its callbacks come all the same.
    }
    let mut values = BTreeSet::new();
    for _ in 0..100 {
        match told.recv_timeout(Duration::from_secs(20))? {
            Ok(value) => assert!(value % 2 == 0 && values.insert(value)),
            Err(text) => assert!(text.contains("odd: "), "{text}"),
        }
    }
    assert_eq!(values.len(), 50);
    // Callbacks of a future that has ended already, and of one whose value is taken as well.
    let handle = pool.apply_async(4, odd_fails)?;
    handle.wait()?;
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let count = count.clone();
        handle.callback(move |value| {
            count.fetch_add(value as usize, Ordering::Relaxed);
        });
    }
    assert_eq!(handle.get()?, 4);
    pool.stop_and_join()?;
    assert_eq!(count.load(Ordering::Relaxed), 8);
    Ok(())
}

fn bad_callbacks(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    let (release, blocks) = mpsc::channel::<()>();
    let (to, told) = mpsc::channel();
    let first = pool.apply_async(0, odd_fails)?;
    first.callback(move |_| {
        to.send(()).expect("the case listens");
        blocks.recv().expect("it is released");
        panic!("on purpose: a callback's panic goes no further");
    });
    told.recv_timeout(Duration::from_secs(20))?;
    // While the callback blocks, other calls have their results, in every way of waiting.
    let others: Vec<_> =
        (1..50).map(|n| pool.apply_async(2 * n, odd_fails)).collect::<Result<_, _>>()?;
    let later = Arc::new(Mutex::new(Vec::new()));
    for handle in &others {
        let later = later.clone();
        handle.callback(move |value| later.lock().expect("no panic").push(value));
    }
    assert_eq!(block_on(pool.apply_async(6, odd_fails)?)?, 6);
    let sum: u32 = others.into_iter().map(AsyncResult::get).sum::<Result<_, _>>()?;
    assert_eq!(sum, 2450);
    assert_eq!(first.get()?, 0);
    assert!(later.lock().is_ok_and(|later| later.is_empty()));
    release.send(())?;
    pool.stop_and_join()?;
    assert!(later.lock().is_ok_and(|later| later.iter().sum::<u32>() == 2450));
    Ok(())
}

/// Returns its second part when the file is no longer empty.
pub(super) fn until_told((path, n): (String, u32)) -> u32 {
    wait_until("it is told", || !read_numbers(&path).is_empty());
    n
}

/// Writes to the first file, and returns when the second one is no longer empty.
pub(super) fn begun_until_told((begun, gate): (String, String)) -> u32 {
    append(&begun, 1);
    until_told((gate, 7))
}

fn completed(method: StartMethod) -> Outcome {
    let (pool, other) = (pool(method, 2)?, pool(method, 1)?);
    let scratch = Scratch::new();
    let slow = pool.apply_async((scratch.path(), 100), until_told)?;
    let mut handles = vec![slow];
    for n in 0..20 {
        handles.push(if n % 2 == 0 { &pool } else { &other }.apply_async(n, |n| n)?);
    }
    let mut ended = as_completed(handles)?;
    let mut sum = 0;
    for (index, handle) in ended.by_ref().take(20) {
        assert!(handle.ready());
        assert_eq!(handle.get()? as usize + 1, index);
        sum += index;
    }
    assert_eq!((sum, ended.size_hint()), (210, (1, Some(1))));
    append(&scratch.path(), 1);
    let (index, last) = ended.next().ok_or("one is left")?;
    assert_eq!((index, last.get()?), (0, 100));
    assert!(ended.next().is_none());
    Ok(())
}

fn completed_in_time(method: StartMethod) -> Outcome {
    let (pool, other) = (pool(method, 2)?, pool(method, 1)?);
    let gate = Scratch::new();
    let slow = |n| pool.apply_async((gate.path(), n), until_told);
    let handles = [slow(7)?, pool.apply_async(1, |n| n)?, other.apply_async(2, |n| n)?];
    handles[1..].iter().try_for_each(AsyncResult::wait)?;
    // Those that have ended come also when there is no time.
    let mut ended = as_completed_timeout(handles, Duration::ZERO)?;
    let mut values =
        ended.by_ref().take(2).map(|next| next?.1.get()).collect::<Result<Vec<_>, _>>()?;
    values.sort_unstable();
    assert_eq!(values, [1, 2]);
    assert!(matches!(ended.next(), Some(Err(Error::NotReady))) && ended.next().is_none());
    let (indices, mut rest): (Vec<_>, Vec<_>) = ended.into_rest().into_iter().unzip();
    assert_eq!(indices, [0]);
    rest.push(slow(8)?);
    let mut ended = as_completed_timeout(rest, Duration::from_millis(20))?;
    assert!(matches!(ended.next(), Some(Err(Error::NotReady))) && ended.next().is_none());
    append(&gate.path(), 1);
    let rest = ended.into_rest().into_iter().map(|(_, handle)| handle);
    let all = as_completed_timeout(rest, Duration::MAX)?;
    let mut all: Vec<_> = all.map(|next| next?.1.get()).collect::<Result<_, _>>()?;
    all.sort_unstable();
    assert_eq!(all, [7, 8]);
    let none = as_completed_timeout(Vec::<AsyncResult<u8>>::new(), Duration::ZERO)?;
    assert_eq!(none.count(), 0);
    Ok(())
}

fn several(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let scratch = Scratch::new();
    let slow = (scratch.path(), 7);
    let some = [pool.apply_async(slow.clone(), until_told)?, pool.apply_async(slow, until_told)?];
    assert!(wait(&some, WaitFor::First, Some(Duration::from_millis(20)))?.is_empty());
    append(&scratch.path(), 1);
    let mut ended = wait(&some, WaitFor::All, None)?;
    ended.sort_unstable();
    assert_eq!(ended, [0, 1]);
    assert!(!wait(&some, WaitFor::First, None)?.is_empty());
    let many: Vec<_> = (0..40)
        .map(|n| pool.apply_async(if n == 20 { 1 } else { 2 }, odd_fails))
        .collect::<Result<_, _>>()?;
    let ended = wait(&many, WaitFor::FirstError, None)?;
    assert!(ended.contains(&20));
    let Err(Error::Task(task)) = many.into_iter().nth(20).ok_or("20 is there")?.get() else {
        panic!("it has failed")
    };
    assert!(matches!(task.cause(), Cause::Panic { .. }));
    assert!(wait::<u8>(&[], WaitFor::All, None)?.is_empty());
    Ok(())
}

fn awaited(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for n in 0..200u64 {
        assert_eq!(block_on(pool.apply_async(n, |n| n + 1)?)?, n + 1);
    }
    let sum = block_on(async {
        let handles: Vec<_> =
            (0..1000u64).map(|n| pool.apply_async(n, |n| n)).collect::<Result<_, _>>()?;
        let mut sum = 0;
        for handle in handles {
            sum += handle.await?;
        }
        Ok::<u64, Error>(sum)
    })?;
    assert_eq!(sum, 499_500);
    let failed = block_on(pool.apply_async(3, odd_fails)?);
    assert!(matches!(failed, Err(Error::Task(_))));
    // A wait that is given up in the middle does no harm.
    let scratch = Scratch::new();
    let mut open = pool.apply_async((scratch.path(), 1), until_told)?;
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(&mut open).poll(&mut context).is_pending());
    drop(open);
    append(&scratch.path(), 1);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    // A future that is open when the pool ends gets an error.
    let (begun, gate) = (Scratch::new(), Scratch::new());
    let left = pool.apply_async((begun.path(), gate.path()), begun_until_told)?;
    let waits = thread::spawn(move || block_on(left));
    wait_until("the worker is at it", || !begun.numbers().is_empty());
    append(&gate.path(), 1);
    pool.stop_and_join()?;
    assert_eq!(waits.join().expect("no panic")?, 7);
    Ok(())
}

fn awaited_beside_a_map(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    thread::scope(|scope| {
        let map = scope.spawn(|| pool.map(0..100_000u64, |x| x + 1));
        for n in 0..50u64 {
            assert_eq!(block_on(pool.apply_async(n, |n| n)?)?, n);
        }
        assert_eq!(map.join().expect("no panic")?.len(), 100_000);
        Ok(())
    })
}
