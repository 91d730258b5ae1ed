//! The end of a job whose tasks borrow from its caller: no task of it runs any more when the caller
//! goes on.
//!
//! Invariant: `wait_for_tasks` returns when the engine has forgotten the job, whose chunks have all
//! ended by then, or when no worker is left; or it answers that one may be left. It runs no code of
//! the user before that.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pool_ipc::board::SlotState;

use super::{
    state::{Phase, Session},
    wait::{ANYTHING, GRACE, REAP_LIMIT},
};
use crate::{deferred_log::DeferredLog, engine::JobId, ids::WorkerId, os, worker};

/// Time between two looks at a process that is about to end.
const INTERVAL: Duration = Duration::from_millis(1);

impl Session {
    /// Waits until no task of a closed job runs. Workers that are still at one after a grace are
    /// killed. `false`: one of them may not have come to its end, since the kernel has it in a call
    /// that no signal interrupts.
    #[must_use]
    pub(crate) fn wait_for_tasks(&self, job: JobId) -> bool {
        // The deferred log is written when no task runs any more.
        let mut deferred_log = DeferredLog::default();
        if !self.wait_for_end_of_tasks(job, GRACE, &mut deferred_log) {
            self.kill_workers_of(job);
            // Only a zygote that does not answer takes so long, or a worker that the kernel does
            // not let go.
            if !self.wait_for_end_of_tasks(job, REAP_LIMIT, &mut deferred_log) {
                self.end();
            }
        }
        let over = self.wait_for_orphans();
        deferred_log.write();
        over
    }

    /// Waits for the end of the job's tasks; `false`: they have not ended in time. Without a zygote
    /// there is nothing to wait for.
    fn wait_for_end_of_tasks(
        &self,
        job: JobId,
        limit: Duration,
        deferred_log: &mut DeferredLog,
    ) -> bool {
        let until = Instant::now() + limit;
        let mut over = false;
        self.drive_until_then(ANYTHING, Some(until), |state| {
            deferred_log.append(state.deferred_log.take());
            over = state.phase == Phase::Broken || !state.engine.knows(job);
            over
        });
        over
    }

    fn kill_workers_of(&self, job: JobId) {
        let state = self.lock();
        for (slot, chunk) in state.engine.published().filter(|(_, chunk)| chunk.job == job) {
            let owner = match self.board.slot_state(slot) {
                SlotState::Claimed(owner) => Some(owner),
                _ => chunk.in_hand,
            };
            // A worker cannot end a chunk that is seized, so the signal does not find it at a chunk
            // of another job.
            if let Some(incarnation) = owner
                && self.board.seize(slot, incarnation)
            {
                // A zygote that is gone has no workers.
                let _ = self.link.kill(incarnation);
            }
        }
    }

    /// Waits for the workers of a zygote that is gone; answers whether they have all ended. The
    /// kernel has sent them SIGKILL, which may not have reached all of them yet. A worker whose
    /// task has changed its credentials gets none: where there was no guard either, this kills it.
    fn wait_for_orphans(&self) -> bool {
        let state = self.lock();
        if state.phase != Phase::Broken {
            return true;
        }
        let places = state.cursors.len();
        drop(state);
        let begun = Instant::now();
        let mut all = true;
        for place in 0..places {
            let (pid, _) = self.board.occupant(place);
            let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { continue };
            let pid = Pid::from_raw(pid);
            while !os::has_ended(pid) {
                // Another process has the number, or the worker never comes back from the kernel.
                if begun.elapsed() > REAP_LIMIT {
                    all = false;
                    break;
                }
                if begun.elapsed() > GRACE
                    && os::is_called(pid, &worker::worker_process_name(WorkerId::from_index(place)))
                {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                std::thread::sleep(INTERVAL);
            }
        }
        all
    }
}
