//! When what threads do is overdue. The thread that waits for it looks, since it has nothing else
//! to do.
//!
//! Invariant: what has a deadline is either stopped by the thread that runs it or taken as overdue,
//! never both: both happen under the lock that the deadlines lie behind.

use crate::ids::{ItemIndex, WorkerId};
use std::time::{Duration, Instant};

/// The shortest sleep of a thread that watches time limits, however short the limits are. With
/// shorter ones it would take up a CPU, and might keep a lock from the threads that need it.
pub(crate) const SHORTEST_SLEEP: Duration = Duration::from_micros(50);

/// What runs, in the order in which it began, each with the moment at which it is overdue.
#[derive(Debug)]
pub(crate) struct Deadlines<T>(Vec<(Instant, T)>);

/// What a thread does for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    /// It runs the item at this position.
    Item { index: ItemIndex, worker: WorkerId },
    /// It makes the state of this worker.
    State(WorkerId),
    /// It is at the exit of this worker.
    Exit(WorkerId),
}

/// An item that has failed since it was overdue.
#[derive(Debug)]
pub(super) struct Overdue {
    pub(super) index: ItemIndex,
    pub(super) worker: WorkerId,
    pub(super) limit: Duration,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deadlines<T> {
    /// `what` begins, and is overdue after `limit`: that moment, or `None` if it is beyond all
    /// time, so that there is no limit.
    pub(crate) fn start(&mut self, what: T, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now().checked_add(limit)?;
        self.start_until(what, deadline);
        Some(deadline)
    }

    /// `what` begins, and is overdue at `deadline`.
    pub(crate) fn start_until(&mut self, what: T, deadline: Instant) {
        self.0.push((deadline, what));
    }

    /// What `is_it` selects has ended; `false` when it was taken as overdue before.
    pub(crate) fn stop(&mut self, is_it: impl Fn(&T) -> bool) -> bool {
        let at = self.0.iter().position(|(_, what)| is_it(what));
        at.map(|at| self.0.remove(at)).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one that is overdue at `now`.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Option<T> {
        let at = self.0.iter().position(|(deadline, _)| *deadline <= now)?;
        Some(self.0.remove(at).1)
    }

    /// How long a thread that looks after them may sleep. `limit`: what begins meanwhile is due
    /// later than that. `None`: nothing will be due.
    pub(crate) fn sleep_at_most(&self, limit: Option<Duration>) -> Option<Duration> {
        let first = self.0.iter().map(|(deadline, _)| *deadline).min();
        let first = first.map(|due| due.saturating_duration_since(Instant::now()));
        first.into_iter().chain(limit).min().map(|sleep| sleep.max(SHORTEST_SLEEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_tiny_limits_have_pauses() {
        let long = Some(Duration::from_secs(3600));
        let tiny = Some(Duration::from_nanos(1));
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.sleep_at_most(None), None);
        assert_eq!(deadlines.sleep_at_most(long), long);
        assert_eq!(deadlines.sleep_at_most(tiny), Some(SHORTEST_SLEEP));
        let now = Instant::now();
        deadlines.start_until(Activity::Exit(WorkerId::new(0)), now);
        assert_eq!(deadlines.sleep_at_most(long), Some(SHORTEST_SLEEP));
        assert_eq!(deadlines.take_overdue(now), Some(Activity::Exit(WorkerId::new(0))));
        assert!(deadlines.is_empty() && deadlines.take_overdue(now).is_none());
    }

    #[test]
    fn what_has_stopped_is_not_overdue() {
        let mut deadlines = Deadlines::default();
        assert!(deadlines.start(1, Duration::MAX).is_none(), "beyond all time");
        let due = deadlines.start(2, Duration::from_secs(3600)).unwrap();
        assert!(deadlines.take_overdue(Instant::now()).is_none());
        assert!(deadlines.stop(|what| *what == 2) && !deadlines.stop(|what| *what == 2));
        assert!(deadlines.take_overdue(due).is_none());
    }
}
