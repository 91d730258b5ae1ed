//! What a worker's death means for its items: their errors, with the cause of the death.
//!
//! Invariant: the slots of a dead worker are touched only after it was reaped.

use pool_ipc::board::{Incarnation, Progress, SlotIndex, SlotState};

use super::{
    outputs::LastItem,
    state::{Session, SessionState},
};
use crate::{
    engine::Why,
    error::{Cause, ExitStatus, WorkerStage},
};

impl Session {
    /// Handles the report that a worker was reaped: collects its results, tells the engine how its
    /// chunks ended, and fills its place again.
    pub(super) fn reaped(
        &self,
        state: &mut SessionState,
        incarnation: Incarnation,
        raw: i32,
        segments: bool,
        peak: u64,
    ) {
        let status = ExitStatus::from_wait(raw);
        let cause = self.cause_of_death(state, incarnation, status, peak);
        self.collect(state);
        self.log_capture.worker_ended();
        self.time_end(state, incarnation, raw);
        // Asked before its chunks are freed and its place is filled again.
        let killed = self.take_kill(state, incarnation);
        let killed_in_init = status.signal().is_some() && self.was_in_init(state, incarnation);
        let published: Vec<_> = state
            .engine
            .published()
            .map(|(slot, chunk)| (slot, chunk.job, chunk.in_hand, chunk.has_tries()))
            .collect();
        // Jobs of which it had a chunk, and whether its death only counts as a lost try of the item
        // that `worker_init` was called for.
        let (mut served, mut a_try) = (Vec::new(), false);
        for (slot, job, in_hand, has_tries) in published {
            match self.board.slot_state(slot) {
                SlotState::Done(owner) if owner == incarnation => {
                    self.finished(state, slot, incarnation);
                }
                SlotState::Claimed(owner) if owner == incarnation => {
                    served.push(job);
                    let outcome = self.board.outcome(slot);
                    let Progress { begun, .. } = outcome.progress;
                    a_try = killed_in_init && has_tries;
                    let begun = begun || a_try;
                    let finished = outcome.progress.finished;
                    self.ask_for_output(state, slot, incarnation, finished, &LastItem::WithWorker);
                    let why = Why::Died { begun, cause: cause.clone() };
                    self.handle_end(state, slot, incarnation, outcome, why);
                }
                SlotState::Ready if in_hand == Some(incarnation) && self.board.take_back(slot) => {
                    self.lose_in_hand(state, Some(slot), incarnation, &cause);
                }
                SlotState::Ready => {}
                SlotState::Claimed(owner) | SlotState::Done(owner)
                    if state.engine.workers.worker_of(owner).is_some() => {}
                // Scribbled over, maybe by the dead worker: no other one ends the chunk.
                _ => {
                    let outcome = self.board.outcome(slot);
                    let why = Why::Died { begun: true, cause: cause.clone() };
                    self.handle_end(state, slot, incarnation, outcome, why);
                }
            }
        }
        self.lose_in_hand(state, None, incarnation, &cause);
        // Results that were delivered hold the arena themselves.
        self.act(state);
        if let Some(capture) = &*self.output {
            capture.ended(incarnation);
        }
        let served = (!a_try).then_some(&served);
        self.after_exit(state, incarnation, (raw, killed), segments, served);
        // A wake-up that the dead worker had received is lost: all workers look again.
        self.board.wake(usize::MAX);
    }

    /// Whether a dead worker was at its `worker_init` and had not been timed out.
    fn was_in_init(&self, state: &SessionState, incarnation: Incarnation) -> bool {
        let worker = state.engine.workers.worker_of(incarnation);
        let worker = worker.filter(|worker| self.board.occupant(worker.index()).1 == incarnation);
        worker.is_some_and(|worker| self.stage_of(worker) == WorkerStage::Init)
            && !state.timed_out.contains(&incarnation)
    }

    /// The cause for which items fail that a dead worker had in hand.
    fn cause_of_death(
        &self,
        state: &SessionState,
        incarnation: Incarnation,
        status: ExitStatus,
        peak: u64,
    ) -> Cause {
        let worker = state.engine.workers.worker_of(incarnation);
        match (self.bounds.memory, worker) {
            (Some(limit), Some(worker)) if status.signal() == Some(libc::SIGABRT) => {
                let refused = self.board.was_refused(worker.index());
                Cause::MemoryLimit { limit, peak, refused }
            }
            _ if self.has_overflowed(state, incarnation, status) => Cause::StackOverflow,
            _ => Cause::Death(status),
        }
    }

    /// Whether a worker that ended in this way had used up its stack.
    pub(super) fn has_overflowed(
        &self,
        state: &SessionState,
        incarnation: Incarnation,
        status: ExitStatus,
    ) -> bool {
        let worker = state.engine.workers.worker_of(incarnation);
        let worker = worker.filter(|worker| self.board.occupant(worker.index()).1 == incarnation);
        status.signal() == Some(libc::SIGSEGV)
            && worker.is_some_and(|worker| self.board.has_overflowed(worker.index()))
    }

    fn lose_in_hand(
        &self,
        state: &mut SessionState,
        slot: Option<SlotIndex>,
        incarnation: Incarnation,
        cause: &Cause,
    ) {
        state.engine.in_hand_lost(slot, incarnation, cause, &mut state.actions);
    }
}
