//! Callbacks and wakers that use the pool whose futures they belong to, and the uses that are
//! refused.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use pool_api::{Error, StartMethod, WorkerPool};

use super::futures_told::until_told;
use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
    scratch::{Scratch, append, wait_until},
};

pub(crate) const CASES: &[Case] = &[
    Case::new("callbacks_that_use_their_pool", use_it),
    Case::new("callbacks_that_hand_in_more_beside_a_stop", hand_in_more),
    Case::new("callbacks_that_end_their_pool", end_it),
    Case::new("callbacks_that_drop_their_pool", drop_it),
    Case::new("wakers_that_panic", wakers_panic),
    Case::new("wakers_that_drop_their_pool", wakers_drop),
    Case::new("wakers_that_use_their_pool_beside_snapshots", beside_snapshots).only_fork(),
    Case::new("callbacks_that_wait_count_as_unread_results", count_what_they_wait_with),
];

const LONG: Duration = Duration::from_secs(20);

fn use_it(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 2)?);
    let (to, told) = mpsc::channel();
    let inner = pool.clone();
    pool.apply_async(1u64, |x| x)?.callback(move |one| {
        let value = inner.apply(one, |x| x + 1).expect("a pool that works");
        let map = inner.map_async(0..value + 98, |x| x).expect("it is taken");
        let sum: u64 = inner.map(0..100u64, |x| x).expect("values").into_iter().sum();
        to.send((map.get().expect("values").len(), sum)).expect("the case listens");
    });
    assert_eq!(told.recv_timeout(LONG)?, (100, 4950));
    pool.stop_and_join()?;
    assert_eq!(pool.apply(1u8, |x| x)?, 1);
    Ok(())
}

/// A callback that hands in another call, with itself as its callback.
#[derive(Clone)]
struct Chain {
    pool: Arc<WorkerPool>,
    over: Arc<AtomicBool>,
    links: Arc<AtomicUsize>,
    /// Dropped with the last link.
    _end: Sender<()>,
}

impl Chain {
    fn go_on(self) {
        let waits = self.links.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        if !self.over.load(Ordering::Relaxed) {
            let call = self.pool.task(1u8);
            let handle = if waits { call.apply_async(|x| x) } else { block_on(call.submit(|x| x)) };
            let handle = handle.expect("a pool that works");
            handle.callback(|_| self.go_on());
        }
    }
}

fn hand_in_more(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 2)?);
    let (end, ended) = mpsc::channel();
    let (over, links) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let chain = Chain { pool: pool.clone(), over: over.clone(), links: links.clone(), _end: end };
    (0..3).for_each(|_| chain.clone().go_on());
    drop(chain);
    for _ in 0..5 {
        let before = links.load(Ordering::Relaxed);
        pool.stop_and_join()?;
        // No link is lost: the late ones belong to the pool's next life.
        wait_until("all three go on", || links.load(Ordering::Relaxed) > before + 10);
    }
    over.store(true, Ordering::Relaxed);
    assert_eq!(ended.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    pool.stop_and_join()?;
    assert_eq!(pool.apply(1u8, |x| x)?, 1);
    Ok(())
}

fn end_it(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 1)?);
    let (to, told) = mpsc::channel();
    let inner = pool.clone();
    pool.apply_async(1u64, |x| x)?.callback(move |_| {
        to.send(inner.stop_and_join()).expect("the case listens");
        to.send(inner.terminate()).expect("the case listens");
        to.send(inner.apply(1u8, |_| ())).expect("the case listens");
    });
    let refused = told.recv_timeout(LONG)?;
    assert!(matches!(refused, Err(Error::NestedUse)), "{refused:?}");
    told.recv_timeout(LONG)??;
    told.recv_timeout(LONG)??;
    pool.stop_and_join()?;
    assert_eq!(pool.apply_async(1u8, |x| x)?.get()?, 1);
    Ok(())
}

fn drop_it(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let pool = pool(method, 1)?;
    let first = pool.apply_async(1u8, |x| x)?;
    first.wait()?;
    let open = pool.apply_async((gate.path(), 7), until_told)?;
    let late = pool.map_async(0..100u8, |x| x)?;
    let (to, told) = mpsc::channel();
    first.callback(move |_| {
        drop(pool);
        to.send(()).expect("the case listens");
    });
    // Under threads the drop waits for running items.
    let ended = late.get();
    assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
    append(&gate.path(), 1);
    told.recv_timeout(LONG)?;
    let ended = open.get();
    assert!(matches!(ended, Ok(7) | Err(Error::Terminated)), "{ended:?}");
    assert_eq!(first.get()?, 1);
    Ok(())
}

/// A waker that panics when it is woken, and when it is dropped.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("on purpose: a waker's panic goes no further");
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("on purpose: so does that of its drop");
        }
    }
}

fn wakers_panic(method: StartMethod) -> Outcome {
    let pool = pool(method, 1)?;
    for round in 0..5u8 {
        let gate = Scratch::new();
        let mut one = pin!(pool.apply_async((gate.path(), 7), until_told)?);
        for _ in 0..=round {
            let waker = Waker::from(Arc::new(Bad));
            let polled = one.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            // From here on only the future has the waker.
            drop(waker);
        }
        append(&gate.path(), 1);
        wait_until("it is there", || one.ready());
        assert_eq!(block_on(one)?, 7);
        assert_eq!(block_on(pool.apply_async(round, |x| x)?)?, round);
        assert_eq!(pool.map_async(0..10u8, |x| x)?.get()?.len(), 10);
    }
    Ok(())
}

/// A waker that drops the pool when it is woken.
struct Last(Mutex<Option<WorkerPool>>);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        let pool = self.0.lock().expect("no panic").take();
        drop(pool);
    }
}

fn wakers_drop(method: StartMethod) -> Outcome {
    let gate = Scratch::new();
    let pool = pool(method, 1)?;
    let mut one = pin!(pool.apply_async((gate.path(), 7), until_told)?);
    let late: Vec<_> = (0..200u32).map(|n| pool.apply_async(n, |n| n)).collect::<Result<_, _>>()?;
    let last = Arc::new(Last(Mutex::new(Some(pool))));
    let waker = Waker::from(last.clone());
    assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    append(&gate.path(), 1);
    wait_until("the pool is gone", || last.0.try_lock().is_ok_and(|pool| pool.is_none()));
    assert_eq!(block_on(one)?, 7);
    for (n, late) in (0..).zip(late) {
        let ended = late.get();
        assert!(matches!(ended, Err(Error::Terminated)) || ended.is_ok_and(|value| value == n));
    }
    Ok(())
}

/// A waker that hands in a call when it is woken.
struct Busy(Arc<WorkerPool>);

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        // So that the other thread comes to wait for this one.
        thread::sleep(Duration::from_millis(2));
        let handle = self.0.apply_async(1u8, |x| x).expect("a pool that works");
        let _ = handle.ready(); // works for the pool
    }
}

fn beside_snapshots(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 1)?);
    let waker = Waker::from(Arc::new(Busy(pool.clone())));
    for _ in 0..4 {
        let mut open = Vec::new();
        for n in 0..10u64 {
            let mut one = pool.apply_async(n, |n| {
                thread::sleep(Duration::from_millis(1));
                n
            })?;
            if pin!(&mut one).poll(&mut Context::from_waker(&waker)).is_pending() {
                open.push(one);
            }
        }
        for _ in 0..3 {
            pool.refresh_snapshot()?;
        }
        for one in open {
            one.wait()?;
        }
    }
    Ok(())
}

fn count_what_they_wait_with(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).max_result_bytes(10_000).build()?;
    let make = |()| vec![1u8; 4000];
    let (go_on, waits) = mpsc::channel::<()>();
    let (to, told) = mpsc::channel();
    let first = to.clone();
    pool.apply_async((), make)?.callback(move |value| {
        let _ = waits.recv();
        first.send(value.len()).expect("the case listens");
    });
    let mut handed_in = 1;
    let refused = loop {
        assert!(handed_in < 10, "what callbacks wait with does not count");
        match pool.apply_async((), make) {
            Ok(handle) => {
                let to = to.clone();
                handle.callback(move |value| to.send(value.len()).expect("the case listens"));
                assert_eq!(handle.get()?.len(), 4000);
                handed_in += 1;
            }
            Err(refused) => break refused.error,
        }
    };
    assert!(matches!(refused, Error::ResultsUnread { limit: 10_000, .. }), "{refused}");
    drop(go_on);
    for _ in 0..handed_in {
        assert_eq!(told.recv_timeout(LONG)?, 4000);
    }
    wait_until("they count no more", || pool.apply_async((), make).is_ok());
    Ok(())
}
