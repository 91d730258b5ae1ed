//! Which threads are at their worker's exit, how long they may take, and which threads have ended.
//!
//! Invariant: an overdue exit is reported once: by the call in which the worker ended, by the
//! thread that joins the threads, or, if neither has looked in time, by the thread itself.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::SHORTEST_SLEEP;
use crate::{ids::WorkerId, mutex::lock};

/// The state of each thread with regard to its worker's exit.
pub(super) struct Exiting {
    limit: Option<Duration>,
    states: Mutex<Vec<ThreadState>>,
    changed: Condvar,
}

/// What the thread of one worker is doing.
#[derive(Clone, Copy)]
enum ThreadState {
    Works,
    /// It is at its exit, and has until then.
    Leaves(Instant),
    /// It is at its exit, its time is over, and that was reported.
    Overdue,
    Ended,
}

/// Marks the worker's thread as ended when it is dropped: see [`Exiting::ends`].
pub(super) struct Ends<'l> {
    exiting: &'l Exiting,
    worker: WorkerId,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        lock(&self.exiting.states)[self.worker.index()] = ThreadState::Ended;
        self.exiting.changed.notify_all();
    }
}

/// How an exit has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    InTime,
    /// Too late, and not yet reported.
    Late,
    /// Too late, and reported.
    GivenUp,
}

impl Exiting {
    pub(super) fn new(threads: usize, limit: Option<Duration>) -> Self {
        let states = Mutex::new(vec![ThreadState::Works; threads]);
        Self { limit, states, changed: Condvar::new() }
    }

    /// How long an exit may take.
    pub(super) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    /// Notes that the worker is at its exit now; returns its deadline, if it has a limit and the
    /// clock can express it.
    pub(super) fn starts(&self, worker: WorkerId) -> Option<Instant> {
        let deadline = Instant::now().checked_add(self.limit?)?;
        lock(&self.states)[worker.index()] = ThreadState::Leaves(deadline);
        Some(deadline)
    }

    /// Notes that the worker has completed its exit.
    pub(super) fn is_through(&self, worker: WorkerId) -> Left {
        let mut states = lock(&self.states);
        match std::mem::replace(&mut states[worker.index()], ThreadState::Works) {
            ThreadState::Leaves(deadline) if deadline <= Instant::now() => Left::Late,
            ThreadState::Overdue => Left::GivenUp,
            _ => Left::InTime,
        }
    }

    /// Gives an exit up as overdue; if this returns `true`, the caller has to report that.
    pub(super) fn give_up(&self, worker: WorkerId) -> bool {
        let state = &mut lock(&self.states)[worker.index()];
        let leaves = matches!(state, ThreadState::Leaves(_));
        if leaves {
            *state = ThreadState::Overdue;
        }
        leaves
    }

    /// Returns a guard whose drop marks the thread as ended: the thread's last action, however it
    /// ends.
    pub(super) fn ends(&self, worker: WorkerId) -> Ends<'_> {
        Ends { exiting: self, worker }
    }

    /// Waits until the worker's thread has ended, or is overdue. Returns the limit as the error if
    /// this call was the one to find that out.
    pub(super) fn wait(&self, worker: WorkerId) -> Result<(), Option<Duration>> {
        let Some(limit) = self.limit else { return Ok(()) };
        let mut states = lock(&self.states);
        loop {
            // An exit that begins meanwhile is due no sooner than `limit` from now.
            let nap = match states[worker.index()] {
                ThreadState::Ended => return Ok(()),
                ThreadState::Overdue => return Err(None),
                ThreadState::Works => limit,
                ThreadState::Leaves(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if nap.is_zero() {
                states[worker.index()] = ThreadState::Overdue;
                return Err(Some(limit));
            }
            let woken = self.changed.wait_timeout(states, nap.max(SHORTEST_SLEEP));
            states = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(3600));

    #[test]
    fn who_is_overdue_is_told_of_once() {
        let exiting = Exiting::new(2, Some(Duration::from_nanos(1)));
        assert!(!exiting.give_up(WorkerId::FIRST), "it works");
        assert!(exiting.starts(WorkerId::FIRST).is_some());
        assert!(exiting.wait(WorkerId::FIRST).is_err_and(|limit| limit == exiting.limit()));
        assert!(!exiting.give_up(WorkerId::FIRST) && exiting.wait(WorkerId::FIRST) == Err(None));
        assert_eq!(exiting.is_through(WorkerId::FIRST), Left::GivenUp);
        exiting.starts(WorkerId::new(1));
        std::thread::sleep(Duration::from_nanos(1));
        assert_eq!(exiting.is_through(WorkerId::new(1)), Left::Late);
        drop(exiting.ends(WorkerId::new(1)));
        assert_eq!(exiting.wait(WorkerId::new(1)), Ok(()));
    }

    #[test]
    fn who_is_in_time_is_not_told_of() {
        let exiting = Exiting::new(1, LONG);
        exiting.starts(WorkerId::FIRST);
        assert_eq!(exiting.is_through(WorkerId::FIRST), Left::InTime);
        assert!(!exiting.give_up(WorkerId::FIRST));
        let endless = Exiting::new(1, None);
        assert_eq!(
            (endless.starts(WorkerId::FIRST), endless.is_through(WorkerId::FIRST)),
            (None, Left::InTime)
        );
        assert_eq!(endless.wait(WorkerId::FIRST), Ok(()));
    }
}
