//! The clocks of the workers, and what is to be ended when they run out.

use std::time::Duration;

use pool_ipc::board::Board;

use crate::{os, protocol::ClaimedChunk};

/// The clocks of the workers, from the first alarm on.
#[derive(Default)]
pub(super) struct Clocks {
    pub(super) board: Option<Board>,
    /// When the next look is due; 0: not before somebody rings.
    pub(super) alarm: u64,
    /// Items that have more time, since nothing ran for a while: incarnation, the old deadline, the
    /// new one.
    pub(super) prolonged: Vec<(u32, u64, u64)>,
    /// What is to be ended with its worker.
    pub(super) kills: Vec<PendingKill>,
    /// One of those came since the last look.
    pub(super) ordered: bool,
}

impl Clocks {
    /// Has the worker killed that has this chunk after so many nanoseconds; what was ordered before
    /// stands if it is due sooner.
    pub(super) fn kill_after(&mut self, chunk: ClaimedChunk, grace: u64) {
        let due = os::monotonic_nanos().saturating_add(grace).min(NEVER);
        self.ordered = true;
        match self.kills.iter_mut().find(|kill| kill.chunk == chunk) {
            Some(kill) if kill.due <= due => {}
            Some(kill) => (kill.grace, kill.due) = (grace, due),
            None => self.kills.push(PendingKill { chunk, grace, due, looks: LOOKS }),
        }
    }

    /// How long to sleep, if nothing else says more than `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        if self.alarm == 0 {
            return idle;
        }
        let left = Duration::from_nanos(self.alarm.saturating_sub(os::monotonic_nanos()));
        Some(idle.map_or(left, |idle| idle.min(left)))
    }

    /// When an item is really overdue.
    pub(super) fn due(&self, incarnation: u32, deadline: u64) -> u64 {
        let longer = self.prolonged.iter().find(|(i, d, _)| (*i, *d) == (incarnation, deadline));
        longer.map_or(deadline, |(_, _, due)| *due)
    }

    /// Says when it will look again.
    pub(super) fn set_alarm(&mut self, board: &Board, first: Option<u64>) {
        self.alarm = first.unwrap_or(0);
        board.set_alarm(self.alarm);
    }
}

/// A chunk of a cancelled call.
pub(super) struct PendingKill {
    pub(super) chunk: ClaimedChunk,
    pub(super) grace: u64,
    pub(super) due: u64,
    /// Looks for a worker that is not known here, left.
    pub(super) looks: u32,
}

impl PendingKill {
    pub(super) fn is_still_claimed(&self, board: &Board) -> bool {
        let ClaimedChunk { slot, generation, incarnation } = self.chunk;
        board.claim_of(slot as usize) == Some((generation, incarnation))
    }
}

/// When the board is tried again that could not be mapped.
pub(super) const AGAIN: u64 = 50_000_000;

/// When a worker is looked for again that a template has forked and not named yet.
pub(super) const UNNAMED: u64 = 2_000_000;

/// How often.
const LOOKS: u32 = 1000;

/// No clock comes so far: it stands for no time at all.
pub(super) const NEVER: u64 = 1 << 62;
