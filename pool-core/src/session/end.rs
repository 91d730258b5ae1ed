//! The end: workers leave or are killed, the zygote ends, nothing stays.
//!
//! Invariant: when these return, no process of the session that they speak of is left, not even as a
//! zombie of this process.

use std::{mem::ManuallyDrop, os::fd::AsFd};

use pool_ipc::board::Appetite;

use super::{
    descriptors::unlist,
    hub::{Fatal, Hub, Session, State},
};

const ANYTHING: Appetite = Appetite { finished: 1, hungry: false };

impl Session {
    /// Lets blocking calls of other threads finish, ends lazy ones, lets workers end what they run,
    /// and waits until all of them have ended.
    pub(crate) fn stop(&self) {
        let mut hub = self.lock();
        self.fail_all(&mut hub, &Fatal::Terminated, |inbox| inbox.lazy);
        self.cancel_failed(&mut hub);
        drop(hub);
        let busy = |hub: &Hub| hub.inboxes.iter().any(|(_, inbox)| inbox.fatal.is_none());
        self.drive_until(ANYTHING, |hub| hub.state == State::Broken || !busy(hub));
        let mut hub = self.lock();
        if hub.state == State::Open {
            hub.state = State::Ending;
        }
        self.ask_all_to_leave(&mut hub);
        drop(hub);
        self.wait_for_workers();
    }

    /// Kills all workers, ends all calls, and waits until the workers have been reaped.
    pub(crate) fn terminate(&self) {
        let mut hub = self.lock();
        if hub.state == State::Open {
            hub.state = State::Ending;
        }
        self.fail_all(&mut hub, &Fatal::Terminated, |_| true);
        self.cancel_failed(&mut hub);
        for (_, incarnation, _) in hub.engine.workers() {
            // A zygote that is gone has no workers; reading its reports tells.
            let _ = self.link.kill(incarnation);
        }
        drop(hub);
        // A call that drives has to see that it is over.
        self.ring();
        self.wait_for_workers();
    }

    fn wait_for_workers(&self) {
        self.drive_until(ANYTHING, |hub| {
            hub.state != State::Ending || hub.engine.workers().next().is_none()
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_foreign() {
            return;
        }
        let broken = self.lock().state == State::Broken;
        if !broken {
            self.link.end();
        }
        unlist(self.bell.as_fd());
        self.link.descriptors().for_each(unlist);
        // SAFETY: neither is used after this. (In a forked child their numbers were closed at its
        // birth, or are the parent's business: there they are left alone.)
        unsafe {
            ManuallyDrop::drop(&mut self.bell);
            ManuallyDrop::drop(&mut self.link);
        }
    }
}
