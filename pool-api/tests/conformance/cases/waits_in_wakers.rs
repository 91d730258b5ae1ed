//! The user's code in the threads of pools waits for calls that do not end by themselves: a call
//! without end, which `terminate` ends, and results of each other, of which one wait is refused.

use std::{
    slice,
    sync::{Arc, Barrier, Mutex, PoisonError, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use pool_api::{AsyncResult, Error, StartMethod, WaitFor, WorkerPool, as_completed, wait, wire};

use crate::case::{Case, Outcome, pool};

pub(crate) const CASES: &[Case] = &[
    Case::new("a_call_without_end_in_a_waker_ends_by_terminate", endless_call),
    Case::new("code_without_end_in_a_waker_does_not_hold_terminate_up", endless_code),
    Case::new("waits_for_any_of_several_that_wait_for_each_other", circle),
];

const WATCHDOG: Duration = Duration::from_secs(20);

type Act = Box<dyn FnOnce() + Send>;

/// A waker that acts once, when it is woken.
struct Acts(Mutex<Option<Act>>);

impl Wake for Acts {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(act) = act {
            act();
        }
    }
}

/// A background map of the pool whose waker acts.
fn wakes(pool: &WorkerPool, act: Act) -> Result<AsyncResult<Vec<u64>>, Error> {
    let (gate, waits) = (pool_api::SharedEvent::new()?, |gate: pool_api::SharedEvent| {
        gate.wait();
        7u64
    });
    let mut handle = pool.map_async([gate.clone()], waits)?;
    let waker = Waker::from(Arc::new(Acts(Mutex::new(Some(act)))));
    let polled = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
    gate.set();
    Ok(handle)
}

fn endless_call(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 2)?);
    for lazy in [false, true] {
        let (to, told) = mpsc::channel();
        let inner = pool.clone();
        let handle = wakes(
            &pool,
            Box::new(move || {
                let begun = to.clone();
                let mut input = (0..u64::MAX).inspect(|x| {
                    if *x == 100 {
                        let _ = begun.send(None);
                    }
                });
                let ended = if lazy {
                    inner.imap(&mut input, |x| x).find_map(Result::err)
                } else {
                    inner.map_unordered(&mut input, |x| x).err()
                };
                let _ = to.send(ended);
            }),
        )?;
        assert!(told.recv_timeout(WATCHDOG)?.is_none());
        pool.terminate()?;
        let ended = told.recv_timeout(WATCHDOG)?;
        assert!(matches!(ended, Some(Error::Terminated)), "{ended:?}");
        assert_eq!(handle.get()?, [7]);
        assert_eq!(pool.map(0..3u64, |x| x + 1)?, [1, 2, 3]);
    }
    Ok(())
}

/// Calls that a waker makes after `terminate` belong to the pool's next life.
fn endless_code(method: StartMethod) -> Outcome {
    let pool = Arc::new(pool(method, 1)?);
    let (to, told) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let handle = wakes(
        &pool,
        Box::new(move || {
            let _ = to.send(());
            let _ = goes_on.recv();
            let _ = to.send(());
        }),
    )?;
    told.recv_timeout(WATCHDOG)?;
    pool.terminate()?;
    assert_eq!(handle.get()?, [7]);
    if method != StartMethod::Fork {
        // (Fork sees the thread that the waker has.)
        assert_eq!(pool.map(0..3u64, |x| x + 1)?, [1, 2, 3]);
    }
    drop(go_on);
    told.recv_timeout(WATCHDOG)?;
    Ok(())
}

wire! {
    /// A result whose `Clone` acts, once for each number.
    #[derive(Debug)]
    struct Probe { number: u64 }
}

static ACTS: Mutex<[Option<Act>; 2]> = Mutex::new([const { None }; 2]);

impl Clone for Probe {
    fn clone(&self) -> Self {
        let mut acts = ACTS.lock().unwrap_or_else(PoisonError::into_inner);
        let act = acts[self.number as usize].take();
        drop(acts);
        if let Some(act) = act {
            act();
        }
        Self { number: self.number }
    }
}

/// Two results of two pools, of which each one's `Clone` waits for the other one.
fn circle(method: StartMethod) -> Outcome {
    let pools = [pool(method, 1)?, pool(method, 1)?];
    let gate = pool_api::SharedEvent::new()?;
    let waits = |(gate, number): (pool_api::SharedEvent, u64)| {
        gate.wait();
        Probe { number }
    };
    let first = pools[0].apply_async((gate.clone(), 0), waits)?;
    let second = Arc::new(pools[1].apply_async((gate.clone(), 1), waits)?);
    let both = Arc::new(Barrier::new(2));
    let (to, told) = mpsc::channel();
    let (tell, begins, other) = (to.clone(), both.clone(), second.clone());
    let waits_for_second = move || {
        begins.wait();
        let ended = wait(slice::from_ref(&*other), WaitFor::First, None).map(drop);
        let _ = tell.send(ended);
    };
    first.callback(drop);
    second.callback(drop);
    let waits_for_first = move || {
        both.wait();
        let mut ended = Ok(());
        match as_completed([first]) {
            Ok(handles) => {
                for (_, handle) in handles {
                    ended = handle.get().map(drop);
                }
            }
            Err(error) => ended = Err(error),
        }
        let _ = to.send(ended);
    };
    *ACTS.lock().unwrap_or_else(PoisonError::into_inner) =
        [Some(Box::new(waits_for_second)), Some(Box::new(waits_for_first))];
    gate.set();
    let said = [told.recv_timeout(WATCHDOG)?, told.recv_timeout(WATCHDOG)?];
    let refused = said.iter().filter(|said| matches!(said, Err(Error::NestedUse))).count();
    assert!(refused >= 1 && said.iter().all(|s| matches!(s, Ok(()) | Err(Error::NestedUse))));
    assert!(second.wait_timeout(WATCHDOG)?, "{said:?}");
    let pools: Vec<_> =
        pools.into_iter().map(|pool| thread::spawn(move || pool.stop_and_join())).collect();
    pools.into_iter().try_for_each(|stopped| stopped.join().expect("no panic"))?;
    Ok(())
}
