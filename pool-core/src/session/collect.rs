//! Tells the engine what happened: finished slots, and the zygote's reports. What a worker's death
//! means for its items is in `worker_death.rs`.

use std::{sync::atomic::Ordering, time::Instant};

use pool_ipc::{
    board::{End, Incarnation, Outcome, SlotIndex, SlotState},
    prefetch_for_reading,
};

use super::{
    inboxes::Inbox,
    outputs::LastItem,
    start_errors::no_zygote,
    state::{Phase, Session, SessionState},
};
use crate::{
    deferred_log::Entry,
    engine::{JobId, Why},
    error::{Cause, Error, Failure, Stage, WorkerStage},
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
    #[inline]
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
    #[inline]
    pub(super) fn finished_since(&self, cursors: &[u64]) -> u64 {
        let since = |(place, cursor): (usize, &u64)| self.board.finished_since(place, *cursor);
        cursors.iter().enumerate().map(since).fold(0, u64::saturating_add)
    }

    #[inline]
    pub(super) fn finished(
        &self,
        state: &mut SessionState,
        slot: SlotIndex,
        incarnation: Incarnation,
    ) {
        let mut outcome = self.board.outcome(slot);
        if let Some(arena) = state.arenas.get(&incarnation) {
            prefetch_for_reading(arena.as_ptr().wrapping_add(outcome.results as usize));
        } else {
            // A scribbled word names an owner that does not exist.
            outcome.progress.finished = 0;
            let why = Why::Failed(Cause::BadResult);
            return self.handle_end(state, slot, incarnation, outcome, why);
        }
        let size = state.engine.chunk(slot).map_or(0, |chunk| chunk.end - chunk.start);
        let why = match outcome.end {
            End::Complete if outcome.progress.finished >= size => Why::Complete,
            End::Failed => {
                let finished = outcome.progress.finished;
                self.ask_for_output(state, slot, incarnation, finished, &LastItem::Failed);
                Why::Failed(self.cause(state, incarnation, &outcome))
            }
            End::Full => Why::Full,
            End::Cancelled => Why::Cancelled,
            End::Complete | End::Unknown => Why::Failed(Cause::BadResult),
        };
        self.handle_end(state, slot, incarnation, outcome, why);
    }

    #[inline]
    pub(super) fn handle_end(
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
        state.reports_read = Instant::now();
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
        if any {
            state.sleepers.wake_all();
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
            self.ask_for_output(state, slot, incarnation, finished, &LastItem::WithWorker);
            state.engine.timed_out(slot, worker, finished, &mut state.actions);
        }
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
        if let Some(capture) = &*self.output {
            capture.all_ended();
        }
        if let Some(insights) = &self.insights {
            insights.close();
        }
        let gone = state.gone.clone();
        self.fail_all(state, &gone, |_| true);
    }

    /// Tells these jobs that they cannot go on.
    pub(super) fn fail_jobs(&self, state: &mut SessionState, error: &Error, jobs: &[JobId]) {
        for job in jobs {
            state.inboxes.fail(*job, error);
        }
        state.sleepers.wake_all();
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
        let jobs = state.inboxes.iter().filter(|(_, inbox)| which(inbox)).map(|(job, _)| job);
        let jobs: Vec<_> = jobs.collect();
        // Relaxed: a thread that sees it takes the lock.
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.fail_jobs(state, error, &jobs);
    }
}
