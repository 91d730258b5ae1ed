//! Opens jobs, feeds them with chunks, takes chunks back, and closes jobs.

use std::time::Duration;

use pool_ipc::{Block, board::SlotIndex};

use super::{
    arenas::Carried,
    buffers::Buffers,
    inboxes::Inbox,
    state::{Phase, Session, SessionState},
    wait::ANYTHING,
};
use crate::{
    calls::{UnderWay, WorkerSteps},
    cancel::CancelToken,
    engine::{Chunk, JobId},
    error::Error,
    ids::next_call_number,
    reentrancy::{Inside, is_inside},
};

/// What a new job asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewJob {
    /// The token that may end it from outside.
    pub(crate) token: Option<CancelToken>,
    /// How long items that run when it ends may go on before they are killed.
    pub(crate) kill: Option<Duration>,
    /// Its consumer asks for results when it likes, so a stop of the pool does not wait for it.
    pub(crate) lazy: bool,
    /// Whether its items have a limit.
    pub(crate) limited: bool,
    /// The calling thread does not wait while the pool is being stopped.
    pub(crate) at_once: bool,
}

impl SessionState {
    /// Whether a stop of the pool has ended all workers.
    #[inline]
    fn is_stopped(&self) -> bool {
        self.phase == Phase::Ending && self.engine.workers.iter().next().is_none()
    }

    /// Takes jobs again after a stop of the pool.
    #[inline]
    fn reopen_if_stopped(&mut self) {
        if self.is_stopped() {
            self.phase = Phase::Open;
        }
    }
}

impl Session {
    /// Opens a job, and starts workers if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`] where it does not wait for the end of a stop; [`Error::PoolBroken`].
    #[inline]
    pub(crate) fn open_job(&self, what: &NewJob) -> Result<(JobId, Box<Buffers>), Error> {
        loop {
            let mut state = self.lock();
            state.reopen_if_stopped();
            // A call that is made inside another one or a callback belongs to that one.
            if self.takes_jobs(&state, |backend| is_inside(backend, None)) {
                return self.open_job_in(&mut state, what);
            }
            drop(state);
            if what.at_once {
                return Err(Error::QueueFull);
            }
            self.wait_until_stopped();
        }
    }

    /// Opens the own job of a queue without waiting; `None` while the pool is being stopped, also
    /// for calls of a callback: a callback whose future has the same callback would hold the stop
    /// up for ever.
    pub(crate) fn open_queue(&self) -> Result<Option<(JobId, Box<Buffers>)>, Error> {
        let mut state = self.lock();
        let in_call = |backend| {
            [Inside::Call, Inside::View].iter().any(|what| is_inside(backend, Some(*what)))
        };
        state.reopen_if_stopped();
        if !self.takes_jobs(&state, in_call) {
            return Ok(None);
        }
        let (job, buffers) = self.open_job_in(&mut state, &NewJob::default())?;
        state.inboxes.join_queue(job, job);
        Ok(Some((job, buffers)))
    }

    /// Whether a new job may be opened now. While the pool is being stopped, `belongs` says whether
    /// the job is part of a call that the stop waits for.
    #[inline]
    fn takes_jobs(&self, state: &SessionState, belongs: impl Fn(usize) -> bool) -> bool {
        match state.phase {
            Phase::Open | Phase::Broken => true,
            Phase::Closing => belongs(std::ptr::from_ref(self).addr()),
            Phase::Ending => false,
        }
    }

    /// Waits for the end of a stop of the pool, if one goes on.
    pub(crate) fn wait_until_stopped(&self) {
        self.drive_until(ANYTHING, |state| {
            matches!(state.phase, Phase::Open | Phase::Broken) || state.is_stopped()
        });
    }

    #[inline]
    fn open_job_in(
        &self,
        state: &mut SessionState,
        what: &NewJob,
    ) -> Result<(JobId, Box<Buffers>), Error> {
        let NewJob { token, kill, lazy, limited, .. } = what.clone();
        // Reports are read when the first wait finds no result at once: dead workers and a dead
        // zygote are noticed then, and cost nothing here.
        if state.phase == Phase::Broken {
            return Err(state.gone.clone());
        }
        self.board.expect_publication(state.engine.likely_slot());
        state.engine.workers.reset_failed_starts();
        let job = state.engine.open_job();
        let mut buffers = state.spare.take(|| Buffers::new(self.broker()));
        let messages = std::mem::take(&mut buffers.messages);
        let first_serial = state.engine.workers.next_serial();
        if token.is_some() && state.driving {
            // The driver may be asleep, and polls the tokens of earlier calls only.
            self.wake_driver();
        }
        let mut inbox = Inbox::new(next_call_number(), messages, first_serial).with(token, lazy);
        (inbox.kill, inbox.limited) = (kill, limited);
        state.use_workers();
        state.inboxes.insert(job, inbox);
        state.limited += usize::from(limited);
        self.start_missing(state);
        Ok((job, buffers))
    }

    /// Starts workers where there are none.
    #[inline]
    pub(super) fn start_missing(&self, state: &mut SessionState) {
        state.engine.start_missing(&mut state.actions);
        self.act(state);
    }

    /// The number of the job's call, by which insights know it.
    pub(crate) fn call_number(&self, job: JobId) -> Option<u64> {
        (!self.is_foreign()).then(|| self.lock().inboxes.get(job).map(|inbox| inbox.number))?
    }

    /// What workers have in hand of the job.
    pub(crate) fn under_way(&self, job: JobId) -> UnderWay {
        let mut all = UnderWay::default();
        if self.is_foreign() {
            return all;
        }
        let state = self.lock();
        for (slot, _) in state.engine.published().filter(|(_, chunk)| chunk.job == job) {
            let Some(now) = self.board.under_way(slot) else { continue };
            all.finished += u64::from(now.finished);
            let worker = state.engine.workers.worker_of(now.claimer);
            if let (Some(worker), Some((done, total))) = (worker, now.steps) {
                all.steps.push(WorkerSteps { worker: worker.number(), done, total });
            }
        }
        all
    }

    /// Keeps a context's block for the job; answers with a number that no other context has.
    pub(crate) fn keep_context(&self, job: JobId, block: Block, carried: Option<Carried>) -> u64 {
        let mut state = self.lock();
        if !state.engine.keep_context(job, block) {
            state.items.free(block); // the job was ended by another thread
        } else if let Some(carried) = carried {
            self.note_endpoints(&carried);
            state.on_the_way.keep(block, carried);
        }
        state.next_context += 1;
        state.next_context
    }

    /// Releases slots whose results were read, submits new chunks, or both.
    #[inline]
    pub(crate) fn submit(
        &self,
        released: &mut Vec<SlotIndex>,
        chunks: impl IntoIterator<Item = Chunk>,
    ) {
        if self.is_foreign() {
            return;
        }
        self.take_in(&mut self.lock(), released, chunks);
    }

    #[inline]
    pub(super) fn take_in(
        &self,
        state: &mut SessionState,
        released: &mut Vec<SlotIndex>,
        chunks: impl IntoIterator<Item = Chunk>,
    ) {
        self.release(state, released);
        for chunk in chunks {
            self.check_token_of(state, chunk.job);
            // The own job of a queue may be older than the present workers.
            state.use_workers();
            state.engine.submit(chunk, &mut state.actions);
        }
        self.act(state);
    }

    #[inline]
    fn release(&self, state: &mut SessionState, released: &mut Vec<SlotIndex>) {
        for slot in released.drain(..) {
            self.release_slot(state, slot);
            state.engine.released(slot, &mut state.actions);
        }
    }

    /// Releases slots and closes the job: takes back the chunks that were not begun, and tells the
    /// workers that run the others, whose results are dropped.
    #[inline]
    pub(crate) fn close_job(&self, job: JobId, mut buffers: Box<Buffers>) {
        let mut state = self.lock();
        let state = &mut *state;
        self.check_token_of(state, job);
        let Some(mut inbox) = state.inboxes.remove(job) else { return };
        state.limited -= usize::from(inbox.limited);
        self.release(state, &mut buffers.released);
        buffers.messages = std::mem::take(&mut inbox.messages);
        state.spare.put(buffers);
        let published = state.engine.close_job(job, &mut state.actions);
        let begun = self.take_back(state, published);
        self.cancel_slots(&begun);
        self.act(state);
        if !begun.is_empty() {
            self.leave_endpoints(state, &begun);
            let grace = inbox.grace();
            self.kill_claimers(state, &begun, grace);
            self.keep_token(state, job, &inbox, grace);
            // Chunks that have ended meanwhile keep segments, and the next thread that collects may
            // come late.
            self.collect(state);
        }
        // While an idle queue is open, workers are renewed only if a job has used them.
        let ends = state.inboxes.is_empty() || (state.used && !state.has_calls_but(job));
        if ends && !self.keeps_alive() {
            self.renew_workers(state);
        }
        state.sleepers.wake_general();
    }

    /// Leaves the endpoints of channels in the items of these chunks to the workers that run them:
    /// the ends of the chunks may be read much later, by the next call.
    fn leave_endpoints(&self, state: &mut SessionState, begun: &[SlotIndex]) {
        for slot in begun {
            let blocks = state.engine.chunk(*slot).map(|c| [c.items.offset, c.context.1]);
            for offset in blocks.into_iter().flatten() {
                state.on_the_way.release_presences(offset);
            }
        }
    }

    /// Takes back the chunks that have not begun of jobs that have failed but are not closed, and
    /// tells the workers that run the others.
    pub(super) fn cancel_failed(&self, state: &mut SessionState) {
        let failed = |(job, inbox): (JobId, &Inbox)| inbox.job_error().is_some().then_some(job);
        let jobs: Vec<JobId> = state.inboxes.iter().filter_map(failed).collect();
        let published = state.engine.cancel_jobs(&jobs, &mut state.actions);
        let begun = self.take_back(state, published);
        self.cancel_slots(&begun);
        for job in jobs {
            let Some(inbox) = state.inboxes.get_mut(job) else { continue };
            inbox.killed_in = inbox.grace();
            if inbox.killed_in.is_some() {
                let (grace, engine) = (inbox.killed_in, &state.engine);
                let of_job = |slot: &SlotIndex| engine.chunk(*slot).is_some_and(|c| c.job == job);
                let slots: Vec<_> = begun.iter().copied().filter(of_job).collect();
                self.kill_claimers(state, &slots, grace);
            }
        }
        self.act(state);
    }

    /// Takes unclaimed chunks back; answers with the slots of the others. Their claimers are to be
    /// told once all chunks are taken back: a worker that is told looks for the next one at once.
    #[inline]
    fn take_back(&self, state: &mut SessionState, mut published: Vec<SlotIndex>) -> Vec<SlotIndex> {
        published.retain(|&slot| {
            let in_hand = state.engine.chunk(slot).is_some_and(|chunk| chunk.in_hand.is_some());
            let taken = !in_hand && self.board.take_back(slot);
            if taken {
                state.engine.taken_back(slot, &mut state.actions);
            }
            !taken
        });
        published
    }

    /// Tells the claimers of these chunks that their results are not wanted any more. Called before
    /// anything else is published in the slots.
    #[inline]
    fn cancel_slots(&self, begun: &[SlotIndex]) {
        for slot in begun {
            self.board.cancel(*slot);
        }
    }
}
