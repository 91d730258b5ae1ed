//! Ending workers whose item takes longer than it may, whoever is or is not in a call.
//!
//! Invariant: no clock runs out unseen: this process sleeps no longer than until the first one that is due, and whoever starts one
//! that is due before that rings (see `pool_ipc`'s `board/clock.rs`). Who is killed has been condemned for the item that is
//! overdue, and cannot have begun another one.

use std::{io, sync::Arc, time::Duration};

use nix::sys::signal::{Signal, kill};
use pool_ipc::board::Board;
use pool_shm::Segment;

use super::{protocol::Report, reign::Zygote};
use crate::sys;

/// An alarm that comes so late that this process was stopped, and probably all of the pool with it (Ctrl-Z).
pub(super) const STOPPED: Duration = Duration::from_millis(500);

/// When the board is tried again that could not be mapped.
const AGAIN: u64 = 50_000_000;

/// The clocks of the workers, from the first alarm on.
#[derive(Default)]
pub(super) struct Clocks {
    board: Option<Board>,
    /// When the next look is due; 0: not before somebody rings.
    alarm: u64,
    /// Items that have more time, since nothing ran for a while: incarnation, the old deadline, the new one.
    prolonged: Vec<(u32, u64, u64)>,
}

impl Clocks {
    /// How long to sleep, if nothing else says more than `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        if self.alarm == 0 {
            return idle;
        }
        let left = Duration::from_nanos(self.alarm.saturating_sub(sys::monotonic_nanos()));
        Some(idle.map_or(left, |idle| idle.min(left)))
    }

    /// When an item is really overdue.
    fn due(&self, incarnation: u32, deadline: u64) -> u64 {
        let longer = self.prolonged.iter().find(|(i, d, _)| (*i, *d) == (incarnation, deadline));
        longer.map_or(deadline, |(_, _, due)| *due)
    }

    /// Says when it will look again.
    fn set_alarm(&mut self, board: &Board, first: Option<u64>) {
        self.alarm = first.unwrap_or(0);
        board.set_alarm(self.alarm);
    }
}

impl Zygote {
    /// Looks at the clocks if anybody has rung or it is time; `false` when the parent is gone.
    pub(super) fn watch_clocks(&mut self) -> bool {
        let rung = self.exchange.take_alarm();
        let now = sys::monotonic_nanos();
        let is_time = self.clocks.alarm != 0 && self.clocks.alarm <= now;
        if !rung && !is_time {
            return true;
        }
        let Some(board) = self.board() else {
            // No memory for it now; a clock may run.
            self.clocks.alarm = now + AGAIN;
            return true;
        };
        if is_time && Duration::from_nanos(now - self.clocks.alarm) > STOPPED {
            self.prolong(&board, now);
        }
        loop {
            if !self.end_overdue(&board) {
                return false;
            }
            let first = self.first_due(&board);
            self.clocks.set_alarm(&board, first);
            // A clock that was started before that may not have rung.
            let again = self.first_due(&board);
            let sooner = again.is_some_and(|again| first.is_none_or(|first| again < first));
            if !sooner {
                return true;
            }
        }
    }

    /// The board, mapped when it is needed first.
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
        // Workers are forked from here, and have their own.
        mapping.dont_fork().map_err(io::Error::other)?;
        Ok(Board::new(Arc::new(mapping), self.papers.shape))
    }

    /// What workers have in hand that has a limit: which worker, and until when.
    fn clocks<'z>(&'z self, board: &'z Board) -> impl Iterator<Item = (usize, u64)> + 'z {
        self.workers.iter().enumerate().filter_map(|(at, worker)| {
            Some((at, board.deadline(worker.place as usize, worker.incarnation)?))
        })
    }

    fn first_due(&self, board: &Board) -> Option<u64> {
        let due =
            |(at, deadline): (usize, u64)| self.clocks.due(self.workers[at].incarnation, deadline);
        self.clocks(board).map(due).min()
    }

    /// Condemns and kills whoever is overdue; `false` when the parent is gone.
    fn end_overdue(&mut self, board: &Board) -> bool {
        let now = sys::monotonic_nanos();
        let running: Vec<_> = self.clocks(board).collect();
        for (at, deadline) in running {
            let worker = &self.workers[at];
            let incarnation = worker.incarnation;
            if self.clocks.due(incarnation, deadline) <= now
                && board.condemn(worker.place as usize, deadline)
            {
                // It was not reaped, so the number is its own.
                let _ = kill(worker.pid, Signal::SIGKILL);
                if !self.report(Report::Overran { incarnation }) {
                    return false;
                }
            }
        }
        true
    }

    /// All items that run have their time once more.
    fn prolong(&mut self, board: &Board, now: u64) {
        let longer = |(at, deadline): (usize, u64)| {
            let worker = &self.workers[at];
            let due = now.saturating_add(board.limit(worker.place as usize));
            (worker.incarnation, deadline, due)
        };
        self.clocks.prolonged = self.clocks(board).map(longer).collect();
    }
}
