//! Calls of one item that find no room: those that come back at once, and those that wait for it
//! without a thread.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use pool_api::{AsyncResult, CancelToken, Error, Refused, StartMethod, WorkerPool};

use super::futures_told::begun_until_told;
use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
    scratch::{Scratch, append, wait_until},
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("futures_that_find_no_room_come_back", comes_back),
    Case::new("futures_find_no_room_during_a_stop", during_a_stop).processes(),
    Case::new("submitted_calls_wait_for_room_without_a_thread", submitted),
    Case::new("submitted_calls_that_are_dropped_keep_no_room", submitted_and_dropped),
    Case::new("submitted_calls_beside_threads_that_fill_the_queue", submitted_beside_threads),
    Case::new("submitted_calls_that_a_token_may_end_wait_for_room", submitted_with_a_token),
    Case::new("submitted_calls_of_a_terminated_pool", submitted_to_a_terminated_pool),
    Case::new("submitted_calls_wait_for_the_end_of_a_stop", submitted_during_a_stop).processes(),
    Case::new("submitted_calls_that_are_refused", submitted_and_refused),
    Case::new("submitted_calls_in_a_forked_child", submitted_in_a_child),
];

/// A pool of one worker that is busy until the gate opens, and that takes no further call.
struct Full {
    pool: WorkerPool,
    gate: Scratch,
    busy: AsyncResult<u32>,
    /// The calls that wait.
    waiting: Vec<AsyncResult<u32>>,
}

impl Full {
    fn new(method: StartMethod) -> Result<Self, Box<dyn std::error::Error>> {
        let (pool, gate, begun) = (pool(method, 1)?, Scratch::new(), Scratch::new());
        let busy = pool.apply_async((begun.path(), gate.path()), begun_until_told)?;
        // Before that it waits, too.
        wait_until("it has begun", || !begun.numbers().is_empty());
        let mut waiting = Vec::new();
        loop {
            match pool.task(waiting.len() as u32).try_apply_async(|n| n) {
                Ok(handle) => waiting.push(handle),
                Err(refused) => {
                    assert_eq!(refused.item as usize, waiting.len());
                    assert!(matches!(refused.error, Error::QueueFull), "{refused}");
                    break;
                }
            }
        }
        // Few calls are under way beside those that wait.
        assert!((4096..4200).contains(&waiting.len()), "{}", waiting.len());
        Ok(Self { pool, gate, busy, waiting })
    }

    fn open(&self) {
        append(&self.gate.path(), 1);
    }

    /// All calls have their values.
    fn check(self) -> Outcome {
        assert_eq!(self.busy.get()?, 7);
        for (n, handle) in (0..).zip(self.waiting) {
            assert_eq!(handle.get()?, n);
        }
        Ok(())
    }
}

fn comes_back(method: StartMethod) -> Outcome {
    let mut full = Full::new(method)?;
    let late = RefCell::new(None);
    let hand_in = || {
        *late.borrow_mut() = full.pool.task(1u32).try_apply_async(|n| n + 1).ok();
        late.borrow().is_some()
    };
    if method == StartMethod::Threads {
        // A call that was cancelled leaves when its turn comes.
        assert!(!hand_in());
        full.open();
    } else {
        assert!(full.waiting.last().is_some_and(AsyncResult::cancel));
    }
    wait_until("there is room", hand_in);
    full.open();
    assert_eq!(late.take().ok_or("it was handed in")?.get()?, 2);
    if method != StartMethod::Threads {
        let cancelled = full.waiting.pop().ok_or("it was there")?;
        assert!(matches!(cancelled.get(), Err(Error::Cancelled)));
    }
    full.check()
}

/// Such calls run in the background, where they have room of their own.
fn submitted_with_a_token(method: StartMethod) -> Outcome {
    let (pool, gate, token) = (pool(method, 1)?, Scratch::new(), CancelToken::new()?);
    let call = |n: u32| pool.task((gate.path(), n)).cancel_token(&token);
    let when_open = |(gate, n): (String, u32)| {
        wait_until("the gate is open", || std::fs::exists(&gate).unwrap_or(false));
        n
    };
    let mut handles = Vec::new();
    while let Ok(handle) = call(handles.len() as u32).try_apply_async(when_open) {
        handles.push(handle);
    }
    assert_eq!(handles.len(), 1024);
    let submit =
        |n| async move { call(n).submit(when_open).await.map_err(|refused| panic!("{refused}")) };
    let mut waiting: Vec<_> = (1024..1027).map(|n| Submitted::new(submit(n))).collect();
    assert!(waiting.iter_mut().all(|call| call.poll().is_pending()));
    append(&gate.path(), 1);
    for call in waiting {
        handles.push(call.wait()?);
    }
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(handle.get()?, n);
    }
    Ok(())
}

/// Calls `act` with a pool whose stop waits until `act` calls its argument.
fn while_it_stops(
    method: StartMethod,
    act: impl FnOnce(&WorkerPool, &dyn Fn()) -> Outcome,
) -> Outcome {
    let (pool, gate, begun) = (pool(method, 2)?, Scratch::new(), Scratch::new());
    let before = RefCell::new(Vec::new());
    thread::scope(|scope| -> Outcome {
        // The stop waits for this call, and one worker is left for the others.
        let busy = scope.spawn(|| pool.apply((begun.path(), gate.path()), begun_until_told));
        wait_until("it has begun", || !begun.numbers().is_empty());
        let stop = scope.spawn(|| pool.stop_and_join());
        wait_until("no call is taken in", || match pool.task(1u32).try_apply_async(|n| n) {
            Ok(handle) => {
                before.borrow_mut().push(handle);
                false
            }
            Err(refused) => matches!(refused.error, Error::QueueFull),
        });
        act(&pool, &|| append(&gate.path(), 1))?;
        assert_eq!(busy.join().expect("no panic")?, 7);
        Ok(stop.join().expect("no panic")?)
    })?;
    for handle in before.into_inner() {
        assert_eq!(handle.get()?, 1);
    }
    assert_eq!(pool.task(1u32).try_apply_async(|n| n)?.get()?, 1);
    Ok(())
}

fn during_a_stop(method: StartMethod) -> Outcome {
    while_it_stops(method, |pool, go_on| {
        let refused = pool.task(3u32).try_apply_async(|n| n).expect_err("it is being stopped");
        assert!(refused.item == 3 && matches!(refused.error, Error::QueueFull), "{refused}");
        go_on();
        Ok(())
    })
}

/// A submitted call, and how often it was woken.
struct Submitted<'p> {
    future: Pin<Box<dyn Future<Output = Answer> + 'p>>,
    woken: Arc<Woken>,
}

type Answer = Result<AsyncResult<u32>, Box<Refused<u32>>>;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<'p> Submitted<'p> {
    fn new(future: impl Future<Output = Answer> + 'p) -> Self {
        Self { future: Box::pin(future), woken: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Answer> {
        let waker = Waker::from(self.woken.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst) > 0
    }

    /// Polls after each wake-up, until it is ready.
    fn wait(mut self) -> Answer {
        loop {
            wait_until("it is woken", || self.is_woken());
            self.woken = Arc::default();
            if let Poll::Ready(answer) = self.poll() {
                return answer;
            }
        }
    }
}

fn submitted(method: StartMethod) -> Outcome {
    let full = Full::new(method)?;
    let mut waits = Submitted::new(full.pool.task(20u32).submit(|n| n + 1));
    // It looks for room whenever it is polled.
    assert!(waits.poll().is_pending() && waits.poll().is_pending());
    assert!(!waits.is_woken());
    full.open();
    assert_eq!(waits.wait()?.get()?, 21);
    // With room a call is handed in by the first poll.
    full.busy.wait()?;
    full.waiting.iter().try_for_each(AsyncResult::wait)?;
    match Submitted::new(full.pool.task(30u32).submit(|n| n + 1)).poll() {
        Poll::Ready(answer) => assert_eq!(answer?.get()?, 31),
        Poll::Pending => panic!("there is room"),
    }
    full.check()
}

fn submitted_and_dropped(method: StartMethod) -> Outcome {
    let (full, ran) = (Full::new(method)?, Scratch::new());
    let submit = |n| {
        let call = full.pool.task((ran.path(), n)).submit(|(ran, n): (String, u32)| {
            append(&ran, u64::from(n));
            n
        });
        Submitted::new(async { call.await.map_err(|refused| panic!("{refused}")) })
    };
    let mut waiting: Vec<_> = (0..60).map(submit).collect();
    assert!(waiting.iter_mut().all(|call| call.poll().is_pending()));
    // One that leaves before it is woken, and one that is never polled again.
    drop(waiting.remove(30));
    std::mem::forget(waiting.remove(20));
    full.open();
    let mut handles = Vec::new();
    while !waiting.is_empty() {
        wait_until("one is woken", || waiting.iter().any(Submitted::is_woken));
        let at = waiting.iter().position(Submitted::is_woken).ok_or("one is")?;
        let mut call = waiting.remove(at);
        if waiting.len().is_multiple_of(2) {
            drop(call); // in place of its poll
        } else if let Poll::Ready(answer) = call.poll() {
            handles.push(answer?);
        } else {
            call.woken = Arc::default();
            waiting.push(call);
        }
    }
    let mut values: Vec<_> = handles.into_iter().map(AsyncResult::get).collect::<Result<_, _>>()?;
    values.sort_unstable();
    assert!(values.len() >= 20, "{values:?}");
    drop(waiting);
    full.check()?;
    let mut ran = ran.numbers();
    ran.sort_unstable();
    assert!(ran.into_iter().eq(values.into_iter().map(u64::from)));
    Ok(())
}

fn submitted_beside_threads(method: StartMethod) -> Outcome {
    let full = Full::new(method)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| -> Outcome {
        let fill = || {
            let mut most = 0..100_000u32;
            while !over.load(Ordering::Relaxed) && most.next().is_some() {
                drop(full.pool.apply_async(1u32, |n| n).expect("a pool that works"));
            }
        };
        let threads = [scope.spawn(fill), scope.spawn(fill)];
        full.open();
        for n in 0..200u32 {
            assert_eq!(block_on(full.pool.task(n).submit(|n| n))?.get()?, n);
        }
        over.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        Ok(())
    })?;
    full.check()
}

fn submitted_to_a_terminated_pool(method: StartMethod) -> Outcome {
    let full = Full::new(method)?;
    let mut waits = Submitted::new(full.pool.task(20u32).submit(|n| n + 1));
    assert!(waits.poll().is_pending());
    thread::scope(|scope| -> Outcome {
        let end = scope.spawn(|| full.pool.terminate());
        if method == StartMethod::Threads {
            full.open(); // threads cannot be killed
        }
        // It is handed in, while the pool ends or afterwards.
        let value = waits.wait()?.get();
        assert!(matches!(value, Ok(21) | Err(Error::Terminated)), "{value:?}");
        Ok(end.join().expect("no panic")?)
    })?;
    assert_eq!(block_on(full.pool.task(20u32).submit(|n| n + 1))?.get()?, 21);
    let ended = full.waiting.into_iter().map(AsyncResult::get);
    let ended = ended.filter(|ended| matches!(ended, Err(Error::Terminated))).count();
    assert!(ended > 0 || method == StartMethod::Threads, "{ended}");
    Ok(())
}

fn submitted_during_a_stop(method: StartMethod) -> Outcome {
    while_it_stops(method, |pool, go_on| {
        let mut waits = Submitted::new(pool.task(20u32).submit(|n| n + 1));
        assert!(waits.poll().is_pending());
        go_on();
        assert_eq!(waits.wait()?.get()?, 21);
        Ok(())
    })
}

fn submitted_and_refused(method: StartMethod) -> Outcome {
    let pool = builder(method, 1).max_result_bytes(10_000).build()?;
    let make = |n: usize| vec![7u8; n];
    let handle = block_on(pool.task(20_000).submit(make))?;
    handle.wait()?;
    let refused = block_on(pool.task(1).submit(make)).expect_err("too much is unread");
    assert!(refused.item == 1 && matches!(refused.error, Error::ResultsUnread { .. }), "{refused}");
    assert_eq!(handle.get()?.len(), 20_000);
    let invalid = pool.task(1).task_timeout(std::time::Duration::ZERO).submit(make);
    let refused = block_on(invalid).expect_err("there is no such limit");
    assert!(refused.item == 1 && matches!(refused.error, Error::InvalidInput(_)), "{refused}");
    assert_eq!(block_on(pool.task(1).submit(make))?.get()?, [7]);
    // An item that is larger than most stacks' frames, in both directions.
    let refused = block_on(full_size(&pool)).map(|handle| handle.get().map(|bytes| bytes[70_000]));
    assert_eq!(refused??, 5);
    Ok(())
}

/// A call with an item and a result of 100 kB.
fn full_size(
    pool: &WorkerPool,
) -> impl Future<Output = Result<AsyncResult<[u8; 100_000]>, Box<Refused<[u8; 100_000]>>>> {
    pool.task([5u8; 100_000]).submit(|bytes| bytes)
}

fn submitted_in_a_child(method: StartMethod) -> Outcome {
    let full = Full::new(method)?;
    let mut waits = Submitted::new(full.pool.task(20u32).submit(|n| n + 1));
    assert!(waits.poll().is_pending());
    let child = sys::fork();
    if child == 0 {
        let is_foreign = |answer| match answer {
            Poll::Ready(Err::<AsyncResult<u32>, Box<Refused<u32>>>(refused)) => {
                refused.item == 20 && matches!(refused.error, Error::ForeignProcess)
            }
            _ => false,
        };
        let mut other = Submitted::new(full.pool.task(20u32).submit(|n| n));
        let all = is_foreign(waits.poll()) & is_foreign(other.poll());
        drop((waits, other));
        std::process::exit(if all { 0 } else { 1 });
    }
    assert_eq!(sys::wait_for(child), 0, "the child has seen something else");
    full.open();
    assert_eq!(waits.wait()?.get()?, 21);
    full.check()
}
