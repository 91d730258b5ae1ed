//! Takes new chunks in, puts chunks back, and starts missing workers.

use pool_ipc::board::Incarnation;

use super::{
    chunk::{Action, Chunk},
    dispatch::{Engine, SlotUse},
    jobs::JobId,
};
use crate::ids::WorkerId;

impl Engine {
    /// Gives the next worker this serial number.
    pub(crate) fn counting_from(mut self, serial: u64) -> Self {
        self.workers.count_from(serial);
        self
    }

    /// Starts every worker that has no process.
    pub(crate) fn start_missing(&mut self, out: &mut Vec<Action>) {
        for worker in (0..self.workers.len()).map(WorkerId::from_index) {
            self.start_if_missing(worker, out);
        }
    }

    /// Starts this worker if it has no process.
    fn start_if_missing(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        let slots = &self.slots;
        let is_lent = |name: Incarnation| {
            let reads = |slot: &SlotUse| matches!(slot, SlotUse::Lent { incarnation, .. } if *incarnation == name);
            slots.iter().any(reads)
        };
        self.workers.start_if_missing(worker, is_lent, out);
    }

    /// Takes a new chunk in.
    #[inline]
    pub(crate) fn submit(&mut self, mut chunk: Chunk, out: &mut Vec<Action>) {
        if !self.is_open(chunk.job) {
            // Another thread has ended the job; its caller learns of that when it asks for results.
            out.push(Action::FreeItems { block: chunk.items });
            return;
        }
        self.count_new(&mut chunk);
        if let Some(worker) = chunk.worker {
            self.submit_targeted(worker, chunk, out);
        } else if self.queue.is_empty() && self.free_slots > 0 {
            self.place(chunk, out);
        } else {
            // A chunk that goes first waits only behind others that do, and behind results in hand.
            let ahead = |other: &&Chunk| other.in_hand.is_some() || other.goes_first;
            let at = match chunk.goes_first {
                true => self.queue.iter().take_while(ahead).count(),
                false => self.queue.len(),
            };
            self.queue.insert(at, chunk);
            self.dispatch(out);
        }
    }

    /// Takes in a chunk for one worker, and starts that worker if it is not there.
    #[cold]
    pub(super) fn submit_targeted(
        &mut self,
        worker: WorkerId,
        chunk: Chunk,
        out: &mut Vec<Action>,
    ) {
        let kept = self.targeted.wait(worker, chunk, false);
        debug_assert!(kept, "calls are refused that name a worker which the pool does not have");
        self.start_if_missing(worker, out);
        self.dispatch(out);
    }

    /// Puts what is left of a chunk at the front of its queue.
    pub(super) fn put_back(&mut self, chunk: Chunk) {
        match chunk.worker {
            Some(worker) => {
                self.targeted.wait(worker, chunk, true);
            }
            None => self.queue.push_front(chunk),
        }
    }

    /// Whether chunks for one worker wait, which go onto the board when another one ends: the
    /// driver has to see that end, whatever its callers wait for.
    #[inline]
    pub(crate) fn has_targeted_waiting(&self) -> bool {
        self.targeted.any_waits()
    }

    /// Jobs with chunks that only this worker may run.
    pub(crate) fn jobs_targeting(&self, worker: WorkerId) -> Vec<JobId> {
        let published = self.published().map(|(_, chunk)| chunk);
        let chunks = published.chain(&self.held).chain(&self.queue);
        let mut jobs: Vec<JobId> = chunks
            .filter(|chunk| chunk.worker == Some(worker))
            .chain(self.targeted.waiting_at(worker))
            .map(|chunk| chunk.job)
            .collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs
    }
}
