//! The end of a session: workers leave or are killed, and the zygote ends.
//!
//! Invariant: when a function here returns, no process that it ends is left, not even as a zombie
//! of this process.

use std::{mem::ManuallyDrop, os::fd::AsFd, sync::PoisonError, time::Instant};

use super::{
    state::{Phase, Session, SessionState},
    wait::{ANYTHING, GRACE, REAP_LIMIT},
};
use crate::{error::Error, os::unlist};

impl Session {
    /// Lets blocking calls of other threads finish, ends lazy ones, lets workers finish what they
    /// run, and waits until all workers have ended. New calls wait until then.
    pub(crate) fn stop(&self) {
        self.stop_unless(|_| false);
    }

    /// Stops the session (see [`Session::stop`]) unless a queue is open: `false`, and the queue has
    /// to be drained first. Until then only calls under way open another queue.
    pub(crate) fn stop_unless_queue_open(&self) -> bool {
        self.stop_unless(|state| {
            let mut inboxes = state.inboxes.iter();
            inboxes.any(|(job, inbox)| inbox.queue() == Some(job) && inbox.job_error().is_none())
        })
    }

    fn stop_unless(&self, held_up: impl Fn(&SessionState) -> bool) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        self.fail_all(&mut state, &Error::Terminated, |inbox| inbox.is_lazy());
        self.cancel_failed(&mut state);
        drop(state);
        let busy = |state: &SessionState| {
            state.inboxes.iter().any(|(_, inbox)| inbox.job_error().is_none())
        };
        let mut gives_way = false;
        self.drive_until(ANYTHING, |state| {
            let closing = state.phase == Phase::Closing;
            gives_way = closing && held_up(state);
            gives_way || !closing || !busy(state)
        });
        if gives_way {
            return false;
        }
        let mut state = self.lock();
        if state.phase == Phase::Closing {
            state.phase = Phase::Ending;
            self.ask_all_to_leave(&mut state);
        }
        drop(state);
        self.wait_for_workers(None);
        self.flush_output();
        true
    }

    /// Kills all workers, ends all calls, and waits until the workers have been reaped.
    pub(crate) fn terminate(&self) {
        let mut state = self.lock();
        if state.phase.replaces_workers() {
            state.phase = Phase::Ending;
        }
        self.fail_all(&mut state, &Error::Terminated, |_| true);
        self.cancel_failed(&mut state);
        // The reports tell how far the zygote is, and whether it could begin at all.
        self.handle_reports(&mut state);
        if state.phase != Phase::Broken && self.link.is_on_its_way() {
            // Its initialisers may take long, and there is no worker yet that could lose anything.
            self.link.kill_on_its_way();
            self.end_before_begin(&mut state, Error::Terminated);
        }
        for (_, incarnation, _) in state.engine.workers.iter() {
            // A zygote that is gone has no workers; the end of its reports tells.
            let _ = self.link.kill(incarnation);
        }
        drop(state);
        // The driver has to see that its call is over.
        self.wake_driver();
        if !self.wait_for_workers(Some(Instant::now() + REAP_LIMIT)) {
            self.end();
        }
        self.flush_output();
    }

    /// Ends the session for good: the zygote, by force if it does not answer, and its workers.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Broken {
            self.link.ask_to_end();
            self.broken(&mut state);
        }
    }

    /// Lets the workers of a session that another one has replaced leave after its last call, like
    /// those of a pool that is stopped: their ends break no barrier, and no exit is lost. A worker
    /// that runs an item which no call waits for any more has a short grace.
    fn leave_in_order(&self) {
        let mut state = self.lock();
        self.handle_reports(&mut state);
        if !state.phase.replaces_workers() || self.link.is_on_its_way() {
            return;
        }
        state.phase = Phase::Ending;
        self.ask_all_to_leave(&mut state);
        drop(state);
        let begun = Instant::now();
        // Nothing is logged: locks of the pool may be held, and a logger is the user's code.
        let over = |state: &mut SessionState| {
            let _ = state.deferred_log.take();
            state.phase != Phase::Ending || state.engine.workers.iter().next().is_none()
        };
        self.drive_until_then(ANYTHING, Some(begun + GRACE), over);
        self.drive_until_then(ANYTHING, Some(begun + REAP_LIMIT), |state| {
            let busy = self.at_a_chunk(state);
            over(state)
                || state
                    .engine
                    .workers
                    .iter()
                    .all(|(_, incarnation, _)| busy.contains(&incarnation))
        });
    }

    /// Waits until all workers have ended, or it is `until`; answers whether they have.
    fn wait_for_workers(&self, until: Option<Instant>) -> bool {
        let mut over = false;
        self.drive_until_then(ANYTHING, until, |state| {
            over = state.phase != Phase::Ending || state.engine.workers.iter().next().is_none();
            over
        });
        over
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_foreign() {
            return;
        }
        if *self.retired.get_mut() {
            self.leave_in_order();
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.phase != Phase::Broken {
            self.link.ask_to_end();
        }
        // No job reads results any more. Unmapping takes a while, in which the zygote kills and
        // reaps.
        state.arenas.clear();
        self.end();
        if let Some(capture) = &*self.output {
            capture.finish();
        }
        self.broker.close();
        unlist(self.wake_counter.as_fd());
        self.link.descriptors().for_each(unlist);
        // SAFETY: none of them is used after this. (A forked child has returned above: there their
        // numbers were closed at its start, or belong to the parent.)
        unsafe {
            ManuallyDrop::drop(&mut self.output);
            ManuallyDrop::drop(&mut self.broker);
            ManuallyDrop::drop(&mut self.wake_counter);
            ManuallyDrop::drop(&mut self.link);
        }
    }
}
