//! Tells the engine what happened: finished slots, and the zygote's reports, with the cause that
//! the item of a dead worker fails with.

use std::sync::atomic::Ordering;

use pool_ipc::{
    batch::expect_batch,
    board::{End, Incarnation, Outcome, Progress, SlotIndex, SlotState},
};

use super::{
    start_errors::no_zygote,
    state::{Inbox, Phase, Session, SessionState},
};
use crate::{
    deferred_log::Entry,
    engine::{JobId, Why},
    error::{Cause, Error, ExitStatus, Failure, Stage, WorkerStage},
    ids::WorkerId,
    protocol::Report,
    worker::worker_process_name,
    zygote::reap_orphan,
};

/// Bytes of a failure that the parent copies at most: the worker may have written any length.
const LARGEST_FAILURE: u64 = 16 << 20;

impl Session {
    /// Tells the engine of every slot that was finished since the last time; answers how many there
    /// were.
    pub(super) fn collect(&self, state: &mut SessionState) -> usize {
        let mut count = 0;
        for place in 0..state.cursors.len() {
            while let Some(finished) = self.board.next_finished(place, &mut state.cursors[place]) {
                self.finished(state, finished.slot, finished.incarnation);
                count += 1;
            }
        }
        if count > 0 {
            self.act(state);
        }
        count
    }

    /// The number of finished slots beyond `cursors`.
    pub(super) fn finished_since(&self, cursors: &[u64]) -> u64 {
        let since = |(place, cursor): (usize, &u64)| self.board.finished_since(place, *cursor);
        cursors.iter().enumerate().map(since).fold(0, u64::saturating_add)
    }

    fn finished(&self, state: &mut SessionState, slot: SlotIndex, incarnation: Incarnation) {
        let mut outcome = self.board.outcome(slot);
        if let Some(arena) = state.arenas.get(&incarnation) {
            expect_batch(arena.as_ptr().wrapping_add(outcome.results as usize));
        } else {
            // A scribbled word names an owner that does not exist.
            outcome.progress.finished = 0;
            let why = Why::Failed(Cause::BadResult);
            return self.handle_end(state, slot, incarnation, outcome, why);
        }
        let size = state.engine.chunk(slot).map_or(0, |chunk| chunk.end - chunk.start);
        let why = match outcome.end {
            End::Complete if outcome.progress.finished >= size => Why::Complete,
            End::Failed => Why::Failed(self.cause(state, incarnation, &outcome)),
            End::Full => Why::Full,
            End::Cancelled => Why::Cancelled,
            End::Complete | End::Unknown => Why::Failed(Cause::BadResult),
        };
        self.handle_end(state, slot, incarnation, outcome, why);
    }

    fn handle_end(
        &self,
        state: &mut SessionState,
        slot: SlotIndex,
        incarnation: Incarnation,
        outcome: Outcome,
        why: Why,
    ) {
        state.urgent |= !matches!(why, Why::Complete);
        if outcome.manifest.is_some() {
            state.on_the_way.came(slot, incarnation);
        }
        state.engine.ended(slot, incarnation, outcome, why, &mut state.actions);
    }

    /// The cause that the worker has written for a failed item.
    fn cause(&self, state: &SessionState, incarnation: Incarnation, outcome: &Outcome) -> Cause {
        let (offset, len) = outcome.failure;
        let read = || {
            let bytes = state.arenas.get(&incarnation)?.copy(offset, len, LARGEST_FAILURE)?;
            pool_ipc::from_bytes::<Failure>(&bytes).ok()
        };
        read().map_or(Cause::BadResult, |failure| failure.kind.into())
    }

    /// Handles what the zygote reports, without waiting, and begins to count passes anew; returns
    /// whether there was anything.
    pub(super) fn handle_reports(&self, state: &mut SessionState) -> bool {
        state.passes = 0;
        let mut any = false;
        while state.phase != Phase::Broken {
            match self.link.report() {
                Ok(Some(Report::Running { .. })) => {}
                Ok(Some(Report::Unable(fault))) => self.end_before_begin(state, no_zygote(fault)),
                Ok(Some(Report::Started { incarnation, pid })) => {
                    state.engine.workers.started(incarnation, pid);
                }
                Ok(Some(Report::NotStarted { incarnation, errno })) => {
                    self.not_started(state, incarnation, errno);
                }
                Ok(Some(Report::TimedOut { incarnation })) => self.timed_out(state, incarnation),
                Ok(Some(Report::Reaped { incarnation, status, segments, peak })) => {
                    self.reaped(state, incarnation, status, segments, peak);
                }
                Ok(None) => break,
                Err(_) => self.broken(state),
            }
            any = true;
        }
        self.start_what_is_due(state);
        if any && state.waiting > 0 {
            self.changed.notify_all();
        }
        any
    }

    /// Starts workers whose restart pause is over, and those that the zygote takes orders for by
    /// now.
    pub(super) fn start_what_is_due(&self, state: &mut SessionState) {
        self.end_rests(state);
        self.start_wanted(state);
        self.act(state);
    }

    /// Handles the report that the zygote has timed a worker out.
    fn timed_out(&self, state: &mut SessionState, incarnation: Incarnation) {
        state.time_outs = state.time_outs.wrapping_add(1);
        state.timed_out.push(incarnation);
        let worker = state.engine.workers.worker_of(incarnation);
        let stage = worker.map_or(WorkerStage::Ready, |worker| self.stage_of(worker));
        let what = stage.unfinished().map_or("an item", Stage::name);
        state
            .deferred_log
            .note(Entry::TimedOut { worker: worker.unwrap_or(WorkerId::FIRST), what });
        if stage != WorkerStage::Ready {
            return; // it has no item in hand
        }
        let claimed = SlotState::Claimed(incarnation);
        let slots = state.engine.published().map(|(slot, _)| slot);
        let slot = slots.into_iter().find(|slot| self.board.slot_state(*slot) == claimed);
        let worker = state.engine.workers.worker_of(incarnation);
        if let (Some(slot), Some(worker)) = (slot, worker) {
            let finished = self.board.outcome(slot).progress.finished;
            state.engine.timed_out(slot, worker, finished, &mut state.actions);
        }
    }

    /// Handles the report that a worker was reaped: collects its results, tells the engine how its
    /// chunks ended, and fills its place again.
    fn reaped(
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

    /// Breaks a session whose zygote has started nothing: calls under way fail, and the next one
    /// may open another session.
    pub(super) fn end_before_begin(&self, state: &mut SessionState, error: Error) {
        state.gone = error;
        // Relaxed: the lock orders it for the calls that are told.
        self.renewable.store(true, Ordering::Relaxed);
        self.broken(state);
    }

    /// Breaks the session: the zygote is gone, and its workers with it.
    pub(super) fn broken(&self, state: &mut SessionState) {
        state.phase = Phase::Broken;
        self.link.wait_for_end();
        // The workers are this process's children now if it is the init process of a container.
        for (worker, incarnation, pid) in state.engine.workers.iter().collect::<Vec<_>>() {
            let pid = self.pid_of(worker, incarnation, pid);
            if pid > 0 {
                reap_orphan(nix::unistd::Pid::from_raw(pid), &worker_process_name(worker));
            }
            state.engine.workers.vacate(incarnation, true);
        }
        let gone = state.gone.clone();
        self.fail_all(state, &gone, |_| true);
    }

    /// Tells these jobs that they cannot go on.
    pub(super) fn fail_jobs(&self, state: &mut SessionState, error: &Error, jobs: &[JobId]) {
        for job in jobs {
            if let Some(inbox) = state.inboxes.get_mut(*job) {
                inbox.fail(error);
            }
        }
        self.changed.notify_all();
        self.answered.notify_all();
        self.wake_standby(state);
    }

    /// Tells the jobs that `which` selects that they cannot go on.
    pub(super) fn fail_all(
        &self,
        state: &mut SessionState,
        error: &Error,
        which: impl Fn(&Inbox) -> bool,
    ) {
        for inbox in state.inboxes.values_mut().filter(|inbox| which(inbox)) {
            inbox.fail(error);
        }
        // Relaxed: a thread that sees it takes the lock.
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
        self.answered.notify_all();
        self.wake_standby(state);
    }
}
