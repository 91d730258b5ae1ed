//! A thread that waits for long items sleeps: the threads of the program are not woken again and
//! again while nothing happens. Events wake them all the same.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use pool_api::{
    AsyncResult, CancelToken, Cause, Error, SharedEvent, StartMethod, WaitFor, WorkerPool,
    as_completed, wait,
};

use crate::{
    case::{Case, Outcome, builder, pool},
    executor::block_on,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("wakeups_in_calls_that_wait", in_calls),
    Case::new("wakeups_beside_map_async", beside_map_async),
    Case::new("wakeups_beside_apply_async", beside_apply_async),
    Case::new("wakeups_for_several_pools", for_several_pools),
    Case::new("wakeups_with_limits_and_tokens", with_limits),
    #[cfg(feature = "async")]
    Case::new("wakeups_beside_a_stream", beside_a_stream),
    Case::new("wakeups_of_a_sleeping_driver_by_calls", by_calls),
    Case::new("wakeups_of_a_sleeping_driver_by_ends", by_ends),
    Case::new("wakeups_of_a_sleeping_driver_by_deaths", by_deaths).processes(),
    Case::new("wakeups_of_a_sleeping_driver_by_limits", by_limits),
    Case::new("wakeups_by_a_token_while_the_driver_is_in_a_waker", in_a_waker),
];

const WATCHDOG: Duration = Duration::from_secs(20);
/// How long an item takes.
const ITEM: Duration = Duration::from_millis(300);
/// Sleeps that the threads of this process may begin in a second of such items. Each item costs a
/// few of them; a thread that looks again each millisecond has about 900.
const PER_SECOND: f64 = 150.0;

/// How often each thread of this process has given up its CPU by itself.
fn sleeps() -> BTreeMap<String, u64> {
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let count =
            status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((task.file_name().to_string_lossy().into_owned(), count.trim().parse().ok()?))
    };
    fs::read_dir("/proc/self/task").into_iter().flatten().flatten().filter_map(of).collect()
}

/// Refuses more sleeps than there may be while `act` waits for some items.
fn sleeps_in<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let (before, begun) = (sleeps(), Instant::now());
    let value = act();
    let (after, seconds) = (sleeps(), begun.elapsed().as_secs_f64());
    let since = |(thread, count): (&String, &u64)| count - before.get(thread).unwrap_or(&0);
    let rate = after.iter().map(since).sum::<u64>() as f64 / seconds;
    eprintln!("{what}: {rate:.0} in a second");
    assert!(seconds >= ITEM.as_secs_f64(), "{what}: nothing was waited for");
    assert!(rate <= PER_SECOND, "{what}: {rate} sleeps in a second");
    value
}

fn item(x: u64) -> u64 {
    thread::sleep(ITEM);
    x
}

/// Returns once nothing wakes the driver threads of this process.
fn until_drivers_sleep() {
    let mut before = BTreeMap::new();
    loop {
        let mut now = sleeps();
        now.retain(|thread, _| {
            let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
            name.is_ok_and(|name| name.trim() == "pool-driver")
        });
        if now == before && !now.is_empty() {
            return;
        }
        before = now;
        // Longer than any nap of theirs, shorter than their longest sleep.
        thread::sleep(Duration::from_millis(80));
    }
}

fn in_calls(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map(0..100u64, |x| x)?;
    assert_eq!(sleeps_in("map", || pool.map(0..6, item))?.len(), 6);
    assert_eq!(sleeps_in("map of one", || pool.map(0..1, item))?.len(), 1);
    assert_eq!(sleeps_in("imap", || pool.imap(0..4, item).count()), 4);
    assert_eq!(sleeps_in("apply", || pool.apply(7, item))?, 7);
    thread::scope(|scope| {
        let both = || {
            let other = scope.spawn(|| pool.map(0..2, item));
            let own = pool.map(0..2, item);
            (own, other.join().expect("no panic"))
        };
        let (own, other) = sleeps_in("two maps", both);
        assert_eq!((own?, other?), (vec![0, 1], vec![0, 1]));
        Ok(())
    })
}

fn beside_map_async(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.map_async(0..100u64, |x| x)?.get()?;
    let map = || pool.map_async(0..4, item);
    assert_eq!(sleeps_in("get", || map()?.get())?, [0, 1, 2, 3]);
    assert_eq!(sleeps_in("await", || block_on(map()?))?, [0, 1, 2, 3]);
    let (to, told) = mpsc::channel();
    let called = || -> Outcome {
        map()?.callback(move |values| to.send(values).expect("the case listens"));
        assert_eq!(told.recv_timeout(WATCHDOG)?, [0, 1, 2, 3]);
        Ok(())
    };
    sleeps_in("callback", called)?;
    let both = || -> pool_api::Result<[AsyncResult<Vec<u64>>; 2]> { Ok([map()?, map()?]) };
    assert_eq!(sleeps_in("wait", || wait(&both()?, WaitFor::All, None))?.len(), 2);
    assert_eq!(sleeps_in("as_completed", || as_completed(both()?).map(Iterator::count))?, 2);
    let beside = || -> pool_api::Result<_> {
        let handle = map()?;
        Ok((pool.map(0..2, item)?, handle.get()?))
    };
    assert_eq!(sleeps_in("beside a map", beside)?, (vec![0, 1], vec![0, 1, 2, 3]));
    let elsewhere = || -> Outcome {
        let handle = map()?;
        thread::scope(|scope| {
            let waits = scope.spawn(|| handle.wait());
            handle.wait()?;
            Ok(waits.join().expect("no panic")?)
        })
    };
    sleeps_in("two threads", elsewhere)
}

fn beside_apply_async(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    pool.apply_async(1u64, |x| x)?.get()?;
    let call = |x: u64| pool.apply_async(x, item);
    assert_eq!(sleeps_in("get", || call(1)?.get())?, 1);
    assert_eq!(sleeps_in("await", || block_on(call(1)?))?, 1);
    let no_thread_waits = || -> Outcome {
        let handles = (0..4).map(call).collect::<Result<Vec<_>, _>>()?;
        thread::sleep(3 * ITEM);
        assert_eq!(wait(&handles, WaitFor::All, None)?.len(), 4);
        Ok(())
    };
    sleeps_in("no thread waits", no_thread_waits)?;
    let (to, told) = mpsc::channel();
    let called = || -> Outcome {
        call(1)?.callback(move |value| to.send(value).expect("the case listens"));
        assert_eq!(told.recv_timeout(WATCHDOG)?, 1);
        Ok(())
    };
    sleeps_in("callback", called)
}

fn for_several_pools(method: StartMethod) -> Outcome {
    let pools = [pool(method, 1)?, pool(method, 1)?];
    pools.iter().try_for_each(|pool| pool.map_async(0..9u64, |x| x)?.get().map(drop))?;
    let all = || -> Outcome {
        let handles = pools.iter().map(|pool| pool.map_async(0..2, item));
        let handles = handles.collect::<Result<Vec<_>, _>>()?;
        assert_eq!(wait(&handles, WaitFor::All, None)?.len(), 2);
        Ok(())
    };
    sleeps_in("wait", all)?;
    let handles = pools.iter().map(|pool| pool.map_async(0..2, item));
    let handles = handles.collect::<Result<Vec<_>, _>>()?;
    let get = || handles.into_iter().try_for_each(|handle| handle.get().map(drop));
    Ok(sleeps_in("get", get)?)
}

fn with_limits(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).task_timeout(Duration::from_secs(60)).build()?;
    pool.map_async(0..100u64, |x| x)?.get()?;
    assert_eq!(sleeps_in("map", || pool.map(0..4, item))?.len(), 4);
    assert_eq!(sleeps_in("map_async", || pool.map_async(0..4, item)?.get())?.len(), 4);
    assert_eq!(sleeps_in("apply_async", || pool.apply_async(3, item)?.get())?, 3);
    let token = CancelToken::new()?;
    let map = || pool.tasks(0..4).cancel_token(&token).map(item);
    assert_eq!(sleeps_in("map with a token", map)?.len(), 4);
    let map = || pool.tasks(0..4).cancel_token(&token).map_async(item)?.get();
    assert_eq!(sleeps_in("map_async with a token", map)?.len(), 4);
    Ok(())
}

#[cfg(feature = "async")]
fn beside_a_stream(method: StartMethod) -> Outcome {
    use futures_core::Stream;

    let pool = pool(method, 2)?;
    super::streams::all(pool.tasks(0..100u64).imap_stream(|x| x))?;
    let read = || super::streams::all(pool.tasks(0..4).imap_stream(item));
    assert_eq!(sleeps_in("read", read)?, [0, 1, 2, 3]);
    let mut stream = pool.tasks(0..4).imap_stream(item);
    let unread = || {
        // The future's waker wakes no thread.
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut stream).poll_next(&mut context).is_pending());
        thread::sleep(4 * ITEM);
    };
    sleeps_in("unread", unread);
    drop(stream);
    let unread = pool.tasks(0..4).imap_stream(item);
    sleeps_in("never polled", || thread::sleep(ITEM));
    drop(unread);
    Ok(())
}

/// The receiver of a map's end.
type Told = mpsc::Receiver<Result<(), Error>>;

/// A map that ends when the gate is open, and the receiver of its end.
fn gated(pool: &WorkerPool, gate: &SharedEvent) -> pool_api::Result<(AsyncResult<Vec<u64>>, Told)> {
    let handle = pool.map_async([gate.clone()], |gate: SharedEvent| {
        gate.wait();
        7
    })?;
    let (to, told) = mpsc::channel();
    let other = to.clone();
    handle.callback(move |_| drop(other.send(Ok(()))));
    handle.error_callback(move |error| drop(to.send(Err(error))));
    Ok((handle, told))
}

/// A call that comes while the driver, or a thread in its place, sleeps.
fn by_calls(method: StartMethod) -> Outcome {
    let (pool, gate) = (pool(method, 2)?, SharedEvent::new()?);
    for waits in [false, true] {
        gate.clear();
        let (handle, told) = gated(&pool, &gate)?;
        thread::scope(|scope| -> Outcome {
            let waiting = waits.then(|| scope.spawn(|| handle.wait()));
            for _ in 0..3 {
                until_drivers_sleep();
                assert_eq!(pool.apply_async(3u64, |x| x)?.get()?, 3);
                until_drivers_sleep();
                assert_eq!(pool.map(0..50u64, |x| x)?.len(), 50);
                until_drivers_sleep();
                let (to, heard) = mpsc::channel();
                pool.map_async(0..50u64, |x| x)?
                    .callback(move |all| to.send(all.len()).expect("the case listens"));
                assert_eq!(heard.recv_timeout(WATCHDOG)?, 50);
                until_drivers_sleep();
                assert_eq!(block_on(pool.apply_async(4u64, |x| x)?)?, 4);
            }
            until_drivers_sleep();
            gate.set();
            told.recv_timeout(WATCHDOG)??;
            waiting.map_or(Ok(()), |waiting| waiting.join().expect("no panic"))?;
            Ok(())
        })?;
        assert_eq!(handle.get()?, [7]);
    }
    // Another pool; under Fork its zygote is a fork of this program.
    let gate = SharedEvent::new()?;
    let (handle, told) = gated(&pool, &gate)?;
    until_drivers_sleep();
    let second = self::pool(method, 1)?;
    assert_eq!(second.map_async(0..9u64, |x| x)?.get()?.len(), 9);
    gate.set();
    told.recv_timeout(WATCHDOG)??;
    assert_eq!(handle.get()?, [7]);
    Ok(())
}

/// The end of a call or of the pool while the driver sleeps.
fn by_ends(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (gate, token) = (SharedEvent::new()?, CancelToken::new()?);
    let waits = |gate: SharedEvent| gate.wait();
    let cancelled = pool.tasks([gate.clone()]).cancel_token(&token).map_async(waits)?;
    let (to, told) = mpsc::channel();
    cancelled.error_callback(move |error| to.send(error).expect("the case listens"));
    until_drivers_sleep();
    token.cancel();
    assert!(matches!(told.recv_timeout(WATCHDOG)?, Error::Cancelled));
    gate.set();
    let gate = SharedEvent::new()?;
    let (killed, told) = gated(&pool, &gate)?;
    until_drivers_sleep();
    killed.kill(Duration::ZERO);
    assert!(matches!(told.recv_timeout(WATCHDOG)?, Err(Error::Cancelled)));
    gate.set();
    drop(pool);
    for drops in [false, true] {
        let (pool, gate) = (self::pool(method, 2)?, SharedEvent::new()?);
        let (_handle, told) = gated(&pool, &gate)?;
        until_drivers_sleep();
        if method == StartMethod::Threads {
            // Threads cannot be killed, so the call waits for them.
            gate.set();
        }
        if drops {
            drop(pool);
        } else {
            pool.terminate()?;
        }
        assert!(matches!(told.recv_timeout(WATCHDOG)?, Ok(()) | Err(Error::Terminated)));
    }
    Ok(())
}

fn has_cause(error: &Error, is_it: fn(&Cause) -> bool) -> bool {
    matches!(error, Error::Task(task) if is_it(task.cause()))
}

/// The death of a worker, and of the zygote, while the driver sleeps.
fn by_deaths(method: StartMethod) -> Outcome {
    let gate = SharedEvent::new()?;
    let pool = pool(method, 1)?;
    for waits in [false, true] {
        let (handle, told) = gated(&pool, &gate)?;
        let call = pool.apply_async(5u64, |x| x)?;
        thread::scope(|scope| -> Outcome {
            let waiting = waits.then(|| scope.spawn(|| handle.wait()));
            until_drivers_sleep();
            sys::kill(pool.worker_pids()[0], sys::SIGKILL);
            let died = told.recv_timeout(WATCHDOG)?.expect_err("its worker is dead");
            assert!(has_cause(&died, |cause| matches!(cause, Cause::Death(_))), "{died}");
            waiting.map_or(Ok(()), |waiting| waiting.join().expect("no panic"))?;
            Ok(())
        })?;
        assert_eq!(call.get()?, 5, "it goes to the next worker");
    }
    let (_handle, told) = gated(&pool, &gate)?;
    until_drivers_sleep();
    let zygote = sys::parent_of(pool.worker_pids()[0]).ok_or("it has a parent")?;
    sys::kill(zygote, sys::SIGKILL);
    assert!(matches!(told.recv_timeout(WATCHDOG)?, Err(Error::PoolBroken)));
    Ok(())
}

/// A limit that is over while the driver sleeps for another, longer one.
fn by_limits(method: StartMethod) -> Outcome {
    let gate = SharedEvent::new()?;
    let pool = pool(method, 2)?;
    let (handle, told) = gated(&pool, &gate)?;
    let waits = |gate: SharedEvent| {
        gate.wait();
    };
    for limit in [1, 20] {
        until_drivers_sleep();
        let tasks = || pool.tasks([gate.clone()]).task_timeout(Duration::from_millis(limit));
        let (to, late) = mpsc::channel();
        tasks().map_async(waits)?.error_callback(move |error| drop(to.send(error)));
        let late = late.recv_timeout(WATCHDOG)?;
        assert!(has_cause(&late, |cause| matches!(cause, Cause::Timeout { .. })), "{late}");
        if method == StartMethod::Threads {
            // The item's thread goes on.
            break;
        }
    }
    gate.set();
    told.recv_timeout(WATCHDOG)??;
    assert_eq!(handle.get()?, [7]);
    Ok(())
}

/// A waker that holds the thread that it runs in until it is released.
struct Holds(mpsc::SyncSender<()>, Mutex<mpsc::Receiver<()>>);

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
        let _ = self.1.lock().expect("no panic").recv();
    }
}

/// While a waker holds the driver, a thread that waits notices a token itself.
fn in_a_waker(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (begun, is_begun) = mpsc::sync_channel(1);
    let (go_on, goes_on) = mpsc::channel();
    let waker = Waker::from(Arc::new(Holds(begun, Mutex::new(goes_on))));
    let start = SharedEvent::new()?;
    let mut held = std::pin::pin!(pool.map_async([start.clone()], |start| start.wait())?);
    assert!(held.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    start.set();
    is_begun.recv_timeout(WATCHDOG)?;
    let (token, end) = (CancelToken::new()?, SharedEvent::new()?);
    let tasks = pool.tasks([end.clone()]).cancel_token(&token);
    let map = tasks.map_async(|end| end.wait())?;
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| -> Outcome {
        scope.spawn(move || tell.send(map.get().map(|values| values.len())));
        token.cancel();
        let ended = told.recv_timeout(WATCHDOG);
        end.set();
        drop(go_on);
        assert!(matches!(ended?, Err(Error::Cancelled)));
        Ok(())
    })
}
