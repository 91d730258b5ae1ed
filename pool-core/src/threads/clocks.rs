//! The clocks of a job's items that have a limit: looked at by the thread that waits for the job.
//!
//! Invariant: an item is either stopped by the thread that ran it or taken as overdue, never both: both happen under the lock of the
//! job's flow.

use std::time::{Duration, Instant};

/// The items that run, those begun first in front.
#[derive(Default)]
pub(super) struct Clocks(Vec<Running>);

struct Running {
    index: u64,
    worker: u32,
    deadline: Instant,
}

impl Clocks {
    /// The item at `index` is begun; when it is overdue, if time goes so far.
    pub(super) fn start(&mut self, index: u64, worker: u32, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now().checked_add(limit);
        // One beyond all time is no limit.
        if let Some(deadline) = deadline {
            self.0.push(Running { index, worker, deadline });
        }
        deadline
    }

    /// The item has ended; `false` when it was taken as overdue before.
    pub(super) fn stop(&mut self, index: u64) -> bool {
        let at = self.0.iter().position(|running| running.index == index);
        at.map(|at| self.0.swap_remove(at)).is_some()
    }

    /// Takes an item that is overdue: its position, and who has it.
    pub(super) fn take_overdue(&mut self) -> Option<(u64, u32)> {
        if self.0.is_empty() {
            return None;
        }
        let now = Instant::now();
        let at = self.0.iter().position(|running| running.deadline <= now)?;
        let Running { index, worker, .. } = self.0.swap_remove(at);
        Some((index, worker))
    }

    /// How long whoever looks after the clocks may sleep: one that starts meanwhile is due later than in `limit`.
    pub(super) fn sleep_at_most(&self, longest: Duration, limit: Option<Duration>) -> Duration {
        let Some(limit) = limit else { return longest };
        let first = self.0.iter().map(|running| running.deadline).min();
        let first = first.map_or(limit, |due| due.saturating_duration_since(Instant::now()));
        first.min(limit).min(longest)
    }
}
