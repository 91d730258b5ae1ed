//! Items that run on after the end of their call are killed with their workers where that was asked
//! for; other items are not.

use std::{
    future::poll_fn,
    hint,
    path::Path,
    pin::pin,
    sync::atomic::{AtomicPtr, Ordering},
    task::Poll,
    thread,
    time::Duration,
};

use pool_api::{AsyncResult, CancelToken, Error, SharedArray, StartMethod, Worker, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, pool, sized},
    executor::block_on,
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("kill_endless_loops_of_a_map", endless_loops).processes(),
    Case::new("kill_leaves_other_calls_alone", others_alone),
    Case::new("kill_after_a_grace_that_is_used", grace_is_used),
    Case::new("kill_twice_and_after_a_cancel", twice).processes(),
    Case::new("kill_by_a_handle", by_handle),
    Case::new("kill_what_has_ended", after_the_end),
    Case::new("kill_running_when_a_call_is_dropped", dropped),
    Case::new("kill_in_a_signal_handler", in_handler),
    Case::new("kill_a_worker_init_that_hangs", in_init).processes(),
    Case::new("kill_a_task_with_a_pool_of_its_own", nested).processes(),
];

const AT_ONCE: Duration = Duration::ZERO;
/// No case waits so long.
const LONG: Duration = Duration::from_secs(600);

/// An endless loop like one in native code, which sees no cancel; a thread, which cannot be killed,
/// checks for it.
fn hang(w: &Worker<'_>, threads: bool) {
    while !(threads && w.is_cancelled()) {
        hint::spin_loop();
    }
}

/// The array in which a call that hangs says so, its element, and whether the call runs in a
/// thread.
type Hanging = (SharedArray<u64>, usize, bool);

/// An endless loop that is announced in its element of the array.
fn hang_at(w: &mut Worker<'_>, (begun, at, threads): Hanging) {
    begun.fetch_add(at, 1);
    hang(w, threads);
}

/// The items of so many calls that hang.
fn hangs(method: StartMethod, count: usize) -> Result<(SharedArray<u64>, Vec<Hanging>), Error> {
    let begun =
        SharedArray::<u64>::new(count).map_err(|error| Error::InvalidInput(error.to_string()))?;
    let threads = method == StartMethod::Threads;
    let items = (0..count).map(|at| (begun.clone(), at, threads)).collect();
    Ok((begun, items))
}

fn all_begun(begun: &SharedArray<u64>) {
    wait_until("all of them run", || begun.to_vec().iter().all(|count| *count > 0));
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn all_gone(pids: &[u32]) {
    wait_until("they are gone", || !pids.iter().any(|pid| is_alive(*pid)));
}

fn endless_loops(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    for round in 0..sized(50, 10) {
        let (begun, items) = hangs(method, 2)?;
        let token = CancelToken::new()?;
        thread::scope(|scope| -> Outcome {
            let call = scope.spawn(|| {
                let tasks = pool.tasks(items).chunk_size(1).retry(3).cancel_token(&token);
                tasks.with_worker().map(hang_at)
            });
            all_begun(&begun);
            let pids = pool.worker_pids();
            assert_eq!(pids.len(), 2, "round {round}");
            token.kill(AT_ONCE);
            let ended = call.join().expect("no panic");
            assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
            all_gone(&pids);
            Ok(())
        })?;
        assert_eq!(pool.map(0..10u32, |x| x + 1)?, (1..11).collect::<Vec<_>>());
        // Nothing was tried again.
        assert_eq!(begun.to_vec(), [1, 1]);
    }
    Ok(())
}

fn others_alone(method: StartMethod) -> Outcome {
    let pool = pool(method, 3)?;
    for _ in 0..sized(20, 4) {
        let (begun, items) = hangs(method, 1)?;
        let token = CancelToken::new()?;
        thread::scope(|scope| -> Outcome {
            let call =
                scope.spawn(|| pool.tasks(items).cancel_token(&token).with_worker().map(hang_at));
            let futures = (0..99u32).map(|x| pool.apply_async(x, |x| x + 1));
            let futures = futures.collect::<Result<Vec<_>, _>>()?;
            let tasks = pool.tasks(0..999u32).chunk_size(3);
            let mut rest = tasks.imap_results(|x| x * 2);
            let first = rest.next().transpose()?;
            all_begun(&begun);
            token.kill(AT_ONCE);
            assert_eq!(first, Some(0));
            let rest = rest.collect::<Result<Vec<_>, _>>()?;
            assert_eq!(rest, (1..999).map(|x| x * 2).collect::<Vec<_>>());
            let values =
                futures.into_iter().map(AsyncResult::get).collect::<Result<Vec<_>, _>>()?;
            assert_eq!(values, (1..100).collect::<Vec<_>>());
            assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
            Ok(())
        })?;
    }
    Ok(())
}

fn grace_is_used(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let (begun, items) = hangs(method, 2)?;
    let token = CancelToken::new()?;
    let pids = thread::scope(|scope| {
        let call = scope.spawn(|| {
            let tasks = pool.tasks(items).chunk_size(1).cancel_token(&token);
            tasks.with_worker().map(|w, (begun, at, _)| {
                begun.fetch_add(at, 1);
                hang(w, true);
                begun.fetch_add(at, 1);
            })
        });
        all_begun(&begun);
        let pids = pool.worker_pids();
        token.kill(LONG);
        assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
        pids
    });
    wait_until("they have used it", || begun.to_vec() == [2, 2]);
    assert_eq!(pool.broadcast(|_| ())?.len(), 2);
    assert_eq!(pool.worker_pids(), pids);
    Ok(())
}

fn twice(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let first: [fn(&CancelToken); 3] =
        [|token| token.kill(Duration::MAX), |token| token.kill(LONG), CancelToken::cancel];
    for first in first {
        let (begun, items) = hangs(method, 2)?;
        let token = CancelToken::new()?;
        let pids = thread::scope(|scope| {
            let call = scope.spawn(|| {
                pool.tasks(items).chunk_size(1).cancel_token(&token).with_worker().map(hang_at)
            });
            all_begun(&begun);
            let pids = pool.worker_pids();
            first(&token);
            // The call returns, its items run on.
            assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
            pids
        });
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        thread::scope(|scope| -> Outcome {
            let next = scope.spawn(|| pool.map([1u8, 2], |x| x));
            token.kill(AT_ONCE);
            token.kill(LONG);
            token.cancel();
            assert_eq!(next.join().expect("no panic")?, [1, 2]);
            Ok(())
        })?;
        all_gone(&pids);
    }
    Ok(())
}

fn by_handle(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let threads = method == StartMethod::Threads;
    for _ in 0..sized(20, 4) {
        let (begun, items) = hangs(method, 2)?;
        let hand_in =
            |item| Ok::<_, Error>(pool.task(item).retry(9).with_worker().apply_async(hang_at)?);
        let handles = items.into_iter().map(hand_in).collect::<Result<Vec<_>, _>>()?;
        let waits = pool.apply_async(1u8, |x| x)?;
        all_begun(&begun);
        let pids = pool.worker_pids();
        for handle in &handles {
            assert!(!handle.cancel());
            assert!(handle.kill(AT_ONCE));
            assert!(handle.ready() && !handle.kill(AT_ONCE));
        }
        for handle in handles {
            assert!(matches!(handle.get(), Err(Error::Cancelled)));
        }
        assert_eq!(waits.get()?, 1);
        all_gone(&pids);
        assert_eq!(begun.to_vec(), [1, 1]);
    }
    // All of a map, and a call that sleeps in the kernel.
    let (begun, items) = hangs(method, 2)?;
    let map = pool.tasks(items).chunk_size(1).with_worker().map_async(hang_at)?;
    all_begun(&begun);
    let pids = pool.worker_pids();
    assert!(map.kill(AT_ONCE) && !map.kill(AT_ONCE));
    assert!(matches!(map.get(), Err(Error::Cancelled)));
    all_gone(&pids);
    let nap = pool.apply_async(if threads { AT_ONCE } else { LONG }, thread::sleep)?;
    let waits = (0..9u8).map(|x| pool.apply_async(x, |x| x)).collect::<Result<Vec<_>, _>>()?;
    assert!(nap.kill(AT_ONCE) || threads);
    for (n, wait) in waits.into_iter().enumerate() {
        assert_eq!(usize::from(wait.get()?), n);
    }
    // Items that have not begun do not run.
    let (begun, items) = hangs(method, 2)?;
    let busy = pool.tasks(items).chunk_size(1).with_worker().map_async(hang_at)?;
    all_begun(&begun);
    let (ran, items) = hangs(method, 3)?;
    let waits = items
        .into_iter()
        .map(|item| Ok::<_, Error>(pool.task(item).with_worker().apply_async(hang_at)?));
    let waits = waits.collect::<Result<Vec<_>, _>>()?;
    assert!(waits.iter().all(|wait| wait.kill(AT_ONCE)));
    assert!(busy.kill(AT_ONCE));
    assert_eq!(pool.broadcast(|_| ())?.len(), 2);
    assert_eq!(ran.to_vec(), [0, 0, 0]);
    pool.stop_and_join()?;
    Ok(())
}

fn after_the_end(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let token = CancelToken::new()?;
    assert_eq!(pool.tasks(0..3u8).cancel_token(&token).kill_running(AT_ONCE).map(|x| x)?.len(), 3);
    let handle = pool.task(3u8).kill_running(AT_ONCE).apply_async(|x| x)?;
    handle.wait()?;
    let pids = pool.worker_pids();
    token.kill(AT_ONCE);
    assert!(!handle.kill(AT_ONCE) && !handle.cancel());
    assert_eq!(handle.get()?, 3);
    assert_eq!(pool.map(0..9u8, |x| x)?.len(), 9);
    assert_eq!(pool.worker_pids(), pids);
    assert!(matches!(pool.tasks(0..3u8).cancel_token(&token).map(|x| x), Err(Error::Cancelled)));
    // A pool that is gone.
    let handle = pool.task(3u8).kill_running(AT_ONCE).apply_async(|x| x)?;
    handle.wait()?;
    drop(pool);
    assert!(!handle.kill(AT_ONCE));
    assert_eq!(handle.get()?, 3);
    Ok(())
}

fn dropped(method: StartMethod) -> Outcome {
    let pool = pool(method, 2)?;
    let next = |pool: &WorkerPool, pids: &[u32]| -> Outcome {
        assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
        all_gone(pids);
        Ok(())
    };
    // An iterator.
    let (begun, items) = hangs(method, 3)?;
    let tasks = pool.tasks(items).chunk_size(1);
    let mut values = tasks.kill_running(AT_ONCE).with_worker().imap(|w, (begun, at, threads)| {
        begun.fetch_add(at, 1);
        if at > 0 {
            hang(w, threads);
        }
    });
    assert!(matches!(values.next(), Some(Ok(()))));
    all_begun(&begun);
    let pids = pool.worker_pids();
    drop(values);
    next(&pool, &pids)?;
    // Handles of one call each, and of a map.
    let (begun, items) = hangs(method, 2)?;
    let hand_in = |item| {
        Ok::<_, Error>(pool.task(item).kill_running(AT_ONCE).with_worker().apply_async(hang_at)?)
    };
    let handles = items.into_iter().map(hand_in).collect::<Result<Vec<_>, _>>()?;
    all_begun(&begun);
    let pids = pool.worker_pids();
    drop(handles);
    next(&pool, &pids)?;
    let (begun, items) = hangs(method, 2)?;
    let map =
        pool.tasks(items).chunk_size(1).kill_running(AT_ONCE).with_worker().map_async(hang_at)?;
    all_begun(&begun);
    let pids = pool.worker_pids();
    // Like an executor that drops a future that has taken too long.
    block_on(async {
        let mut map = pin!(map);
        let first = poll_fn(|context| Poll::Ready(map.as_mut().poll(context).is_pending())).await;
        assert!(first, "it hangs");
    });
    next(&pool, &pids)?;
    // A call that its first failure ends.
    let (_, items) = hangs(method, 2)?;
    let tasks = pool.tasks(items).chunk_size(1).kill_running(AT_ONCE);
    let failed = tasks.with_worker().map(|w, (begun, at, threads)| {
        begun.fetch_add(at, 1);
        if at == 0 {
            while begun.to_vec()[1] == 0 {
                hint::spin_loop();
            }
            panic!("the first");
        }
        hang(w, threads);
    });
    assert!(matches!(failed, Err(Error::Task(_))), "{failed:?}");
    assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
    Ok(())
}

const SIGUSR2: i32 = 12;
/// The token, which lives in a local of the case.
static TOKEN: AtomicPtr<CancelToken> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn kill_all(_: i32) {
    // SAFETY: null, or the token of the case, which takes the address back before it drops the
    // token.
    if let Some(token) = unsafe { TOKEN.load(Ordering::Acquire).as_ref() } {
        token.kill(AT_ONCE);
    }
}

fn in_handler(method: StartMethod) -> Outcome {
    let token = CancelToken::new()?;
    TOKEN.store(std::ptr::from_ref(&token).cast_mut(), Ordering::Release);
    sys::on_signal(SIGUSR2, kill_all);
    let pool = pool(method, 2)?;
    let items = [(std::process::id(), method == StartMethod::Threads)];
    let ended = pool.tasks(items).cancel_token(&token).with_worker().map(|w, (parent, threads)| {
        sys::kill(parent, SIGUSR2);
        hang(w, threads);
    });
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
    pool.stop_and_join()?;
    TOKEN.store(std::ptr::null_mut(), Ordering::Release);
    Ok(())
}

fn in_init(method: StartMethod) -> Outcome {
    let begun = SharedArray::<u64>::new(1)?;
    let pool = builder(method, 2).shared(begun.clone()).worker_init(|w| {
        // The first life of worker 0 never gets ready.
        if w.id() == 0 && w.shared.fetch_add(0, 1) == 0 {
            loop {
                hint::spin_loop();
            }
        }
    });
    let pool = pool.build()?;
    let token = CancelToken::new()?;
    thread::scope(|scope| -> Outcome {
        let call = scope.spawn(|| {
            let tasks = pool.tasks(0..2u32).on_worker(0).cancel_token(&token);
            tasks.map(|x| x)
        });
        wait_until("it hangs", || begun.to_vec() == [1]);
        let other = scope.spawn(|| pool.tasks(0..50u32).chunk_size(1).map(|x| x));
        token.kill(AT_ONCE);
        assert!(matches!(call.join().expect("no panic"), Err(Error::Cancelled)));
        assert_eq!(other.join().expect("no panic")?.len(), 50);
        Ok(())
    })?;
    assert_eq!(pool.broadcast(|w| w.id())?, [0, 1]);
    Ok(())
}

fn nested(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).daemon(false).build()?;
    let pids = SharedArray::<u64>::new(1)?;
    let handle = pool.apply_async(pids.clone(), |pids| {
        let inner = WorkerPool::builder().n_jobs(1).build().expect("it is allowed");
        inner.apply((), |()| ()).expect("it works");
        let pid = inner.worker_pids()[0];
        let hangs = inner.apply_async((), |()| thread::sleep(LONG));
        pids.copy_from_slice(&[u64::from(pid)]);
        hangs.expect("it is taken in").get().is_ok()
    })?;
    wait_until("its own worker is there", || pids.to_vec()[0] > 0);
    let inner = u32::try_from(pids.to_vec()[0])?;
    let outer = pool.worker_pids();
    assert!(is_alive(inner));
    assert!(handle.kill(AT_ONCE));
    wait_until("both are gone", || {
        !is_alive(inner) && outer.iter().filter(|pid| is_alive(**pid)).count() == 1
    });
    assert_eq!(pool.map([1u8, 2], |x| x)?, [1, 2]);
    Ok(())
}
