//! The end: workers leave or are killed, the zygote ends, nothing stays.
//!
//! Invariant: when these return, no process of the session that they speak of is left, not even as a
//! zombie of this process.

use std::{mem::ManuallyDrop, os::fd::AsFd, sync::PoisonError, time::Instant};

use super::{
    fatal::Fatal,
    state::{Hub, Session, State},
    wait::{ANYTHING, GRACE, PATIENCE},
};
use crate::os::unlist;

impl Session {
    /// Lets blocking calls of other threads finish, ends lazy ones, lets workers end what they run,
    /// and waits until all of them have ended. New calls wait until then.
    pub(crate) fn stop(&self) {
        self.stop_unless(|_| false);
    }

    /// The same; `false`: a desk is open, and has to be drained first. No other is opened then but by calls that are under way.
    pub(crate) fn stop_unless_manned(&self) -> bool {
        self.stop_unless(|hub| {
            let mut inboxes = hub.inboxes.iter();
            inboxes.any(|(job, inbox)| inbox.desk == Some(job) && inbox.fatal.is_none())
        })
    }

    fn stop_unless(&self, held_up: impl Fn(&Hub) -> bool) -> bool {
        let mut hub = self.lock();
        if hub.state == State::Open {
            hub.state = State::Closing;
        }
        self.fail_all(&mut hub, &Fatal::Terminated, |inbox| inbox.lazy);
        self.cancel_failed(&mut hub);
        drop(hub);
        let busy = |hub: &Hub| hub.inboxes.iter().any(|(_, inbox)| inbox.fatal.is_none());
        let mut gives_way = false;
        self.drive_until(ANYTHING, |hub| {
            let closing = hub.state == State::Closing;
            gives_way = closing && held_up(hub);
            gives_way || !closing || !busy(hub)
        });
        if gives_way {
            return false;
        }
        let mut hub = self.lock();
        if hub.state == State::Closing {
            hub.state = State::Ending;
            self.ask_all_to_leave(&mut hub);
        }
        drop(hub);
        self.wait_for_workers(None);
        true
    }

    /// Kills all workers, ends all calls, and waits until the workers have been reaped.
    pub(crate) fn terminate(&self) {
        let mut hub = self.lock();
        if hub.state.staffs() {
            hub.state = State::Ending;
        }
        self.fail_all(&mut hub, &Fatal::Terminated, |_| true);
        self.cancel_failed(&mut hub);
        // How far the zygote is, and whether it could begin at all.
        self.read_reports(&mut hub);
        if hub.state != State::Broken && self.link.is_on_its_way() {
            // Initialisers may take their time, and there is nothing that could be lost.
            self.link.kill_on_its_way();
            self.end_before_begin(&mut hub, Fatal::Terminated);
        }
        for (_, incarnation, _) in hub.engine.workers.iter() {
            // A zygote that is gone has no workers; reading its reports tells.
            let _ = self.link.kill(incarnation);
        }
        drop(hub);
        // A call that drives has to see that it is over.
        self.ring();
        if !self.wait_for_workers(Some(Instant::now() + PATIENCE)) {
            self.end();
        }
    }

    /// Ends the zygote, by force if it does not answer, and its workers with it: for good.
    pub(crate) fn end(&self) {
        let mut hub = self.lock();
        if hub.state != State::Broken {
            self.link.ask_to_end();
            self.broken(&mut hub);
        }
    }

    /// The last call of a session that another one has replaced has ended: the workers leave as
    /// those of a pool that is stopped, so that their ends break no barrier and exits are not lost.
    /// Who runs an item that no call waits for any more has a short grace.
    fn leave_in_order(&self) {
        let mut hub = self.lock();
        self.read_reports(&mut hub);
        if !hub.state.staffs() || self.link.is_on_its_way() {
            return;
        }
        hub.state = State::Ending;
        self.ask_all_to_leave(&mut hub);
        drop(hub);
        let begun = Instant::now();
        // Locks of the pool may be held, and a logger is the user's code.
        let over = |hub: &mut Hub| {
            let _ = hub.journal.take();
            hub.state != State::Ending || hub.engine.workers.iter().next().is_none()
        };
        self.drive_until_then(ANYTHING, Some(begun + GRACE), over);
        self.drive_until_then(ANYTHING, Some(begun + PATIENCE), |hub| {
            let busy = self.at_a_chunk(hub);
            over(hub)
                || hub.engine.workers.iter().all(|(_, incarnation, _)| busy.contains(&incarnation))
        });
    }

    /// Whether they ended in time.
    fn wait_for_workers(&self, until: Option<Instant>) -> bool {
        let mut over = false;
        self.drive_until_then(ANYTHING, until, |hub| {
            over = hub.state != State::Ending || hub.engine.workers.iter().next().is_none();
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
        let hub = self.hub.get_mut().unwrap_or_else(PoisonError::into_inner);
        if hub.state != State::Broken {
            self.link.ask_to_end();
        }
        // Nobody reads results any more. Unmapping takes a while, in which the zygote kills and reaps.
        hub.arenas.clear();
        self.end();
        self.broker.close();
        unlist(self.bell.as_fd());
        self.link.descriptors().for_each(unlist);
        // SAFETY: neither is used after this. (In a forked child their numbers were closed at its
        // birth, or are the parent's business: there they are left alone.)
        unsafe {
            ManuallyDrop::drop(&mut self.broker);
            ManuallyDrop::drop(&mut self.bell);
            ManuallyDrop::drop(&mut self.link);
        }
    }
}
