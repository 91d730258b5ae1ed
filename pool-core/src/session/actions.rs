//! Carries out the engine's actions.

use std::{os::fd::AsFd, sync::Arc};

use pool_ipc::board::{Description, Incarnation, SlotIndex};
use pool_shm::Segment;

use super::{
    arenas::{OnTheWay, WorkerArena, reservation},
    results::{Lying, Message, ResultBatch},
    start_errors::{MEMORY_LOCKED, not_started},
    state::{Session, SessionState},
};
use crate::{
    engine::{Action, Chunk, Delivery},
    error::{StartFailure, TaskError},
    ids::WorkerId,
    os::{self, nanos},
    protocol::Report,
};

impl Session {
    /// Carries out all actions, also those that follow from them.
    #[inline]
    pub(super) fn act(&self, state: &mut SessionState) {
        if !state.actions.is_empty() || state.engine.lacks_slots() {
            self.act_now(state);
        }
    }

    fn act_now(&self, state: &mut SessionState) {
        let (mut published, mut delivered, mut answered) = (0, false, false);
        let mut round = std::mem::take(&mut state.round);
        while !state.actions.is_empty()
            || (state.engine.lacks_slots() && self.spill(state, |_| true))
        {
            std::mem::swap(&mut round, &mut state.actions);
            for action in round.drain(..) {
                match action {
                    Action::Publish { slot } => published += self.publish(state, slot),
                    Action::FreeItems { block } => {
                        state.items.free(block);
                        state.on_the_way.release_block(block);
                        delivered = true; // a job may wait for the room
                    }
                    Action::Release { slot } => self.release_slot(state, slot),
                    Action::Deliver { job, delivery } => {
                        let mut message = self.message(state, delivery);
                        if !state.outputs.is_empty()
                            && let Message::Failed(error) = message
                        {
                            message = Message::Failed(self.with_output(state, job, error));
                        }
                        if let Some(queue) = state.inboxes.deliver(job, message) {
                            state.sleepers.wake_for(job);
                            delivered = true;
                            answered |= queue.is_some();
                        }
                    }
                    Action::MakeRoom { incarnation } => {
                        self.spill(state, |batch| batch.is_of(incarnation));
                        state.engine.let_past_limit(incarnation, &mut state.actions);
                    }
                    Action::Start { worker, incarnation, serial } => {
                        self.board.expect(worker.index(), serial);
                        self.time_start(worker);
                        self.start(state, worker, incarnation);
                    }
                }
            }
        }
        state.round = round;
        // Those of items that are tried again.
        state.outputs.clear();
        if state.others_wait != state.engine.others_wait() {
            state.others_wait = !state.others_wait;
            self.board.set_others_wait(state.others_wait);
        }
        if published > 0 && self.board.announce() {
            self.board.wake(published);
        }
        if delivered {
            state.sleepers.wake_general();
        }
        if answered {
            self.wake_standby(state);
            if state.waiting_for_futures > 0 {
                self.answered.notify_all();
            }
        }
    }

    /// Publishes the chunk in `slot`; answers how many workers, of any place, may have to be woken
    /// for it.
    #[inline]
    fn publish(&self, state: &SessionState, slot: SlotIndex) -> usize {
        let chunk =
            state.engine.chunk(slot).expect("the engine has just put a chunk into the slot");
        let mut description = describe(chunk, &state.on_the_way);
        let is_numbered = self.output.is_some() || self.insights.is_some();
        if is_numbered && !state.is_queue(chunk.job) {
            description.first = Some(chunk.first.number());
            let numbers = state.inboxes.get(chunk.job).filter(|_| self.insights.is_some());
            description.call = numbers.map(|inbox| inbox.number);
        }
        let place_sleeps = self.board.publish_one(slot, &description);
        if chunk.goes_first {
            self.board.put_first(slot);
        }
        if !state.engine.is_open(chunk.job) {
            self.board.cancel(slot);
        }
        if let (Some(place), Some(true)) = (chunk.audience.place, place_sleeps) {
            self.board.wake_place(place);
        }
        usize::from(place_sleeps.is_none())
    }

    #[inline]
    fn message(&self, state: &SessionState, delivery: Delivery) -> Message {
        match delivery {
            Delivery::Failed { index, worker, cause, tries } => {
                Message::Failed(TaskError::new(index, worker, cause, tries))
            }
            Delivery::Ended { bytes } => Message::Ended { bytes },
            Delivery::Results { slot, incarnation, first, capacity, measure, outcome } => {
                let count = outcome.progress.finished.min(capacity) as usize;
                let place = match state.arenas.get(&incarnation) {
                    Some(arena) => Lying::InArena {
                        arena: arena.clone(),
                        offset: usize::try_from(outcome.results).unwrap_or(usize::MAX),
                        slot,
                        manifest: outcome.manifest,
                    },
                    None => unreachable!("an arena is kept until its worker's last slot is read"),
                };
                let capacity = capacity as usize;
                Message::Results(ResultBatch {
                    first,
                    count,
                    capacity,
                    measure,
                    nanos: outcome.nanos,
                    place,
                })
            }
        }
    }

    /// Copies the unread results in inboxes that `which` selects out of their arenas; answers
    /// whether that freed a slot.
    fn spill(&self, state: &mut SessionState, which: impl Fn(&ResultBatch) -> bool) -> bool {
        let mut freed = Vec::new();
        for job in state.engine.jobs_with_results() {
            let Some(inbox) = state.inboxes.get_mut(job) else { continue };
            for message in &mut inbox.messages {
                if let Message::Results(batch) = message
                    && which(batch)
                {
                    freed.extend(batch.move_out(&**self.broker));
                }
            }
        }
        for slot in &freed {
            self.release_slot(state, *slot);
            state.engine.released(*slot, &mut state.actions);
        }
        !freed.is_empty()
    }

    fn start(&self, state: &mut SessionState, worker: WorkerId, incarnation: Incarnation) {
        self.link.awaited(worker, incarnation);
        self.start_wanted(state);
    }

    /// Orders the start of as many workers as the zygote takes orders for now.
    pub(super) fn start_wanted(&self, state: &mut SessionState) {
        if !state.phase.replaces_workers() {
            for (_, incarnation) in self.link.give_up_wanted() {
                self.not_started(state, incarnation, libc::ECANCELED);
            }
        }
        while let Some((worker, incarnation)) = self.link.next_wanted() {
            match self.try_start(state, worker, incarnation) {
                Ok(()) => {}
                // The zygote is gone: `handle_reports` sees that, and fails the jobs.
                Err(libc::EPIPE | libc::ECONNRESET) => drop(Self::forget(state, incarnation)),
                Err(errno) => self.not_started(state, incarnation, errno),
            }
        }
    }

    fn try_start(
        &self,
        state: &mut SessionState,
        worker: WorkerId,
        incarnation: Incarnation,
    ) -> Result<(), i32> {
        let errno = |error: pool_shm::Error| match error {
            pool_shm::Error::MemoryLocked { .. } => MEMORY_LOCKED,
            error => os::errno_of(&error),
        };
        let arena = |reservation| {
            let segment = Segment::create("pool-arena", reservation)?;
            let view = segment.map_read_only_unlocked()?;
            view.dont_fork()?;
            Ok((segment, view))
        };
        let made = match arena(self.reservation) {
            // Since the pool began, the program may have begun to lock what it maps, or have taken
            // addresses.
            Err(error) => match reservation(self.board.shape().places, self.asked_arena) {
                Ok(less) if less < self.reservation => arena(less),
                _ => Err(error),
            },
            made => made,
        };
        let (segment, view) = made.map_err(errno)?;
        let arena = WorkerArena::new(view, worker, incarnation, self.items_limit);
        state.arenas.insert(incarnation, Arc::new(arena));
        self.link
            .start(worker, incarnation, segment.as_fd())
            .map_err(|error| error.raw_os_error().unwrap_or(libc::EPIPE))
    }

    /// Removes a worker that was not started from the table; answers with its arena.
    fn forget(state: &mut SessionState, incarnation: Incarnation) -> Option<Arc<WorkerArena>> {
        state.engine.workers.vacate(incarnation, false);
        state.arenas.remove(&incarnation)
    }

    /// Handles a start that failed: fails the jobs that wait for this worker, or all jobs if there
    /// is no worker at all.
    pub(super) fn not_started(
        &self,
        state: &mut SessionState,
        incarnation: Incarnation,
        errno: i32,
    ) {
        let worker = state.engine.workers.worker_of(incarnation).unwrap_or(WorkerId::FIRST);
        let serial = state.engine.workers.serial_of(incarnation);
        self.time_end(state, incarnation, libc::SIGKILL);
        let arena = Self::forget(state, incarnation);
        if errno == Report::SEE_ARENA
            && let Some(failure) = arena.and_then(|arena| StartFailure::read_from(&arena))
        {
            let error = failure.into_error(worker);
            return self.did_not_come_up(state, serial, &error, &[]);
        }
        if state.engine.workers.iter().next().is_none() {
            self.fail_all(state, &not_started(errno), |_| true);
        } else {
            let jobs = state.engine.jobs_targeting(worker);
            self.fail_jobs(state, &not_started(errno), &jobs);
        }
    }
}

#[inline]
fn describe(chunk: &Chunk, on_the_way: &OnTheWay) -> Description {
    let (context, context_offset) = chunk.context;
    Description {
        audience: chunk.audience,
        record: chunk.call.record,
        function: chunk.call.function,
        signature: chunk.call.signature,
        items: chunk.items.offset,
        capacity: chunk.capacity,
        start: chunk.start,
        end: chunk.end,
        in_hand: chunk.in_hand.is_some(),
        past_limit: chunk.past_limit,
        timed: chunk.timed,
        limit: chunk.limit.map_or(0, nanos),
        grace: nanos(chunk.grace),
        context,
        context_offset,
        manifest: on_the_way.manifest(chunk.items.offset),
        context_manifest: match context {
            0 => None,
            _ => on_the_way.manifest(context_offset),
        },
        first: None,
        call: None,
    }
}
