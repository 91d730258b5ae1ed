//! Ends workers whose item takes longer than it may, and workers of cancelled calls that go on for
//! longer than the grace, also while no thread of the parent is in a call.
//!
//! Invariant: no clock runs out unseen: this process sleeps no longer than until the first clock
//! that is due, and a worker that starts one that is due before that sends an alarm (see
//! `pool_ipc`'s `board/clock.rs`). A worker that is killed has been timed out for the item that is
//! overdue, and cannot have begun another one; a worker that is killed for a cancelled call cannot
//! report its chunk any more, since the zygote has seized that by slot, generation and incarnation,
//! and so has claimed no other.

use std::{io, sync::Arc, time::Duration};

use nix::sys::signal::{Signal, kill as kill_process};
use pool_ipc::board::{Board, SlotIndex};
use pool_shm::Segment;

use super::{
    clocks::{AGAIN, NEVER, UNNAMED},
    state::Zygote,
};
use crate::{
    os,
    protocol::{ClaimedChunk, Report},
};

/// How late an alarm comes if this process was stopped, and probably all of the pool with it
/// (Ctrl-Z).
pub(super) const STOPPED: Duration = Duration::from_millis(500);

impl Zygote {
    /// Looks at the clocks if a process has sent an alarm or it is time; `false` when the parent is
    /// gone.
    pub(super) fn watch_clocks(&mut self) -> bool {
        let alarmed = self.segment_table.take_alarm() | std::mem::take(&mut self.clocks.ordered);
        let now = os::monotonic_nanos();
        let is_time = self.clocks.alarm != 0 && self.clocks.alarm <= now;
        if !alarmed && !is_time {
            return true;
        }
        let Some(board) = self.board() else {
            // The board cannot be mapped now; a clock may run, or a chunk may have to be ended.
            self.clocks.alarm = now + AGAIN;
            return true;
        };
        if is_time && is_late(self.clocks.alarm, now) {
            self.prolong(&board, now, |_| true);
        } else {
            // This process may have been stopped before it saw the alarm for an item.
            self.prolong(&board, now, |due| is_late(due, now));
        }
        loop {
            if !self.end_overdue(&board) {
                return false;
            }
            self.end_cancelled(&board);
            let first = self.first_due(&board);
            self.clocks.set_alarm(&board, first);
            // A worker that started a clock before the alarm was set may not have sent one.
            let again = self.first_due(&board);
            let sooner = again.is_some_and(|again| first.is_none_or(|first| again < first));
            if !sooner {
                return true;
            }
        }
    }

    /// The board, which is mapped when it is first needed.
    pub(super) fn board(&mut self) -> Option<Board> {
        if self.clocks.board.is_none() {
            self.clocks.board = self.map_board().ok();
        }
        self.clocks.board.clone()
    }

    fn map_board(&self) -> io::Result<Board> {
        let mapping = Segment::from_fd(self.fds.board.try_clone()?)
            .and_then(|segment| segment.map())
            .map_err(io::Error::other)?;
        // Workers that are forked from here have a mapping of their own.
        mapping.dont_fork().map_err(io::Error::other)?;
        Ok(Board::new(Arc::new(mapping), self.config.workers.shape))
    }

    /// The deadlines of items with a limit that workers have in hand, with the workers' indices.
    fn clocks<'z>(&'z self, board: &'z Board) -> impl Iterator<Item = (usize, u64)> + 'z {
        self.workers.iter().enumerate().filter_map(|(at, worker)| {
            Some((at, board.deadline(worker.id.index(), worker.incarnation)?))
        })
    }

    fn first_due(&self, board: &Board) -> Option<u64> {
        let due =
            |(at, deadline): (usize, u64)| self.clocks.due(self.workers[at].incarnation, deadline);
        let kills = self.clocks.kills.iter().map(|kill| kill.due).filter(|due| *due < NEVER);
        self.clocks(board).map(due).chain(kills).min()
    }

    /// Kills the workers that are still at chunks of cancelled calls whose grace is over.
    fn end_cancelled(&mut self, board: &Board) {
        if self.clocks.kills.is_empty() {
            return;
        }
        let now = os::monotonic_nanos();
        let workers = &self.workers;
        self.clocks.kills.retain_mut(|kill| {
            let ClaimedChunk { slot, generation, incarnation } = kill.chunk;
            if kill.due > now {
                return kill.is_still_claimed(board);
            }
            let Some(worker) = workers.iter().find(|worker| worker.incarnation == incarnation)
            else {
                // A worker that a template has forked may begin before the template reports it; a
                // worker that was reaped never comes back.
                kill.checks -= 1;
                kill.due = now + UNNAMED;
                return kill.checks > 0 && kill.is_still_claimed(board);
            };
            if board.seize_claim(SlotIndex::new(slot as usize), generation, incarnation) {
                // It was not reaped, so the number is its own.
                let _ = kill_process(worker.pid, Signal::SIGKILL);
            }
            false
        });
    }

    /// Tells items that are overdue and have a grace; times out and kills the workers whose items
    /// are beyond that. `false` when the parent is gone.
    fn end_overdue(&mut self, board: &Board) -> bool {
        let now = os::monotonic_nanos();
        let running: Vec<_> = self.clocks(board).collect();
        for (at, deadline) in running {
            let worker = &self.workers[at];
            let incarnation = worker.incarnation;
            if self.clocks.due(incarnation, deadline) <= now
                && !board.notify_late(worker.id.index(), deadline, now)
                && board.time_out(worker.id.index(), deadline)
            {
                // It was not reaped, so the number is its own.
                let _ = kill_process(worker.pid, Signal::SIGKILL);
                if !self.report(Report::TimedOut { incarnation }) {
                    return false;
                }
            }
        }
        true
    }

    /// Gives the items that run and are due at a time that is `chosen` their time once more, and
    /// those of cancelled calls their grace.
    fn prolong(&mut self, board: &Board, now: u64, chosen: impl Fn(u64) -> bool) {
        let longer = |(at, deadline): (usize, u64)| {
            let worker = &self.workers[at];
            let due = self.clocks.due(worker.incarnation, deadline);
            let longer = now.saturating_add(board.limit(worker.id.index()));
            (worker.incarnation, deadline, if chosen(due) { longer } else { due })
        };
        let prolonged = self.clocks(board).map(longer).filter(|(_, before, due)| before != due);
        self.clocks.prolonged = prolonged.collect();
        for kill in self.clocks.kills.iter_mut().filter(|kill| chosen(kill.due)) {
            kill.due = now.saturating_add(kill.grace).min(NEVER);
        }
    }
}

/// Whether the zygote looks so late at what was due that it must have been stopped.
fn is_late(due: u64, now: u64) -> bool {
    Duration::from_nanos(now.saturating_sub(due)) > STOPPED
}
