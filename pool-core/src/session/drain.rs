//! The end of a job whose tasks borrow from its caller: no task of it runs any more when the caller goes on.
//!
//! Invariant: this returns when the engine has forgotten the job, whose chunks have all ended by then, or when no worker is left.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pool_ipc::board::SlotState;

use super::{
    end::{ANYTHING, PATIENCE},
    hub::{Session, State},
};
use crate::{birth, engine::JobId, worker};

/// How long tasks that were told of the end may go on.
const GRACE: Duration = Duration::from_millis(100);
/// Time between two looks at a process that is about to end.
const INTERVAL: Duration = Duration::from_millis(1);

impl Session {
    /// Waits until no task of a closed job runs. Workers that are still at one after a grace are killed.
    pub(crate) fn wait_for_tasks(&self, job: JobId) {
        if !self.tasks_end(job, GRACE) {
            self.kill_workers_of(job);
            // Only a zygote that does not answer takes so long.
            if !self.tasks_end(job, PATIENCE) {
                self.end();
            }
        }
        self.wait_for_orphans();
    }

    /// Whether they did in time, or will not because there is no zygote.
    fn tasks_end(&self, job: JobId, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut over = false;
        self.drive_until_then(ANYTHING, Some(until), |hub| {
            over = hub.state == State::Broken || !hub.engine.knows(job);
            over
        });
        over
    }

    fn kill_workers_of(&self, job: JobId) {
        let hub = self.lock();
        for (slot, chunk) in hub.engine.published().filter(|(_, chunk)| chunk.job == job) {
            let owner = match self.board.slot_state(slot) {
                SlotState::Claimed(owner) => Some(owner),
                _ => chunk.in_hand,
            };
            // What is seized it cannot end, so the signal does not find it at a chunk of another job.
            if let Some(incarnation) = owner
                && self.board.seize(slot, incarnation)
            {
                // A zygote that is gone has no workers.
                let _ = self.link.kill(incarnation);
            }
        }
    }

    /// The workers of a zygote that is gone were sent a signal that nobody survives; it may not have reached all of them yet. It never
    /// comes to one whose task has changed its credentials: where there was no guard either, that one is left to us.
    fn wait_for_orphans(&self) {
        let hub = self.lock();
        if hub.state != State::Broken {
            return;
        }
        let places = hub.cursors.len();
        drop(hub);
        let begun = Instant::now();
        for place in 0..places {
            let (pid, _) = self.board.occupant(place);
            let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { continue };
            let pid = Pid::from_raw(pid);
            // Past the limit it is another process that has the number, or one that never comes back from the kernel.
            while !birth::has_ended(pid) && begun.elapsed() < PATIENCE {
                if begun.elapsed() > GRACE && birth::is_called(pid, &worker::name_at(place)) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                std::thread::sleep(INTERVAL);
            }
        }
    }
}
