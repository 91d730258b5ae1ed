//! The deadlines of a job's work in its threads; the thread that waits for the job watches them.
//!
//! Invariant: an item is either stopped by the thread that ran it or taken as overdue, never both:
//! both happen under the lock of the job's flow.

use std::time::{Duration, Instant};

use super::SHORTEST_SLEEP;

/// The running work of a job that has a deadline.
#[derive(Default)]
pub(super) struct Clocks(Vec<Running>);

/// What a thread is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InHand {
    /// The item at this position.
    Item(u64),
    /// The `worker_init` of this worker.
    State(u32),
    /// The exit of this worker.
    Exit(u32),
}

struct Running {
    what: InHand,
    worker: u32,
    deadline: Instant,
}

impl Clocks {
    /// Notes that the worker has begun `what`; returns its deadline, if the clock can express it.
    pub(super) fn start(&mut self, what: InHand, worker: u32, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now().checked_add(limit);
        // A deadline beyond the range of the clock is no limit.
        if let Some(deadline) = deadline {
            self.start_until(what, worker, deadline);
        }
        deadline
    }

    /// Notes that the worker has begun `what`, which is overdue at `deadline`.
    pub(super) fn start_until(&mut self, what: InHand, worker: u32, deadline: Instant) {
        self.0.push(Running { what, worker, deadline });
    }

    /// Notes that `what` has ended; `false` when it was taken as overdue before.
    pub(super) fn stop(&mut self, what: InHand) -> bool {
        let at = self.0.iter().position(|running| running.what == what);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one item of work that is overdue, and its worker.
    pub(super) fn take_overdue(&mut self) -> Option<(InHand, u32)> {
        let now = Instant::now();
        let at = self.0.iter().position(|running| running.deadline <= now)?;
        let Running { what, worker, .. } = self.0.swap_remove(at);
        Some((what, worker))
    }

    /// How long a thread that watches the deadlines may sleep: work that starts meanwhile is due no
    /// sooner than `limit` from now.
    pub(super) fn sleep_at_most(&self, longest: Duration, limit: Option<Duration>) -> Duration {
        let Some(limit) = limit else { return longest };
        let first = self.0.iter().map(|running| running.deadline).min();
        let first = first.map_or(limit, |due| due.saturating_duration_since(Instant::now()));
        first.min(limit).min(longest).max(SHORTEST_SLEEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_after_clocks_sleeps_in_between() {
        let long = Duration::from_secs(1);
        let tiny = Some(Duration::from_nanos(1));
        let mut clocks = Clocks::default();
        assert_eq!(clocks.sleep_at_most(long, tiny), SHORTEST_SLEEP);
        assert_eq!(clocks.sleep_at_most(Duration::from_nanos(1), tiny), SHORTEST_SLEEP);
        clocks.start_until(InHand::Exit(0), 0, Instant::now());
        assert_eq!(clocks.sleep_at_most(long, Some(long)), SHORTEST_SLEEP);
        assert_eq!(clocks.take_overdue(), Some((InHand::Exit(0), 0)));
        assert_eq!(clocks.sleep_at_most(long, Some(2 * long)), long);
        assert_eq!(clocks.sleep_at_most(long, None), long);
    }
}
