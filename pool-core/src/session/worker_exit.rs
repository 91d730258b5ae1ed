//! What follows in the parent from a worker's end, not the user's hook `worker_exit`: how far the
//! worker had come, the exit record that it leaves, the calls that are told, and the worker that
//! replaces it. A worker process calls the hook in `worker/hook_state.rs`. The cause that its item
//! fails with is found in `worker_death.rs`.
//!
//! Invariant: the parent reads the row and the arena of a worker here after it was reaped, and
//! checks what it finds there against the arena's bounds.

use std::sync::Arc;

use pool_ipc::{
    SegmentId,
    board::{Incarnation, LastWords, SlotState},
};

use super::{
    inboxes::Inbox,
    state::{Phase, Session, SessionState},
    wait::ANYTHING,
};
use crate::{
    deferred_log::Entry,
    engine::JobId,
    error::{Error, ExitStatus, FailureKind, Fault, Stage, StartFailure, WorkerStage},
    hooks::ExitResult,
    ids::WorkerId,
    os,
    worker::failed_start_text,
};

/// Most bytes that the record of a failure may take.
const LARGEST_FAILURE: u64 = 1 << 20;
/// Most segments that the handles in an exit result may need.
const MOST_SEGMENTS: u64 = 1 << 20;

/// How far a dead worker had come.
enum ExitKind {
    /// It did not get as far as the board.
    NeverCame,
    /// It could take chunks.
    Lived,
    /// It failed before it could take chunks.
    DidNotComeUp(StartFailure),
    ExitFailed(StartFailure),
    Left(ExitResult),
}

impl Session {
    /// Handles the exit of a worker whose chunks the engine has been told of; `killed`: it was
    /// killed for a cancelled call; `served`: jobs of which it had a chunk, unless its death in
    /// `worker_init` was a try of an item.
    pub(super) fn after_exit(
        &self,
        state: &mut SessionState,
        incarnation: Incarnation,
        (raw, killed): (i32, bool),
        segments: bool,
        served: Option<&Vec<JobId>>,
    ) {
        let worker = state.engine.workers.worker_of(incarnation).unwrap_or(WorkerId::FIRST);
        let serial = state.engine.workers.serial_of(incarnation);
        let timed_out = state.timed_out.contains(&incarnation);
        let exit_kind = match self.exit_kind(state, incarnation, raw) {
            ExitKind::DidNotComeUp(_) | ExitKind::ExitFailed(_) if killed => ExitKind::Lived,
            exit_kind => exit_kind,
        };
        let arena = state.arenas.remove(&incarnation);
        if let Some(arena) = &arena
            && Arc::strong_count(arena) > 1
        {
            state.engine.workers.outlives(incarnation, &arena.held);
        }
        if segments && let Some(arena) = arena {
            arena.release_owner_at_end(Arc::clone(&self.broker));
        }
        if killed {
            state.deferred_log.note(Entry::Killed { worker });
        } else if !timed_out {
            self.note_end(state, worker, raw, &exit_kind);
        }
        let unready = matches!(exit_kind, ExitKind::NeverCame | ExitKind::DidNotComeUp(_));
        let leaves = self.board.leaves(worker.index());
        if matches!(exit_kind, ExitKind::Lived)
            && !leaves
            && !state.engine.workers.has_served(incarnation)
        {
            self.died_idle(state, worker, incarnation);
        } else {
            state.engine.workers.vacate(incarnation, !unready);
        }
        // What calls are told if starting more workers is of no use.
        let mut how = Error::WorkersDie(failed_start_text(ExitStatus::from_wait(raw)));
        match exit_kind {
            ExitKind::DidNotComeUp(failure) => {
                let again = was_killed(&failure);
                how = failure.into_error(worker);
                if let Some(served) = served
                    && !again
                {
                    return self.did_not_come_up(state, serial, &how, served);
                }
            }
            ExitKind::Left(result) if serial >= state.exits_from => {
                if !self.exits.add(result) {
                    state.deferred_log.note(Entry::Refused { worker });
                }
            }
            ExitKind::ExitFailed(failure) => self.exit_failed(state, serial, worker, failure),
            ExitKind::NeverCame | ExitKind::Lived | ExitKind::Left(_) => {}
        }
        if state.phase.replaces_workers() && state.engine.workers.start_limit_reached() {
            self.fail_all(state, &how, |_| true);
        } else {
            if state.engine.workers.take_start_limit_reached(worker) {
                // Other workers may live, but jobs that wait for this one would wait for ever.
                let jobs = state.engine.jobs_targeting(worker);
                self.fail_jobs(state, &how, &jobs);
            }
            self.refill(state);
        }
    }

    /// Notes a worker's end for the log, if it is unexpected and no call fails because of it alone.
    fn note_end(&self, state: &mut SessionState, worker: WorkerId, raw: i32, exit_kind: &ExitKind) {
        let lives = matches!(exit_kind, ExitKind::Lived | ExitKind::Left(_));
        let another_comes = match exit_kind {
            ExitKind::NeverCame => true,
            ExitKind::DidNotComeUp(failure) => was_killed(failure),
            _ => false,
        };
        let status = ExitStatus::from_wait(raw);
        if !state.phase.replaces_workers() || !(lives || another_comes) {
            return;
        }
        if status != ExitStatus::Code(0) {
            state.deferred_log.note(Entry::Died { worker, status });
        } else if lives && !self.board.leaves(worker.index()) {
            state.deferred_log.note(Entry::Lived { worker });
        }
    }

    /// Fills vacant places, if a job may have work for them or workers live on from call to call.
    pub(super) fn refill(&self, state: &mut SessionState) {
        let wanted =
            || state.inboxes.iter().any(|(_, inbox)| inbox.job_error().is_none() && !inbox.over);
        if state.phase.replaces_workers() && (self.keeps_alive() || wanted()) {
            self.start_missing(state);
        }
    }

    fn exit_kind(&self, state: &mut SessionState, incarnation: Incarnation, raw: i32) -> ExitKind {
        let worker = state.engine.workers.worker_of(incarnation);
        let worker = worker.filter(|worker| self.board.occupant(worker.index()).1 == incarnation);
        let timed_out =
            state.timed_out.extract_if(.., |timed_out| *timed_out == incarnation).count();
        let Some(worker) = worker else { return ExitKind::NeverCame };
        match self.stage_of(worker) {
            WorkerStage::LeftResult => match self.exit_result(state, incarnation, worker) {
                Some(result) => ExitKind::Left(result),
                None => ExitKind::ExitFailed(exit_failure(FailureKind::BadResult)),
            },
            WorkerStage::LeftFailure => {
                let kind = self.exit_failure_of(state, incarnation, worker);
                ExitKind::ExitFailed(exit_failure(kind.unwrap_or(FailureKind::BadResult)))
            }
            stage => match stage.unfinished() {
                None => ExitKind::Lived,
                Some(Stage::Exit) => ExitKind::ExitFailed(match (timed_out, self.bounds.exit) {
                    (1.., Some(limit)) => {
                        StartFailure { stage: Stage::Exit, fault: Fault::timed_out(limit) }
                    }
                    // Nothing is lost: the worker would only have dropped its state.
                    _ if !self.waits_for_exits && is_killed(raw) => return ExitKind::Lived,
                    _ => self.ended(state, incarnation, Stage::Exit, raw),
                }),
                Some(stage) => {
                    let limit = match stage {
                        Stage::Init => self.bounds.init,
                        Stage::Shared => self.shared_timeout,
                        _ => None,
                    };
                    if let (1.., Some(limit)) = (timed_out, limit) {
                        let fault = Fault::timed_out(limit);
                        return ExitKind::DidNotComeUp(StartFailure { stage, fault });
                    }
                    let left = state.arenas.get(&incarnation);
                    let left = left.and_then(|arena| StartFailure::read_from(arena));
                    let ended = || self.ended(state, incarnation, stage, raw);
                    ExitKind::DidNotComeUp(left.unwrap_or_else(ended))
                }
            },
        }
    }

    /// The failure of a worker that ended while it was at `stage`.
    fn ended(
        &self,
        state: &SessionState,
        incarnation: Incarnation,
        stage: Stage,
        raw: i32,
    ) -> StartFailure {
        if self.has_overflowed(state, incarnation, ExitStatus::from_wait(raw)) {
            return StartFailure { stage, fault: Fault::Overflowed };
        }
        StartFailure::ended(stage, raw)
    }

    fn exit_result(
        &self,
        state: &SessionState,
        incarnation: Incarnation,
        worker: WorkerId,
    ) -> Option<ExitResult> {
        let words = self.board.last_words(worker.index());
        if words.segments > MOST_SEGMENTS {
            return None;
        }
        let arena = state.arenas.get(&incarnation)?;
        let bytes = arena.copy(words.offset, words.len, self.items_limit)?;
        let (at, len) = (words.offset + words.len.next_multiple_of(16), 16 * words.segments);
        let ids = arena.copy(at, len, len)?;
        let id = |bytes: &[u8; 16]| SegmentId(u128::from_ne_bytes(*bytes));
        let segments = ids.as_chunks().0.iter().map(id).collect();
        Some(ExitResult::fetch(worker, bytes, segments, &**self.broker))
    }

    fn exit_failure_of(
        &self,
        state: &SessionState,
        incarnation: Incarnation,
        worker: WorkerId,
    ) -> Option<FailureKind> {
        let LastWords { offset, len, .. } = self.board.last_words(worker.index());
        let bytes = state.arenas.get(&incarnation)?.copy(offset, len, LARGEST_FAILURE)?;
        pool_ipc::from_bytes(&bytes).ok()
    }

    /// Ends the calls that a worker was started for, and those of which it had a chunk: it failed
    /// before it could take chunks, and another worker would, too.
    pub(super) fn did_not_come_up(
        &self,
        state: &mut SessionState,
        serial: u64,
        error: &Error,
        served: &[JobId],
    ) {
        self.fail_jobs(state, error, served);
        self.fail_all(state, error, |inbox| inbox.first_serial <= serial);
        // Calls that began after the start of that worker try again.
        if state.phase.replaces_workers()
            && state.inboxes.iter().any(|(_, inbox)| inbox.job_error().is_none())
        {
            self.start_missing(state);
        }
    }

    /// Tells the calls under way that a worker's exit failed. If there are none, or it is a worker
    /// of calls that are over, the call that stops the pool is told.
    fn exit_failed(
        &self,
        state: &mut SessionState,
        serial: u64,
        worker: WorkerId,
        failure: StartFailure,
    ) {
        // Futures have their results or will have them.
        let waits = |inbox: &Inbox| inbox.job_error().is_none() && inbox.queue().is_none();
        let any_waits = state.inboxes.iter().any(|(_, inbox)| waits(inbox));
        if any_waits && serial >= state.exits_from {
            self.fail_all(state, &failure.into_error(worker), waits);
        } else {
            self.exits.fail(worker, failure.fault.into_cause());
        }
    }

    /// Retires the present workers: they leave, and chunks go to workers that are started later.
    pub(super) fn renew_workers(&self, state: &mut SessionState) {
        state.used = false;
        state.engine.workers.retire_all();
        self.ask_all_to_leave(state);
    }

    /// Retires the present workers if a job has used them. Exit results of older workers are
    /// dropped from now on.
    pub(crate) fn renew_used_workers(&self) {
        let mut state = self.lock();
        if state.used {
            self.renew_workers(&mut state);
        }
        state.exits_from = state.engine.workers.min_serial();
    }

    /// Notes that a future of this queue begins; returns whether no call was under way. Then exit
    /// results of older workers are dropped from now on.
    pub(crate) fn begin_future(&self, queue: JobId) -> bool {
        let mut state = self.lock();
        let alone = !state.has_calls_but(queue) && !state.engine.has_chunks_of(queue);
        if alone {
            state.exits_from = state.engine.workers.min_serial();
        }
        alone
    }

    pub(super) fn ask_all_to_leave(&self, state: &mut SessionState) {
        for (worker, incarnation, _) in state.engine.workers.iter() {
            self.board.ask_to_leave(worker.index(), incarnation);
        }
        self.board.wake(usize::MAX);
    }

    /// Whether workers end with a call and leave an exit result.
    #[inline]
    pub(crate) fn workers_end_with_call(&self) -> bool {
        !self.keeps_alive() && self.waits_for_exits
    }

    /// Waits for the exit results of the workers of a job whose items have all ended, if it is the
    /// only call.
    pub(crate) fn finish_job(&self, job: JobId) -> Result<(), Error> {
        let mut state = self.lock();
        if state.has_calls_but(job) || !state.phase.replaces_workers() {
            return Ok(());
        }
        if let Some(inbox) = state.inboxes.get_mut(job) {
            inbox.over = true;
        }
        self.renew_workers(&mut state);
        let newer = state.engine.workers.next_serial();
        drop(state);
        let mut ended = Ok(());
        self.drive_until(ANYTHING, |state| {
            let error = state.inboxes.get(job).and_then(|inbox| inbox.job_error().cloned());
            let exit_failed = matches!(&error, Some(Error::WorkerExitFailed { .. }));
            let goes_on = error.is_none() || exit_failed;
            ended = error.map_or(Ok(()), Err);
            let is_newer =
                |(_, incarnation, _)| state.engine.workers.serial_of(incarnation) >= newer;
            !goes_on || state.engine.workers.iter().all(is_newer)
        });
        ended
    }

    /// Waits until the workers that are at their exit have ended.
    pub(crate) fn wait_for_exiting(&self) {
        if !self.is_foreign() {
            self.drive_until(ANYTHING, |state| {
                state.phase == Phase::Broken || !self.any_worker_leaves(state)
            });
        }
    }

    /// The workers that have claimed a chunk.
    pub(super) fn at_a_chunk(&self, state: &SessionState) -> Vec<Incarnation> {
        let claimer = |slot| match self.board.slot_state(slot) {
            SlotState::Claimed(owner) => Some(owner),
            _ => None,
        };
        state.engine.published().filter_map(|(slot, _)| claimer(slot)).collect()
    }

    /// Whether a worker is at its exit, or was asked to leave and runs no task.
    fn any_worker_leaves(&self, state: &SessionState) -> bool {
        let busy = self.at_a_chunk(state);
        state.engine.workers.iter().any(|(worker, incarnation, _)| {
            let there = self.board.occupant(worker.index()).1 == incarnation;
            let leaves = match self.stage_of(worker) {
                WorkerStage::Ready => {
                    self.board.leaves(worker.index()) && !busy.contains(&incarnation)
                }
                stage => stage.is_at_its_end(),
            };
            there && leaves
        })
    }
}

/// Whether a worker was killed from outside before its first chunk: it held nothing, so another one
/// takes its place. A `worker_init` is called for a chunk, whose tries count instead.
fn was_killed(failure: &StartFailure) -> bool {
    let killed = matches!(failure.fault, Fault::Ended { status } if is_killed(status));
    killed && matches!(failure.stage, Stage::AtWorkerStart | Stage::Shared)
}

/// Whether a process ended by a signal that comes from outside; other signals mean a crash.
fn is_killed(raw: i32) -> bool {
    let asks_to_end = |signal| os::ENDING.iter().any(|ending| *ending as i32 == signal);
    ExitStatus::from_wait(raw).signal().is_some_and(|s| s == libc::SIGKILL || asks_to_end(s))
}

fn exit_failure(kind: FailureKind) -> StartFailure {
    StartFailure { stage: Stage::Exit, fault: Fault::Task(kind) }
}
