//! The clocks of the workers, and the chunks that are to be ended when a grace is over.

use std::time::Duration;

use pool_ipc::board::{Board, Incarnation, SlotIndex};

use crate::{os, protocol::ClaimedChunk};

/// The clocks of the workers, from the first alarm on.
#[derive(Default)]
pub(super) struct Clocks {
    pub(super) board: Option<Board>,
    /// When the zygote checks next; 0: not before a process sends an alarm.
    pub(super) alarm: u64,
    /// Items that have more time, since no process ran for a while: incarnation, the old deadline,
    /// the new one.
    pub(super) prolonged: Vec<(Incarnation, u64, u64)>,
    /// Chunks that are to be ended with their worker.
    pub(super) kills: Vec<PendingKill>,
    /// Whether one of those came since the last look.
    pub(super) ordered: bool,
}

impl Clocks {
    /// Has the worker killed that still has this chunk after `grace` nanoseconds; an earlier order
    /// stands if it is due sooner.
    pub(super) fn kill_after(&mut self, chunk: ClaimedChunk, grace: u64) {
        let due = os::monotonic_nanos().saturating_add(grace).min(NEVER);
        self.ordered = true;
        match self.kills.iter_mut().find(|kill| kill.chunk == chunk) {
            Some(kill) if kill.due <= due => {}
            Some(kill) => (kill.grace, kill.due) = (grace, due),
            None => self.kills.push(PendingKill { chunk, grace, due, checks: MAX_CHECKS }),
        }
    }

    /// How long the zygote may sleep: until the alarm, at most for `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        if self.alarm == 0 {
            return idle;
        }
        let left = Duration::from_nanos(self.alarm.saturating_sub(os::monotonic_nanos()));
        Some(idle.map_or(left, |idle| idle.min(left)))
    }

    /// When an item with this deadline is overdue, prolonged or not.
    pub(super) fn due(&self, incarnation: Incarnation, deadline: u64) -> u64 {
        let longer = self.prolonged.iter().find(|(i, d, _)| (*i, *d) == (incarnation, deadline));
        longer.map_or(deadline, |(_, _, due)| *due)
    }

    /// Sets when the zygote checks next, here and on the board.
    pub(super) fn set_alarm(&mut self, board: &Board, first: Option<u64>) {
        self.alarm = first.unwrap_or(0);
        board.set_alarm(self.alarm);
    }
}

/// A chunk of a cancelled call, whose worker is killed if it still has it when the grace is over.
pub(super) struct PendingKill {
    pub(super) chunk: ClaimedChunk,
    pub(super) grace: u64,
    pub(super) due: u64,
    /// How often the zygote still checks for the worker if it does not know it.
    pub(super) checks: u32,
}

impl PendingKill {
    pub(super) fn is_still_claimed(&self, board: &Board) -> bool {
        let ClaimedChunk { slot, generation, incarnation } = self.chunk;
        board.claim_of(SlotIndex::new(slot as usize)) == Some((generation, incarnation))
    }
}

/// Nanoseconds until a board that could not be mapped is tried again.
pub(super) const AGAIN: u64 = 50_000_000;

/// Nanoseconds until the zygote checks again for a worker that a template has forked and not named
/// yet.
pub(super) const UNNAMED: u64 = 2_000_000;

/// How often the zygote checks for such a worker.
const MAX_CHECKS: u32 = 1000;

/// No clock gets as far as this time: it stands for "never".
pub(super) const NEVER: u64 = 1 << 62;
