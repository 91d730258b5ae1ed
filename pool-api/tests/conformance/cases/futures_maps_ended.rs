//! Maps of which the caller takes the values later, and which fail or are ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

use pool_api::{CancelToken, Cause, Error, StartMethod, Worker};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("map_async_fails", fails),
    Case::new("map_async_of_a_dying_worker", dying).processes(),
    Case::new("map_async_overdue", overdue),
    Case::new("map_async_cancelled", cancelled),
    Case::new("map_async_refused", refused),
    Case::new("map_async_of_a_terminated_pool", terminated),
    Case::new("map_async_in_a_forked_child_is_refused", forked),
    Case::new("map_async_beside_a_thread_that_panics", consumer_panics),
];

fn fails(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let odd = |n: u32| if n == 70 { panic!("seventy") } else { n };
    let (to, told) = mpsc::channel();
    let handle = pool.tasks(0..100).chunk_size(9).map_async(odd)?;
    handle.callback(|_| panic!("there is no value"));
    handle.error_callback(move |error| to.send(error).expect("the case listens"));
    let beside = pool.map_async(0..50u32, |x| x)?;
    for error in [told.recv_timeout(Duration::from_secs(20))?, handle.get().expect_err("70")] {
        let Error::Task(task) = &error else { panic!("{error}") };
        assert!(matches!(task.cause(), Cause::Panic { message, .. } if message == "seventy"));
        assert_eq!(task.index(), 70);
    }
    assert_eq!(beside.get()?.len(), 50);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    Ok(())
}

fn dying(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let dies = |n: u32| if n == 70 { std::process::abort() } else { n };
    let handle = pool.tasks(0..100u32).retry(1).map_async(dies)?;
    match handle.get() {
        Err(Error::Task(task)) => assert_eq!((task.index(), task.tries()), (70, 2)),
        other => panic!("{other:?}"),
    }
    let scratch = Scratch::new();
    let once = |path: String| {
        append(&path, 1);
        if crate::scratch::read_numbers(&path).len() == 1 {
            std::process::abort()
        }
    };
    assert_eq!(pool.tasks([scratch.path()]).retry(3).map_async(once)?.get()?, [()]);
    assert_eq!(pool.map(0..100u8, |x| x)?.len(), 100);
    Ok(())
}

fn overdue(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 2)?;
    let limit = Duration::from_millis(100);
    let items = [(scratch.path(), 1), (scratch.path(), 2)];
    let (to, told) = mpsc::channel();
    let handle = pool.tasks(items).task_timeout(limit).map_async(until_told)?;
    handle.error_callback(move |error| to.send(error).expect("the case listens"));
    // No thread waits for the map itself.
    match told.recv_timeout(Duration::from_secs(20))? {
        Error::Task(task) => assert_eq!(task.cause(), &Cause::Timeout { limit }),
        other => return Err(other.into()),
    }
    append(&scratch.path(), 1);
    assert_eq!(pool.map(0..100u8, |x| x)?.len(), 100);
    Ok(())
}

fn cancelled(method: StartMethod) -> Outcome {
    let (scratch, ran) = (Scratch::new(), Scratch::new());
    let pool = pool(method, 1)?;
    let run = |(gate, log): (String, String)| {
        append(&log, 1);
        until_told((gate, 7))
    };
    let items = || (0..1000).map(|_| (scratch.path(), ran.path()));
    let map = pool.map_async(items(), run)?;
    wait_until("one is begun", || ran.numbers().len() == 1);
    assert!(map.cancel());
    assert!(map.ready() && !map.cancel());
    assert!(matches!(map.get(), Err(Error::Cancelled)));
    // By a token, while no thread waits.
    let token = CancelToken::new()?;
    let map = pool.tasks(items()).cancel_token(&token).map_async(run)?;
    let (to, told) = mpsc::channel();
    map.error_callback(move |error| to.send(error).expect("the case listens"));
    token.cancel();
    assert!(matches!(told.recv_timeout(Duration::from_secs(20))?, Error::Cancelled));
    assert!(matches!(map.get(), Err(Error::Cancelled)));
    let late = pool.tasks(items()).cancel_token(&token).map_async(run);
    assert!(late.is_err_and(|r| r.item.len() == 1000 && matches!(r.error, Error::Cancelled)));
    append(&scratch.path(), 1);
    assert_eq!(pool.map([1u8], |x| x)?, [1]);
    assert!(ran.numbers().len() <= 2);
    let done = pool.map_async([1u8], |x| x)?;
    done.wait()?;
    assert!(!done.cancel());
    assert_eq!(done.get()?, [1]);
    Ok(())
}

fn refused(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).shared(1u8).build()?;
    let refused = pool.tasks(0..3u8).chunk_size(0).map_async(|x| x).expect_err("no size");
    assert!(refused.item == [0, 1, 2] && matches!(refused.error, Error::InvalidInput(_)));
    let input = || (0..9u8).inspect(|n| assert!(*n != 5, "input"));
    let panics = catch_unwind(AssertUnwindSafe(|| pool.map_async(input(), |x| x).is_ok()));
    assert!(panics.is_err());
    assert_eq!(pool.map_async([1u8], |x| x)?.get()?, [1]);
    Ok(())
}

fn terminated(method: StartMethod) -> Outcome {
    let dropped = pool(method, 2)?;
    let pool = pool(method, 2)?;
    let endless = |w: &mut Worker<'_, (), ()>, n: u32| {
        while !w.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        n
    };
    let map = pool.tasks(0..50).with_worker().map_async(endless)?;
    let waits = thread::spawn(move || map.get());
    let awaited = pool.tasks(0..50).with_worker().map_async(endless)?;
    let awaits = thread::spawn(move || block_on(awaited));
    pool.terminate()?;
    for ended in [waits, awaits].map(|thread| thread.join().expect("no panic")) {
        assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
    }
    assert_eq!(pool.map_async([1u8], |x| x)?.get()?, [1]);
    let map = dropped.tasks(0..50).with_worker().map_async(endless)?;
    drop(dropped);
    assert!(matches!(map.get(), Err(Error::Terminated)));
    Ok(())
}

fn forked(method: StartMethod) -> Outcome {
    let scratch = Scratch::new();
    let pool = pool(method, 1)?;
    let handle = pool.map_async([(scratch.path(), 1)], until_told)?;
    let child = sys::fork();
    if child == 0 {
        let refused = pool.map_async([1u8, 2], |x| x);
        let refused =
            refused.is_err_and(|r| r.item == [1, 2] && matches!(r.error, Error::ForeignProcess));
        let waits = matches!(handle.wait(), Err(Error::ForeignProcess));
        let all = refused && waits && !handle.ready() && !handle.cancel();
        drop((handle, pool));
        std::process::exit(if all { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0, "the child has seen something else");
    append(&scratch.path(), 1);
    assert_eq!(handle.get()?, [1]);
    Ok(())
}

fn consumer_panics(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for round in 0..6u32 {
        let ended = thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                let map = pool.map_async(0..2000u32, |x| x).expect("it is taken");
                let one = pool.apply_async(1u32, |x| x).expect("it is taken");
                let mut lazy = pool.tasks(0..500u32).chunk_size(2).imap(|x| x);
                let third = lazy.by_ref().nth(3).expect("there is one").expect("it is fine");
                if round % 2 == 0 {
                    one.wait().expect("it can be waited for");
                }
                std::panic::resume_unwind(Box::new((third, map.ready(), one.ready())));
            });
            consumer.join()
        });
        assert!(ended.is_err());
        assert_eq!(pool.map(0..1000u64, |x| x)?.len(), 1000);
        assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
    }
    Ok(())
}
