//! Checks for processes that were stopped from outside (SIGSTOP). A stopped zygote reports nothing,
//! a stopped worker that was asked to leave does not, and one that has a chunk or could take one
//! does not run it: a call that needs any of them would wait for ever.
//!
//! Invariant: the parent gives up only a process that each check for [`STOPPED_LIMIT`] found
//! stopped while it had something to do; a process group that is stopped as a whole, parent and
//! all, and goes on later is not given up. A task, `worker_init` or `worker_exit` that has begun
//! may take as long as it takes: only a worker that runs no code of the user is killed.

use std::{
    mem,
    time::{Duration, Instant},
};

use nix::unistd::Pid;
use pool_ipc::board::{Audience, Incarnation, SlotState};

use super::state::{Session, SessionState};
use crate::{error::WorkerStage, ids::WorkerId, os};

/// How long a process that has something to do may be stopped.
const STOPPED_LIMIT: Duration = Duration::from_secs(2);
/// Time between two checks.
const INTERVAL: Duration = Duration::from_millis(250);
/// Checks in a row after which that time is over.
const MAX_CHECKS: u32 = (STOPPED_LIMIT.as_millis() / INTERVAL.as_millis()) as u32 + 1;

impl Session {
    /// Checks zygote and workers while the driver sleeps and no report comes.
    pub(super) fn watch_stopped(&self, state: &mut SessionState) {
        let now = Instant::now();
        let since = state.watch.last.map(|last| now - last);
        if since.is_some_and(|since| since < INTERVAL) {
            return;
        }
        state.watch.last = Some(now);
        // If the last check is long ago, no call has waited, or the parent was stopped itself. (On
        // a busy machine some checks are late.)
        let goes_on = since.is_some_and(|since| since < 4 * INTERVAL);
        let count = |before: u32| if goes_on { before + 1 } else { 1 };
        let stuck = os::is_in_state(self.link.zygote(), b'T') && self.awaits_report(state);
        state.watch.found = if stuck { count(state.watch.found) } else { 0 };
        if state.watch.found >= MAX_CHECKS {
            self.link.kill_zygote();
            return self.broken(state);
        }
        let before = mem::take(&mut state.watch.exiting);
        for incarnation in self.stopped_exiting(state) {
            let checks = before.iter().find(|(of, _)| *of == incarnation);
            let checks = count(checks.map_or(0, |(_, checks)| *checks));
            if checks == MAX_CHECKS {
                // A zygote that is gone has no workers.
                let _ = self.link.kill(incarnation);
            }
            state.watch.exiting.push((incarnation, checks));
        }
    }

    /// Whether the zygote has something to report: a worker has not been started yet, is dead and
    /// not reaped, is to be killed, or has an item that is overdue.
    fn awaits_report(&self, state: &SessionState) -> bool {
        let now = os::monotonic_nanos();
        let dead = |pid| os::is_in_state(Pid::from_raw(pid), b'Z');
        let late = |worker: WorkerId, incarnation| {
            self.board.deadline(worker.index(), incarnation).is_some_and(|due| due < now)
        };
        let waits = |(worker, incarnation, pid)| pid == 0 || late(worker, incarnation) || dead(pid);
        state.engine.workers.iter().any(waits)
            || self.is_late_to_kill(state)
            || state.watch.exiting.iter().any(|(_, checks)| *checks >= MAX_CHECKS)
    }

    /// The stopped workers that calls wait for and that run no code of the user: those that were
    /// asked to leave or are leaving, that have a chunk, or that could take an unclaimed one.
    fn stopped_exiting(&self, state: &SessionState) -> Vec<Incarnation> {
        let all = !state.phase.replaces_workers();
        let (mut ready, mut claimed) = (Vec::new(), Vec::new());
        for (slot, chunk) in state.engine.published() {
            match self.board.slot_state(slot) {
                SlotState::Ready => ready.push(chunk.audience),
                SlotState::Claimed(owner) => claimed.push((owner, slot, chunk.limit.is_some())),
                _ => {}
            }
        }
        let is_stuck = |&(worker, incarnation, pid): &(WorkerId, Incarnation, i32)| {
            let there = self.board.occupant(worker.index()).1 == incarnation;
            let stage = if there { self.stage_of(worker) } else { WorkerStage::Ready };
            let chunk = claimed.iter().find(|(owner, ..)| *owner == incarnation);
            let serial = state.engine.workers.serial_of(incarnation);
            let could_take = |audience: &Audience| {
                audience.place.is_none_or(|place| place == worker.number())
                    && audience.min_serial <= serial
            };
            let awaited = all
                || chunk.is_some()
                || serial < state.engine.workers.min_serial()
                || stage.is_at_its_end()
                || ready.iter().any(could_take);
            // Code of the user with a limit has a deadline on the board as long as it runs.
            let runs = |limited: bool| {
                !limited || self.board.deadline(worker.index(), incarnation).is_some()
            };
            let busy = match (stage, chunk) {
                (WorkerStage::Init, _) => runs(self.bounds.init.is_some()),
                (WorkerStage::Exit, _) => runs(self.bounds.exit.is_some()),
                (WorkerStage::AtWorkerStart | WorkerStage::Shared, _) => true,
                (WorkerStage::Ready, Some((_, slot, limited))) => {
                    self.board.outcome(*slot).progress.begun && runs(*limited)
                }
                // The worker is idle, or has written its exit record.
                _ => false,
            };
            let pid = self.pid_of(worker, incarnation, pid);
            awaited
                && !busy
                // Calls that need its result in hand are over once all workers are asked.
                && (all || !state.engine.has_in_hand(incarnation))
                && pid > 0
                && os::is_in_state(Pid::from_raw(pid), b'T')
        };
        state
            .engine
            .workers
            .iter()
            .filter(is_stuck)
            .map(|(_, incarnation, _)| incarnation)
            .collect()
    }
}
