//! The state of the chunks of one set of workers: which chunk lies in which slot. What follows from
//! every end is in `chunk_ends.rs`.
//!
//! Invariant: a chunk's items stay where they are until each of them has a result or a failure, or
//! its job is gone; an item in hand at a death is tried again or fails, every other one goes to the
//! next worker. A worker that keeps a result in hand takes nothing but the chunk that lets it go,
//! so the engine always publishes that chunk again, also when its job is closed: in the slot that
//! the last results of the worker leave, before any other chunk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pool_ipc::{
    Block,
    board::{Incarnation, SlotIndex},
};

use super::{
    chunk::{Action, Chunk, Delivery, Ended},
    jobs::JobId,
    targeted::TargetedQueues,
    workers::WorkerTable,
};
use crate::{error::Cause, ids::WorkerId};

#[derive(Debug, Clone)]
pub(super) enum SlotUse {
    Free,
    Published(Chunk),
    /// Results that a job still reads.
    Lent {
        incarnation: Incarnation,
        job: JobId,
    },
}

/// A job that is open, or of which chunks are left.
#[derive(Debug, Default)]
pub(super) struct JobRecord {
    pub(super) open: bool,
    pub(super) chunks: usize,
    /// Slots that are lent to it.
    pub(super) lent: usize,
    /// The block of the context that all its chunks read.
    context: Option<Block>,
}

/// Decides which chunk lies in which slot and which workers are started, from events alone.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) workers: WorkerTable,
    pub(super) slots: Vec<SlotUse>,
    pub(super) free_slots: usize,
    /// Slots with a published chunk that has not ended.
    pub(super) published_slots: usize,
    /// Jobs with chunks that have not ended.
    pub(super) busy_jobs: usize,
    /// Where the search for a free slot begins.
    cursor: usize,
    pub(super) queue: VecDeque<Chunk>,
    /// Chunks for one worker each.
    pub(super) targeted: TargetedQueues,
    /// Chunks whose worker waits for room, until its results have been read.
    pub(super) held: Vec<Chunk>,
    pub(super) jobs: BTreeMap<JobId, JobRecord>,
    next_job: u64,
}

impl Engine {
    pub(crate) fn new(workers: usize, slots: usize) -> Self {
        Self {
            workers: WorkerTable::new(workers),
            slots: vec![SlotUse::Free; slots],
            free_slots: slots,
            published_slots: 0,
            busy_jobs: 0,
            cursor: 0,
            queue: VecDeque::new(),
            targeted: TargetedQueues::new(workers, slots),
            held: Vec::new(),
            jobs: BTreeMap::new(),
            next_job: 1,
        }
    }

    pub(crate) fn open_job(&mut self) -> JobId {
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.jobs.insert(id, JobRecord { open: true, ..JobRecord::default() });
        id
    }

    /// Keeps the context's block until the job is closed and no chunk of it is left; `false` when
    /// the job is over.
    pub(crate) fn keep_context(&mut self, job: JobId, block: Block) -> bool {
        let Some(record) = self.jobs.get_mut(&job) else { return false };
        record.context = Some(block);
        true
    }

    /// Whether the job's results are wanted.
    pub(crate) fn is_open(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|record| record.open)
    }

    /// Whether the job is open, or a chunk of it has not ended.
    pub(crate) fn knows(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Whether any chunk is under way.
    pub(crate) fn has_chunks(&self) -> bool {
        self.busy_jobs > 0
    }

    /// Whether any chunk of the job is under way.
    pub(crate) fn has_chunks_of(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|record| record.chunks > 0)
    }

    /// The chunk that was published in the slot.
    pub(crate) fn chunk(&self, slot: SlotIndex) -> Option<&Chunk> {
        match self.slots.get(slot.index()) {
            Some(SlotUse::Published(chunk)) => Some(chunk),
            _ => None,
        }
    }

    /// Slots with a published chunk that has not ended.
    pub(crate) fn published(&self) -> impl Iterator<Item = (SlotIndex, &Chunk)> {
        self.slots.iter().enumerate().filter_map(|(slot, state)| match state {
            SlotUse::Published(chunk) => Some((SlotIndex::new(slot), chunk)),
            _ => None,
        })
    }

    /// The jobs to which slots with results are lent.
    pub(crate) fn jobs_with_results(&self) -> BTreeSet<JobId> {
        let job = |slot: &SlotUse| match slot {
            SlotUse::Lent { job, .. } => Some(*job),
            _ => None,
        };
        self.slots.iter().filter_map(job).collect()
    }

    /// Whether chunks wait for a slot while none is free.
    pub(crate) fn lacks_slots(&self) -> bool {
        self.free_slots == 0 && (!self.queue.is_empty() || self.targeted.is_due())
    }

    #[inline]
    pub(super) fn dispatch(&mut self, out: &mut Vec<Action>) {
        while self.free_slots > 0
            && let Some(chunk) = self.next_chunk()
        {
            self.place(chunk, out);
        }
    }

    /// The chunk for the next free slot: one that lets a result in hand go, then one for a single
    /// worker (of which few are on the board at a time), then one for any worker.
    fn next_chunk(&mut self) -> Option<Chunk> {
        let lets_go = self.queue.front().is_some_and(|chunk| chunk.in_hand.is_some());
        let targeted = if lets_go { None } else { self.targeted.next() };
        targeted.or_else(|| self.queue.pop_front())
    }

    /// Puts a chunk into a slot, of which one is free.
    #[inline]
    pub(super) fn place(&mut self, mut chunk: Chunk, out: &mut Vec<Action>) {
        if chunk.in_hand.is_none() {
            chunk.audience = chunk.open_to();
            chunk.audience.min_serial = self.workers.min_serial();
        }
        if let Some(worker) = chunk.worker {
            self.targeted.published(worker);
        }
        let slot = self.next_free();
        self.slots[slot.index()] = SlotUse::Published(chunk);
        self.free_slots -= 1;
        self.published_slots += 1;
        out.push(Action::Publish { slot });
    }

    /// The slot that the next chunk is likely to get.
    pub(crate) fn likely_slot(&self) -> SlotIndex {
        SlotIndex::new(self.cursor)
    }

    /// The slot that a chunk got last.
    pub(crate) fn last_slot(&self) -> SlotIndex {
        SlotIndex::new(self.cursor.checked_sub(1).unwrap_or(self.slots.len() - 1))
    }

    fn next_free(&mut self) -> SlotIndex {
        let is_free = |slot: &SlotUse| matches!(slot, SlotUse::Free);
        let (before, from) = self.slots.split_at(self.cursor);
        let slot = from.iter().position(is_free).map(|step| self.cursor + step);
        let slot = slot.or_else(|| before.iter().position(is_free));
        let slot = slot.expect("free slots were counted");
        self.cursor = if slot + 1 == self.slots.len() { 0 } else { slot + 1 };
        SlotIndex::new(slot)
    }

    #[inline]
    pub(super) fn finish(&mut self, chunk: Ended, out: &mut Vec<Action>) {
        let Ended { job, items, bytes } = chunk;
        out.push(Action::FreeItems { block: items });
        if let Some(record) = self.jobs.get_mut(&job) {
            record.chunks -= 1;
            self.busy_jobs -= usize::from(record.chunks == 0);
            if record.open {
                out.push(Action::Deliver { job, delivery: Delivery::Ended { bytes } });
            }
        }
        self.forget_if_over(job, out);
    }

    pub(super) fn forget_if_over(&mut self, job: JobId, out: &mut Vec<Action>) {
        if self.jobs.get(&job).is_some_and(|record| !record.open && record.chunks == 0) {
            let context = self.jobs.remove(&job).and_then(|record| record.context);
            out.extend(context.map(|block| Action::FreeItems { block }));
        }
    }

    pub(super) fn free(&mut self, slot: SlotIndex) {
        self.slots[slot.index()] = SlotUse::Free;
        self.free_slots += 1;
    }

    /// Frees the slot, whose results a job has read.
    pub(crate) fn released(&mut self, slot: SlotIndex, out: &mut Vec<Action>) {
        let SlotUse::Lent { job, .. } = self.slots[slot.index()] else { return };
        if let Some(record) = self.jobs.get_mut(&job) {
            record.lent -= 1;
        }
        self.free(slot);
        self.admit_held();
        self.dispatch(out);
    }

    /// Queues the held chunks whose worker has all its room again.
    #[inline]
    pub(super) fn admit_held(&mut self) {
        let slots = &self.slots;
        let reads = |incarnation: Incarnation| {
            slots
                .iter()
                .any(|s| matches!(s, SlotUse::Lent { incarnation: i, .. } if *i == incarnation))
        };
        let ready = |chunk: &mut Chunk| !chunk.in_hand.is_some_and(reads);
        for chunk in self.held.extract_if(.., ready) {
            self.queue.push_front(chunk);
        }
    }

    /// Lets the chunk that a worker holds go on, with its first result beyond the limit of the
    /// arena: all results of the worker that could be copied away were, and the readers of the
    /// others may wait for this very chunk.
    pub(crate) fn let_past_limit(&mut self, incarnation: Incarnation, out: &mut Vec<Action>) {
        for mut chunk in self.held.extract_if(.., |chunk| chunk.in_hand == Some(incarnation)) {
            chunk.past_limit = true;
            self.queue.push_front(chunk);
        }
        self.dispatch(out);
    }

    /// Whether the worker keeps a result in hand for which its arena has no room yet.
    pub(crate) fn has_in_hand(&self, incarnation: Incarnation) -> bool {
        let published = self.published().map(|(_, chunk)| chunk);
        let mut chunks = self.held.iter().chain(&self.queue).chain(published);
        chunks.any(|chunk| chunk.in_hand == Some(incarnation))
    }

    /// Handles the death of a worker that kept the result of a chunk's first item in hand: that
    /// result is lost. The chunk was published in `slot` and taken back, or is held or queued.
    pub(crate) fn in_hand_lost(
        &mut self,
        slot: Option<SlotIndex>,
        incarnation: Incarnation,
        cause: &Cause,
        out: &mut Vec<Action>,
    ) {
        let mut lost: Vec<Chunk> =
            self.held.extract_if(.., |chunk| chunk.in_hand == Some(incarnation)).collect();
        let queued = self.queue.iter().position(|chunk| chunk.in_hand == Some(incarnation));
        lost.extend(queued.and_then(|at| self.queue.remove(at)));
        if let Some(slot) = slot
            && let SlotUse::Published(chunk) =
                std::mem::replace(&mut self.slots[slot.index()], SlotUse::Free)
        {
            self.free_slots += 1;
            self.published_slots -= 1;
            if let Some(worker) = chunk.worker {
                self.targeted.left(worker);
            }
            lost.push(chunk);
        }
        for mut chunk in lost {
            let wanted = self.is_open(chunk.job);
            let worker = WorkerId::new(chunk.audience.place.unwrap_or(0));
            chunk.in_hand = None;
            chunk.past_limit = false;
            chunk.audience = chunk.open_to();
            if !chunk.lose_try() {
                let delivery = chunk.fail(worker, cause.clone());
                if wanted {
                    out.push(Action::Deliver { job: chunk.job, delivery });
                }
            }
            self.go_on(chunk, wanted, false, out);
        }
    }
}

#[cfg(test)]
#[path = "dispatch_tests/mod.rs"]
mod tests;
