//! Calls that wait: for an item, a lock, a permit, an event.
//!
//! A thread that waits sleeps in `poll`, on its client's socket and on a counter of its own. What
//! it waits for is tried again under the object's lock each time that the counter was raised.
//!
//! Invariant: while what is waited for is there and threads wait for it, at least one of them has
//! been notified and is about to look: one that goes without taking it passes the notification on.

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::call::Caller;
use crate::protocol::{FOREVER, Fault};

/// What wakes one thread.
pub(super) struct Waker {
    counter: EventFd,
    /// Set under the lock of the object that is waited for.
    is_notified: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> Option<Arc<Self>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let counter = EventFd::from_value_and_flags(0, flags).ok()?;
        Some(Arc::new(Self { counter, is_notified: AtomicBool::new(false) }))
    }
}

/// The threads that wait for one thing, in the order in which they came.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Arc<Waker>>);

impl Waiters {
    /// Wakes the first one.
    pub(super) fn notify_one(&mut self) {
        if let Some(waker) = self.0.pop_front() {
            waker.is_notified.store(true, Ordering::SeqCst);
            let _ = waker.counter.write(1);
        }
    }

    pub(super) fn notify_all(&mut self) {
        while !self.0.is_empty() {
            self.notify_one();
        }
    }

    fn forget(&mut self, waker: &Arc<Waker>) {
        self.0.retain(|other| !Arc::ptr_eq(other, waker));
    }
}

/// A mutex whose data stay valid when a thread panics.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a wait of so many nanoseconds.
fn deadline(nanos: u64) -> Option<Instant> {
    (nanos != FOREVER).then(|| Instant::now().checked_add(Duration::from_nanos(nanos))).flatten()
}

/// Tries `attempt` until it gives something. `waiters` are those that `attempt` may succeed for.
pub(super) fn wait_until<S, T>(
    state: &Mutex<S>,
    caller: &mut Caller<'_>,
    nanos: u64,
    waiters: fn(&mut S) -> &mut Waiters,
    mut attempt: impl FnMut(&mut S) -> Result<Option<T>, Fault>,
) -> Result<T, Fault> {
    let deadline = deadline(nanos);
    let mut state_now = locked(state);
    // Those that wait come first, but for calls that do not wait.
    if (waiters(&mut state_now).0.is_empty() || nanos == 0)
        && let Some(value) = attempt(&mut state_now)?
    {
        return Ok(value);
    }
    if nanos == 0 {
        return Err(Fault::TimedOut);
    }
    let waker = caller.waker()?;
    waker.is_notified.store(false, Ordering::SeqCst);
    waiters(&mut state_now).0.push_back(waker.clone());
    loop {
        drop(state_now);
        let end = sleep(caller, &waker, deadline);
        state_now = locked(state);
        let is_notified = waker.is_notified.swap(false, Ordering::SeqCst);
        if end.is_none() && is_notified {
            match attempt(&mut state_now) {
                Ok(None) => waiters(&mut state_now).0.push_front(waker.clone()),
                Ok(Some(value)) => return Ok(value),
                Err(fault) => {
                    waiters(&mut state_now).notify_one();
                    return Err(fault);
                }
            }
        }
        if let Some(fault) = end {
            if is_notified {
                waiters(&mut state_now).notify_one();
            } else {
                waiters(&mut state_now).forget(&waker);
            }
            return Err(fault);
        }
    }
}

/// Sleeps until the counter is raised. Any other end of the sleep is a fault.
fn sleep(caller: &Caller<'_>, waker: &Waker, deadline: Option<Instant>) -> Option<Fault> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Some(Fault::TimedOut);
                }
                let millis = left.as_nanos().div_ceil(1_000_000);
                PollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
            }
        };
        let raised = PollFd::new(waker.counter.as_fd(), PollFlags::POLLIN);
        // A client says nothing while it waits, so whatever comes is its end.
        let client = caller.client().map(|client| PollFd::new(client, PollFlags::POLLIN));
        let mut fds: Vec<_> = [Some(raised), client].into_iter().flatten().collect();
        if let Err(errno) = poll(&mut fds, timeout)
            && errno != nix::errno::Errno::EINTR
        {
            return Some(Fault::Gone);
        }
        let happened = |at: usize| fds.get(at).is_some_and(|fd| fd.any().unwrap_or(false));
        if happened(1) {
            return Some(if caller.is_stopping() { Fault::ShutDown } else { Fault::Gone });
        }
        if happened(0) {
            let _ = waker.counter.read();
            return None;
        }
    }
}
