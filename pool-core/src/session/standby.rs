//! A thread that drives only while no other one does or wants to, and sleeps otherwise.
//!
//! Invariant: such a thread misses nothing. It looks and sets `standing_by` under the session's
//! lock, and after each event that it waits for the thread that caused it reads `standing_by` under
//! that lock: the last other thread leaves, something arrives for a queue, a queue's threads are
//! told to look again.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    futures::{ONE, has_news},
    state::{Session, SessionState},
    wait::LONGEST_SLEEP,
};
use crate::engine::JobId;

impl Session {
    /// Drives until something has arrived for the queue whose own job is `job`, `done` says so, it
    /// is `until`, or another thread wants to drive; `false`: another thread does already.
    pub(crate) fn drive_if_vacant(
        &self,
        job: JobId,
        until: Option<Instant>,
        done: &dyn Fn() -> bool,
    ) -> bool {
        let mut state = self.lock();
        if state.has_other_drivers() {
            return false;
        }
        state.giving_way += 1;
        drop(state);
        let done = |state: &mut SessionState| done() || state.waiting > 0 || has_news(state, job);
        self.drive_until_then(ONE, until, done);
        self.lock().giving_way -= 1;
        true
    }

    /// Sleeps while other threads drive or want to, until something has arrived for the queue whose
    /// own job is `job`, `done` says so, or it is `until`.
    pub(crate) fn stand_by(&self, job: JobId, until: Option<Instant>, done: &dyn Fn() -> bool) {
        let mut state = self.lock();
        while state.has_other_drivers() && !has_news(&state, job) && !done() {
            let left = until.map_or(LONGEST_SLEEP, |until| {
                LONGEST_SLEEP.min(until.saturating_duration_since(Instant::now()))
            });
            if left == Duration::ZERO {
                return;
            }
            state.standing_by = true;
            let woken = self.vacant.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes the threads that stand by. A thread that goes on standing by sets the flag again.
    #[inline]
    pub(super) fn wake_standby(&self, state: &mut SessionState) {
        if std::mem::take(&mut state.standing_by) {
            self.vacant.notify_all();
        }
    }
}

impl SessionState {
    /// Whether any thread drives or wants to, those that stand by aside.
    pub(super) fn has_other_drivers(&self) -> bool {
        self.driving || self.waiting > 0
    }
}
