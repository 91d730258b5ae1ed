//! Waiting: one thread drives, the others wait for it.
//!
//! The driver collects finished slots and reads reports; when there is nothing it spins a little
//! and then sleeps on descriptors: the event counter that workers write to (the wake counter), the
//! zygote's socket, and the descriptors of cancel tokens.

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
use pool_ipc::board::{SlotState, WakeThreshold};

use super::{
    results::Message,
    state::{Session, SessionState},
};
use crate::{
    cancel::CancelToken,
    engine::{Awaited, Chunk, JobId},
    error::Error,
    os,
};

/// How long a thread sleeps at most. All events wake it but three: a worker that was stopped
/// between finishing a chunk and raising the wake counter keeps back a wake-up, a stopped process
/// wakes no thread (`watch.rs`), and a thread that completes a future may run code of the user
/// before it wakes others.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_millis(LONGEST_SLEEP_MS as u64);
const LONGEST_SLEEP_MS: u16 = 250;
/// How long the first sleep of the driver takes at most where it waits for several chunks: one long
/// task holds up the results of others no longer. From then on the first chunk wakes it.
const SLEEP_FOR_SEVERAL_MS: u16 = 50;
/// How long the driver sleeps at most while a chunk is unclaimed although a worker sleeps.
const SLEEP_WITH_UNCLAIMED_MS: u16 = 1;
/// How long the driver sleeps at most while a token that was pulled may still be told to kill.
const SLEEP_BEFORE_KILLS_MS: u16 = 10;
/// How long the driver sleeps at most once the program has closed the wake counter.
const SLEEP_WITHOUT_COUNTER_MS: u16 = 1;

impl Session {
    /// Waits until the job has messages, or as long as `awaited` says, and moves them to `taken`,
    /// which is empty.
    pub(crate) fn next(
        &self,
        job: JobId,
        awaited: Awaited,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        self.next_from(self.lock(), false, job, awaited, taken)
    }

    /// Submits a chunk and waits until the job has messages: [`Session::submit`] and
    /// [`Session::next`] in one.
    #[inline]
    pub(crate) fn exchange(
        &self,
        chunk: Chunk,
        awaited: Awaited,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let mut state = self.lock();
        let job = chunk.job;
        self.take_in(&mut state, &mut Vec::new(), Some(chunk));
        self.next_from(state, true, job, awaited, taken)
    }

    #[inline]
    fn next_from<'s>(
        &'s self,
        state: MutexGuard<'s, SessionState>,
        just_polled: bool,
        job: JobId,
        awaited: Awaited,
        taken: &mut VecDeque<Message>,
    ) -> Result<(), Error> {
        let mut found = Ok(());
        let threshold =
            WakeThreshold { finished: awaited.chunks as i64, has_items: awaited.has_items };
        self.drive_from(state, just_polled, Some(job), threshold, awaited.until, |state| {
            let Some(inbox) = state.inboxes.get_mut(job) else {
                found = Err(Error::Terminated);
                return true;
            };
            if let Some(error) = inbox.job_error() {
                found = Err(error.clone());
                return true;
            }
            if inbox.messages.len() <= awaited.most {
                std::mem::swap(&mut inbox.messages, taken);
            } else {
                taken.extend(inbox.messages.drain(..awaited.most));
            }
            !taken.is_empty()
        });
        found
    }

    /// Drives, or waits for the driver, until `done` says so.
    pub(super) fn drive_until(
        &self,
        threshold: WakeThreshold,
        done: impl FnMut(&mut SessionState) -> bool,
    ) {
        self.drive_until_then(threshold, None, done);
    }

    /// Drives, or waits for the driver, until `done` says so or it is `limit`.
    pub(super) fn drive_until_then(
        &self,
        threshold: WakeThreshold,
        limit: Option<Instant>,
        done: impl FnMut(&mut SessionState) -> bool,
    ) {
        self.drive_from(self.lock(), false, None, threshold, limit, done);
    }

    /// Drives, or waits for the driver, with the lock held already; `just_polled`: there is nothing
    /// to collect yet; `job`: that whose messages are all that `done` looks at.
    #[inline]
    fn drive_from<'s>(
        &'s self,
        mut state: MutexGuard<'s, SessionState>,
        mut just_polled: bool,
        job: Option<JobId>,
        threshold: WakeThreshold,
        limit: Option<Instant>,
        mut done: impl FnMut(&mut SessionState) -> bool,
    ) {
        let (mut driving, mut threshold) = (false, threshold);
        loop {
            if !std::mem::take(&mut just_polled) && (driving || !state.driving) {
                // Results that are there are taken without any waiting.
                self.collect(&mut state);
                self.check_tokens(&mut state);
                if state.reports_are_due() || self.has_time_outs(&state) {
                    self.handle_reports(&mut state);
                }
            }
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            if done(&mut state) || left == Some(Duration::ZERO) {
                break;
            }
            if driving || !state.driving {
                state.driving = true;
                driving = true;
                state = self.run_once(state, &mut threshold, limit);
            } else {
                state.waiting += 1;
                if state.awaits_several || state.giving_way > 0 {
                    // It sleeps past what this thread waits for, or leaves the driving to it.
                    self.wake_driver();
                }
                let left = left.map_or(LONGEST_SLEEP, |left| left.min(LONGEST_SLEEP));
                let (place, sleeper) = state.sleepers.add(job);
                let woken = sleeper.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                state.sleepers.remove(place);
                state.waiting -= 1;
            }
        }
        if driving {
            state.driving = false;
        }
        if !state.driving {
            state.sleepers.wake_successor();
        }
        if !state.has_other_drivers() {
            self.wake_standby(&mut state);
        }
        let deferred_log = state.deferred_log.take();
        drop(state);
        deferred_log.write();
    }

    /// Runs the driver once: spins for finished slots, then sleeps. After a sleep, the next
    /// one ends with the first chunk that is finished.
    #[inline]
    fn run_once<'s>(
        &'s self,
        state: MutexGuard<'s, SessionState>,
        asked: &mut WakeThreshold,
        until: Option<Instant>,
    ) -> MutexGuard<'s, SessionState> {
        let mut state = state;
        let mut cursors = std::mem::take(&mut state.cursors_seen);
        cursors.clone_from(&state.cursors);
        let threshold = state.threshold(*asked);
        let last = state.engine.last_slot();
        drop(state);
        let wanted = threshold.finished.clamp(1, i64::from(u32::MAX)) as u64;
        let finished = os::spin_for(self.spin, until, || self.finished_since(&cursors) >= wanted);
        if finished {
            self.board.expect_outcomes(&cursors, last);
        }
        let mut state = self.lock();
        state.cursors_seen = cursors;
        if finished {
            return state;
        }
        if self.handle_reports(&mut state) {
            return state; // maybe what is waited for
        }
        state.urgent = false;
        let threshold = state.threshold(*asked);
        self.board.publisher_sleeps(threshold);
        let found = self.collect(&mut state);
        let unclaimed = self.board.any_sleeper() && self.has_unclaimed(&state);
        // Workers without a chunk wait for what this job publishes next.
        let dry = threshold.has_items && found > 0 && self.board.any_sleeper();
        if dry || state.urgent || !self.board.publisher_found(found as i64) {
            self.board.publisher_wakes();
            return state;
        }
        let (tokens, may_kill) = (state.tokens(), state.may_kill());
        let until = state.first_rest_ends().into_iter().chain(until).min();
        state.awaits_several = threshold.finished > 1;
        drop(state);
        let limit = match (unclaimed, may_kill) {
            (true, _) => SLEEP_WITH_UNCLAIMED_MS,
            (_, true) => SLEEP_BEFORE_KILLS_MS,
            _ if threshold.finished > 1 => SLEEP_FOR_SEVERAL_MS,
            _ => LONGEST_SLEEP_MS,
        };
        let limit = until.map_or(limit, |until| limit.min(millis_until(until)));
        asked.finished = asked.finished.min(1);
        let reported = self.sleep(limit, &tokens);
        self.board.publisher_wakes();
        let mut state = self.lock();
        state.awaits_several = false;
        let has_news = reported && self.handle_reports(&mut state);
        if !reported {
            self.start_what_is_due(&mut state);
        }
        if !has_news {
            self.watch_stopped(&mut state);
        }
        if unclaimed && self.has_unclaimed(&state) {
            self.board.wake(usize::MAX);
        }
        state
    }

    /// Whether the zygote has timed out a worker whose report has not been read.
    #[inline]
    fn has_time_outs(&self, state: &SessionState) -> bool {
        state.limited > 0 && self.board.time_outs() != state.time_outs
    }

    /// Whether a chunk is unclaimed that any worker may run, or whose only worker sleeps.
    fn has_unclaimed(&self, state: &SessionState) -> bool {
        state.engine.published().any(|(slot, chunk)| {
            chunk.audience.place.is_none_or(|place| self.board.sleeps(place))
                && self.board.slot_state(slot) == SlotState::Ready
        })
    }

    /// Sleeps until a descriptor is ready; answers whether there may be reports.
    fn sleep(&self, limit_ms: u16, tokens: &[CancelToken]) -> bool {
        let mut control = PollFlags::POLLIN;
        control.set(PollFlags::POLLOUT, self.link.wants_to_send());
        let mut watched = vec![
            PollFd::new(self.link.control(), control),
            PollFd::new(self.wake_counter.as_fd(), PollFlags::POLLIN),
        ];
        let lost = self.wake_counter_is_lost.load(Relaxed);
        if lost {
            watched.truncate(1);
        }
        let fixed = watched.len();
        let watchable = |token: &&CancelToken| !token.is_lost();
        let tokens = || tokens.iter().filter(watchable);
        watched.extend(tokens().map(|t| PollFd::new(t.wake_counter(), PollFlags::POLLIN)));
        let limit_ms = if lost { limit_ms.min(SLEEP_WITHOUT_COUNTER_MS) } else { limit_ms };
        let mut slept = poll(&mut watched, PollTimeout::from(limit_ms));
        if slept == Err(Errno::EINVAL) {
            // These are more than the process may have open now: its limit was lowered. The driver
            // checks tokens after each sleep, too.
            watched.truncate(fixed);
            slept = poll(&mut watched, PollTimeout::from(limit_ms.min(SLEEP_BEFORE_KILLS_MS)));
        }
        if slept.is_err() {
            return true;
        }
        // Whatever ended the sleep, the driver looks at everything again.
        if !lost && watched[1].any() == Some(true) {
            // Another file of the program under this number would end each sleep: from then on it
            // is not watched.
            self.wake_counter_is_lost.store(!self.wake_counter.reset(), Relaxed);
        }
        for (token, polled) in tokens().zip(&watched[fixed.min(watched.len())..]) {
            if polled.any() == Some(true) {
                token.check_if_lost();
            }
        }
        watched[0].any() == Some(true)
    }

    /// Wakes the driver.
    pub(super) fn wake_driver(&self) {
        // Where the program has closed the wake counter, the driver sleeps for short times only.
        self.wake_counter.increment();
    }
}

impl SessionState {
    /// The threshold of the driver on behalf of all threads: the first finished chunk, if other
    /// threads wait or if chunks wait that go onto the board when another one of their worker has
    /// ended.
    fn threshold(&self, threshold: WakeThreshold) -> WakeThreshold {
        if self.waiting > 0 || self.engine.has_targeted_waiting() {
            WakeThreshold { finished: 1, ..threshold }
        } else {
            threshold
        }
    }
}

/// Whole milliseconds, rounded up.
fn millis_until(until: Instant) -> u16 {
    let left = until.saturating_duration_since(Instant::now());
    u16::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX)
}

pub(super) const ANYTHING: WakeThreshold = WakeThreshold { finished: 1, has_items: false };

/// How long the zygote may take to reap killed workers before the parent takes it for dead.
pub(super) const REAP_LIMIT: Duration = Duration::from_secs(2);

/// How long tasks that were told of the end may go on.
pub(super) const GRACE: Duration = Duration::from_millis(100);
