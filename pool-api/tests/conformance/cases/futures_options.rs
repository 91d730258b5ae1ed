//! Options of a single future, and a result's own code that uses its handle.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pool_api::{AsyncResult, CancelToken, Cause, Error, SharedArray, StartMethod, Worker, wire};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
    scratch::{Scratch, append, read_numbers, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_see_their_worker", with_worker),
    Case::new("futures_are_tried_again", retried).processes(),
    Case::new("futures_with_limits", limited),
    Case::new("futures_on_one_worker", on_one_worker),
    Case::new("futures_for_a_busy_worker_hold_up_no_others", for_a_busy_worker),
    Case::new("futures_with_a_token", with_token),
    Case::new("futures_with_a_token_that_kills", with_killing_token),
    Case::new("futures_whose_result_looks_at_its_handle", reentrant),
];

fn with_worker(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared(40u64).worker_init(|w| u64::from(w.id())).build()?;
    let handles: Vec<_> = (0..50u64)
        .map(|x| pool.task(x).with_worker().apply_async(|w, x| (*w.shared + x, *w.state, w.id())))
        .collect::<Result<_, _>>()?;
    for (x, handle) in (0..).zip(handles) {
        let (sum, state, id) = handle.get()?;
        assert!(sum == 40 + x && state == u64::from(id));
    }
    assert_eq!(pool.task(2u64).with_worker().apply(|w, x| *w.shared + x)?, 42);
    assert_eq!(pool.task(2u64).apply(|x| x)?, 2);
    Ok(())
}

fn retried(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    let twice = |path: String| {
        append(&path, 1);
        if read_numbers(&path).len() < 3 {
            std::process::abort()
        }
    };
    pool.task(scratch.path()).retry(2).apply_async(twice)?.get()?;
    let dies = pool.task(1u8).retry(1).apply_async(|_| -> u8 { std::process::abort() })?;
    assert!(matches!(dies.get(), Err(Error::Task(task)) if task.tries() == 2));
    let dies = pool.apply_async(1u8, |_| -> u8 { std::process::abort() })?;
    assert!(matches!(dies.get(), Err(Error::Task(task)) if task.tries() == 1));
    Ok(())
}

fn limited(method: StartMethod) -> Outcome {
    let (scratch, later) = (Scratch::new(), Scratch::new());
    let pool = pool(method, 2)?;
    let limit = Duration::from_millis(60);
    let overdue = |error| match error {
        Error::Task(task) => assert_eq!(task.cause(), &Cause::Timeout { limit }),
        other => panic!("{other}"),
    };
    let stuck = || pool.task((scratch.path(), 1)).task_timeout(limit).apply_async(until_told);
    let free = pool.task((scratch.path(), 1)).apply_async(until_told)?;
    overdue(block_on(stuck()?).expect_err("it is overdue"));
    append(&scratch.path(), 1);
    assert_eq!(free.get()?, 1);
    // By a callback, while no thread waits.
    let (to, told) = mpsc::channel();
    let stuck = pool.task((later.path(), 1)).task_timeout(limit).apply_async(until_told)?;
    stuck.error_callback(move |error| to.send(error).expect("the case listens"));
    overdue(told.recv_timeout(Duration::from_secs(20))?);
    append(&later.path(), 1);
    let zero = pool.task(1u8).task_timeout(Duration::ZERO).apply_async(|x| x);
    assert!(zero.is_err_and(|r| r.item == 1 && matches!(r.error, Error::InvalidInput(_))));
    assert_eq!(pool.task(1u8).task_timeout(limit).apply_async(|x| x)?.get()?, 1);
    Ok(())
}

fn on_one_worker(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    let handles = (0..60u32)
        .map(|x| pool.task(x).on_worker(x % 3).with_worker().apply_async(|w, x| (w.id(), x)))
        .collect::<Result<Vec<_>, _>>()?;
    for (x, handle) in (0..).zip(handles) {
        assert_eq!(handle.get()?, (x % 3, x));
    }
    assert_eq!(pool.task(7u8).on_worker(1).try_apply_async(|x| x)?.get()?, 7);
    for id in [3, u32::MAX] {
        let refused = pool.task(7u8).on_worker(id).apply_async(|x| x).expect_err("no such worker");
        let text = format!("on_worker: worker id must be below 3, got {id}");
        assert_eq!((refused.item, refused.error.to_string()), (7, text));
    }
    Ok(())
}

fn for_a_busy_worker(method: StartMethod) -> Outcome {
    let (pool, gate) = (pool(method, 2)?, Scratch::new());
    let busy = (0..300u32)
        .map(|n| pool.task((gate.path(), n)).on_worker(0).apply_async(until_told))
        .collect::<Result<Vec<_>, _>>()?;
    // One that waits in line is taken back.
    assert!(busy[200].cancel());
    for n in 0..20u32 {
        assert_eq!(pool.task(n).on_worker(1).apply_async(|n| n)?.get()?, n);
        assert_eq!(pool.task(n).apply_async(|n| n + 1)?.get()?, n + 1);
    }
    assert!(!busy[0].ready());
    append(&gate.path(), 1);
    for (n, handle) in (0..).zip(busy) {
        match handle.get() {
            Err(Error::Cancelled) if n == 200 => {}
            value => assert_eq!(value?, n),
        }
    }
    Ok(())
}

/// The item is returned once its task is cancelled.
fn until_cancelled(w: &mut Worker<'_>, (begun, x): (SharedArray<u64>, u64)) -> u64 {
    begun.fetch_add(0, 1);
    while !w.is_cancelled() {
        std::thread::yield_now();
    }
    x
}

fn with_token(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (token, begun) = (CancelToken::new()?, SharedArray::<u64>::new(1)?);
    let hand_in = |x| {
        let task = pool.task((begun.clone(), x)).cancel_token(&token);
        task.with_worker().apply_async(until_cancelled)
    };
    let handles = (0..6u64).map(hand_in).collect::<Result<Vec<_>, _>>()?;
    // Both shapes of a call, and both ways to wait.
    let with_context = pool.task(7u64).with(6u64).cancel_token(&token).apply_async(|c, x| c * x)?;
    let other = pool.task(3u64).apply_async(|x| x)?;
    wait_until("two have begun", || begun.get(0) == 2);
    token.cancel();
    let mut handles = handles.into_iter();
    let first = handles.next().map(block_on);
    assert!(matches!(first, Some(Err(Error::Cancelled))), "{first:?}");
    for handle in handles {
        let ended = handle.get();
        assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    }
    assert!(matches!(with_context.get(), Err(Error::Cancelled)));
    assert_eq!(other.get()?, 3);
    assert_eq!(begun.get(0), 2);
    let refused = hand_in(9).expect_err("the token was pulled before");
    assert!(matches!(refused.error, Error::Cancelled) && refused.item.1 == 9);
    let fresh = CancelToken::new()?;
    for _ in 0..2 {
        let one = pool.task(4u64).cancel_token(&fresh);
        assert_eq!(one.on_worker(1).apply_async(|x| x + 1)?.get()?, 5);
    }
    let fails = pool.task(4u64).cancel_token(&fresh).apply_async(|_| panic!("as it should"))?;
    let number = fails.number();
    let failed: Result<(), Error> = fails.get();
    assert!(matches!(&failed, Err(Error::Task(t)) if t.future() == Some(number)), "{failed:?}");
    Ok(())
}

fn with_killing_token(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (token, begun) = (CancelToken::new()?, SharedArray::<u64>::new(1)?);
    let threads = method == StartMethod::Threads;
    let endless = |w: &mut Worker<'_>, (begun, threads): (SharedArray<u64>, bool)| {
        begun.fetch_add(0, 1);
        while !(threads && w.is_cancelled()) {
            std::hint::spin_loop();
        }
    };
    let hangs = pool.task((begun.clone(), threads)).cancel_token(&token).with_worker();
    let hangs = hangs.on_worker(0).apply_async(endless)?;
    wait_until("it has begun", || begun.get(0) == 1);
    token.kill(Duration::ZERO);
    assert!(matches!(hangs.get(), Err(Error::Cancelled)));
    // The worker with this id is another one, or free again.
    assert_eq!(pool.task(1u8).on_worker(0).apply(|x| x)?, 1);
    Ok(())
}

/// The handle of the call whose result is copied.
static HANDLE: Mutex<Option<Arc<AsyncResult<Curious>>>> = Mutex::new(None);

wire! {
    #[derive(Debug, PartialEq)]
    struct Curious(u32);
}

impl Clone for Curious {
    fn clone(&self) -> Self {
        let handle = HANDLE.lock().expect("no panic").clone().expect("it was put there");
        let waits = handle.wait();
        assert!(handle.ready() || matches!(waits, Err(Error::NestedUse)), "{waits:?}");
        let _ = (handle.successful(), handle.cancel());
        handle.error_callback(|_| {});
        Self(self.0 + 1)
    }
}

fn reentrant(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 1)?;
    let made = pool.apply_async((scratch.path(), 7), |item| Curious(until_told(item)))?;
    let (to, told) = mpsc::channel();
    let copies = to.clone();
    made.callback(move |value| copies.send(value).expect("the case listens"));
    let handle = Arc::new(made);
    *HANDLE.lock().expect("no panic") = Some(handle.clone());
    append(&scratch.path(), 1);
    assert_eq!(told.recv_timeout(Duration::from_secs(20))?, Curious(8));
    // Once more, with a result that is there.
    handle.wait()?;
    handle.callback(move |value| to.send(value).expect("the case listens"));
    assert_eq!(told.recv_timeout(Duration::from_secs(20))?, Curious(8));
    *HANDLE.lock().expect("no panic") = None;
    let handle = Arc::into_inner(handle).ok_or("the last one")?;
    assert_eq!(handle.get()?, Curious(7));
    Ok(())
}
