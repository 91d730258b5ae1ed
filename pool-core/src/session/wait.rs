//! Waiting: one thread drives, the others wait for it.
//!
//! The driver collects finished slots and reads reports; when there is nothing it spins a little and
//! then sleeps on descriptors: the bell that workers ring, the zygote's socket, and the bells of cancel tokens.

use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use pool_ipc::board::{Appetite, SlotState};

use super::{
    fatal::Fatal,
    results::Message,
    state::{Hub, Session},
};
use crate::{
    cancel::CancelToken,
    engine::{Chunk, JobId, Want},
    os,
};

/// How long a thread sleeps at most. Everything is told of; but a worker that was stopped between
/// finishing a chunk and ringing the bell has swallowed a wake-up, nothing tells of a stopped
/// process (`watch.rs`), and a thread that completes a future may be in the user's code before it
/// tells others.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_millis(LONGEST_SLEEP_MS as u64);
const LONGEST_SLEEP_MS: u16 = 250;
/// How long the driver sleeps at most at first where it waits for several chunks: one long task
/// holds up the results of others no longer. From then on the first chunk wakes it.
const SLEEP_FOR_SEVERAL_MS: u16 = 50;
/// How long the driver sleeps at most while a chunk is unclaimed although a worker sleeps.
const SLEEP_WITH_UNCLAIMED_MS: u16 = 1;
/// How long it sleeps at most while a token that was pulled may still be told to kill.
const SLEEP_BEFORE_KILLS_MS: u16 = 10;
/// How long the driver sleeps at most once the program has closed the bell.
const SLEEP_WITHOUT_BELL_MS: u16 = 1;
/// Turns after which reports are read although results keep coming.
const TURNS_WITHOUT_REPORTS: u32 = 64;

impl Session {
    /// Waits until the job has messages, and moves them to `taken`, which is empty.
    pub(crate) fn next(
        &self,
        job: JobId,
        want: Want,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Fatal> {
        if self.is_foreign() {
            return Err(Fatal::Foreign);
        }
        self.next_from(self.lock(), false, job, want, taken)
    }

    /// Takes a chunk in and waits for what comes of it: [`Session::submit`] and [`Session::next`] in one.
    pub(crate) fn exchange(
        &self,
        chunk: Chunk,
        want: Want,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Fatal> {
        if self.is_foreign() {
            return Err(Fatal::Foreign);
        }
        let mut hub = self.lock();
        let job = chunk.job;
        self.take_in(&mut hub, &mut Vec::new(), Some(chunk));
        self.next_from(hub, true, job, want, taken)
    }

    fn next_from<'s>(
        &'s self,
        hub: MutexGuard<'s, Hub>,
        just_looked: bool,
        job: JobId,
        want: Want,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Fatal> {
        let mut found = Ok(());
        let appetite = Appetite { finished: want.chunks as i64, hungry: want.hungry };
        self.drive_from(hub, just_looked, appetite, None, |hub| {
            let Some(inbox) = hub.inboxes.get_mut(job) else {
                found = Err(Fatal::Terminated);
                return true;
            };
            if let Some(fatal) = &inbox.fatal {
                found = Err(fatal.clone());
                return true;
            }
            if inbox.messages.len() <= want.most {
                std::mem::swap(&mut inbox.messages, taken);
            } else {
                taken.extend(inbox.messages.drain(..want.most));
            }
            !taken.is_empty()
        });
        found
    }

    /// Drives, or waits for the driver, until `done` says so.
    pub(super) fn drive_until(&self, appetite: Appetite, done: impl FnMut(&mut Hub) -> bool) {
        self.drive_until_then(appetite, None, done);
    }

    /// The same, at most until `limit`.
    pub(super) fn drive_until_then(
        &self,
        appetite: Appetite,
        limit: Option<Instant>,
        done: impl FnMut(&mut Hub) -> bool,
    ) {
        self.drive_from(self.lock(), false, appetite, limit, done);
    }

    /// The same, with the lock held already; `just_looked`: there is nothing to collect yet.
    fn drive_from<'s>(
        &'s self,
        mut hub: MutexGuard<'s, Hub>,
        mut just_looked: bool,
        appetite: Appetite,
        limit: Option<Instant>,
        mut done: impl FnMut(&mut Hub) -> bool,
    ) {
        let (mut driving, mut appetite) = (false, appetite);
        loop {
            if !std::mem::take(&mut just_looked) && (driving || !hub.driving) {
                // Fresh results first: what is there is taken without any waiting.
                self.collect(&mut hub);
                self.heed_tokens(&mut hub);
                hub.turns += 1;
                if hub.turns > TURNS_WITHOUT_REPORTS || self.has_overruns(&hub) {
                    self.read_reports(&mut hub);
                }
            }
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if done(&mut hub) || left == Some(Duration::ZERO) {
                break;
            }
            if driving || !hub.driving {
                hub.driving = true;
                driving = true;
                hub = self.turn(hub, &mut appetite, limit);
            } else {
                hub.waiting += 1;
                // The driver may be asleep with an appetite that knows nothing of this thread.
                self.ring();
                let left = left.map_or(LONGEST_SLEEP, |left| left.min(LONGEST_SLEEP));
                let woken = self.changed.wait_timeout(hub, left);
                hub = woken.unwrap_or_else(PoisonError::into_inner).0;
                hub.waiting -= 1;
            }
        }
        if driving {
            hub.driving = false;
            if hub.waiting > 0 {
                self.changed.notify_all();
            }
        }
        if !hub.has_other_drivers() {
            self.wake_standby(&mut hub);
        }
        let journal = hub.journal.take();
        drop(hub);
        journal.tell();
    }

    /// One turn of the driver: spins for news, then sleeps for it. After a sleep the next one ends
    /// with the first chunk that is finished.
    fn turn<'s>(
        &'s self,
        hub: MutexGuard<'s, Hub>,
        asked: &mut Appetite,
        until: Option<Instant>,
    ) -> MutexGuard<'s, Hub> {
        let mut hub = hub;
        let mut cursors = std::mem::take(&mut hub.cursors_seen);
        cursors.clone_from(&hub.cursors);
        let appetite = hub.appetite(*asked);
        let last = hub.engine.last_slot();
        drop(hub);
        let wanted = appetite.finished.clamp(1, i64::from(u32::MAX)) as u64;
        let finished = os::spin_for(self.spin, || self.finished_since(&cursors) >= wanted);
        if finished {
            self.board.expect_outcomes(&cursors, last);
        }
        let mut hub = self.lock();
        hub.cursors_seen = cursors;
        if finished {
            return hub;
        }
        if self.read_reports(&mut hub) {
            return hub; // maybe what is waited for
        }
        hub.urgent = false;
        let appetite = hub.appetite(*asked);
        self.board.publisher_sleeps(appetite);
        let found = self.collect(&mut hub);
        let unclaimed = self.board.any_sleeper() && self.has_unclaimed(&hub);
        // Workers that have run dry wait for what this job publishes next.
        let dry = appetite.hungry && found > 0 && self.board.any_sleeper();
        if dry || hub.urgent || !self.board.publisher_found(found as i64) {
            self.board.publisher_wakes();
            return hub;
        }
        let (tokens, may_kill) = (hub.tokens(), hub.may_kill());
        let until = hub.first_rest_ends().into_iter().chain(until).min();
        drop(hub);
        let limit = match (unclaimed, may_kill) {
            (true, _) => SLEEP_WITH_UNCLAIMED_MS,
            (_, true) => SLEEP_BEFORE_KILLS_MS,
            _ if appetite.finished > 1 => SLEEP_FOR_SEVERAL_MS,
            _ => LONGEST_SLEEP_MS,
        };
        let limit = until.map_or(limit, |until| limit.min(millis_until(until)));
        asked.finished = asked.finished.min(1);
        let reported = self.sleep(limit, &tokens);
        self.board.publisher_wakes();
        let mut hub = self.lock();
        let heard = reported && self.read_reports(&mut hub);
        if !reported {
            self.start_what_is_due(&mut hub);
        }
        if !heard {
            self.watch_stopped(&mut hub);
        }
        if unclaimed && self.has_unclaimed(&hub) {
            self.board.wake(usize::MAX);
        }
        hub
    }

    /// Whether the zygote has condemned somebody and this side does not know whom.
    #[inline]
    fn has_overruns(&self, hub: &Hub) -> bool {
        hub.limited > 0 && self.board.overruns() != hub.overruns
    }

    /// Whether a chunk is unclaimed that anybody may run, or whose only worker sleeps.
    fn has_unclaimed(&self, hub: &Hub) -> bool {
        hub.engine.published().any(|(slot, chunk)| {
            chunk.audience.place.is_none_or(|place| self.board.sleeps(place))
                && self.board.slot_state(slot) == SlotState::Ready
        })
    }

    /// Sleeps until there is news; whether there may be reports.
    fn sleep(&self, limit_ms: u16, tokens: &[CancelToken]) -> bool {
        let mut control = PollFlags::POLLIN;
        control.set(PollFlags::POLLOUT, self.link.wants_to_send());
        let mut watched = vec![
            PollFd::new(self.link.control(), control),
            PollFd::new(self.bell.as_fd(), PollFlags::POLLIN),
        ];
        let lost = self.bell_is_lost.load(Relaxed);
        if lost {
            watched.truncate(1);
        }
        let fixed = watched.len();
        let heard = |token: &&CancelToken| !token.is_lost();
        let tokens = || tokens.iter().filter(heard);
        watched.extend(tokens().map(|t| PollFd::new(t.bell(), PollFlags::POLLIN)));
        let limit_ms = if lost { limit_ms.min(SLEEP_WITHOUT_BELL_MS) } else { limit_ms };
        let mut slept = poll(&mut watched, PollTimeout::from(limit_ms));
        if slept == Err(Errno::EINVAL) {
            // More than the process may have open now: its limit was lowered. Tokens are looked at
            // after each sleep, too.
            watched.truncate(fixed);
            slept = poll(&mut watched, PollTimeout::from(limit_ms.min(SLEEP_BEFORE_KILLS_MS)));
        }
        if slept.is_err() {
            return true;
        }
        // Whatever ended the sleep, the driver looks at everything again.
        if !lost && watched[1].any() == Some(true) {
            // What the program has put there ends no sleep, or it would end each of them.
            self.bell_is_lost.store(!self.bell.silence(), Relaxed);
        }
        for (token, heard) in tokens().zip(&watched[fixed.min(watched.len())..]) {
            if heard.any() == Some(true) {
                token.look_if_lost();
            }
        }
        watched[0].any() == Some(true)
    }

    /// Wakes the driver.
    pub(super) fn ring(&self) {
        // Where the program has closed it, the driver looks after a while by itself.
        self.bell.ring();
    }
}

impl Hub {
    /// What to wait for on behalf of all: who waits beside the driver, and chunks that go onto the board when another one of their
    /// worker has ended, want the first that comes.
    fn appetite(&self, appetite: Appetite) -> Appetite {
        if self.waiting > 0 || self.engine.has_addressed_waiting() {
            Appetite { finished: 1, ..appetite }
        } else {
            appetite
        }
    }
}

/// Whole milliseconds, rounded up.
fn millis_until(until: Instant) -> u16 {
    let left = until.saturating_duration_since(Instant::now());
    u16::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX)
}

pub(super) const ANYTHING: Appetite = Appetite { finished: 1, hungry: false };

/// How long the zygote may take to reap killed workers before it is taken for dead itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long tasks that were told of the end may go on.
pub(super) const GRACE: Duration = Duration::from_millis(100);
