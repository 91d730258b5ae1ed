//! Chunks that only one worker may run: those that wait for their turn on the board.
//!
//! Invariant: of each worker's no more than a few lie in slots, and of all workers' no more than in
//! half of the slots, so that a worker that is busy or absent keeps nothing from the others.

use std::collections::VecDeque;

use pool_ipc::board::Board;

use super::chunk::Chunk;
use crate::ids::WorkerId;

/// The chunks of each worker that wait, and how many are in slots.
#[derive(Debug)]
pub(super) struct TargetedQueues {
    queues: Vec<WorkerQueue>,
    /// Most chunks of one worker that are in slots at a time.
    most_published: usize,
    /// Chunks that wait, of all workers.
    waiting: usize,
    /// Chunks in slots, of all workers.
    in_slots: usize,
    /// The queue at which the search for the next chunk begins, so that workers have turns.
    cursor: usize,
}

#[derive(Debug, Clone, Default)]
struct WorkerQueue {
    waiting: VecDeque<Chunk>,
    published: usize,
}

impl TargetedQueues {
    pub(super) fn new(workers: usize, slots: usize) -> Self {
        // One entry is left for the chunk whose result the worker keeps in hand.
        let most_published = (slots / (2 * workers)).clamp(1, Board::MOST_TARGETED - 1);
        let queues = vec![WorkerQueue::default(); workers];
        Self { queues, most_published, waiting: 0, in_slots: 0, cursor: 0 }
    }

    /// Adds a chunk behind the others of its worker, or before them if it goes on. `false`: there
    /// is no such worker.
    pub(super) fn wait(&mut self, worker: WorkerId, chunk: Chunk, goes_on: bool) -> bool {
        let Some(queue) = self.queues.get_mut(worker.index()) else { return false };
        if goes_on {
            queue.waiting.push_front(chunk);
        } else {
            queue.waiting.push_back(chunk);
        }
        self.waiting += 1;
        true
    }

    /// Whether a chunk could be published if there were a slot.
    pub(super) fn is_due(&self) -> bool {
        self.waiting > 0 && self.next_queue().is_some()
    }

    /// Whether any chunk waits.
    pub(super) fn any_waits(&self) -> bool {
        self.waiting > 0
    }

    fn next_queue(&self) -> Option<usize> {
        let count = self.queues.len();
        let due = |queue: &WorkerQueue| {
            queue.published < self.most_published && !queue.waiting.is_empty()
        };
        (0..count).map(|step| (self.cursor + step) % count).find(|at| due(&self.queues[*at]))
    }

    /// Takes the next chunk that may be published.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Chunk> {
        if self.waiting == 0 {
            return None;
        }
        let at = self.next_queue()?;
        self.cursor = (at + 1) % self.queues.len();
        self.waiting -= 1;
        self.queues[at].waiting.pop_front()
    }

    /// Counts a chunk of the worker that was put into a slot.
    pub(super) fn published(&mut self, worker: WorkerId) {
        self.queues[worker.index()].published += 1;
        self.in_slots += 1;
    }

    /// Subtracts a chunk of the worker that is in no slot any more.
    pub(super) fn left(&mut self, worker: WorkerId) {
        self.queues[worker.index()].published -= 1;
        self.in_slots -= 1;
    }

    /// Whether any chunk is in a slot.
    pub(super) fn any_published(&self) -> bool {
        self.in_slots > 0
    }

    /// Takes out the waiting chunks that `which` selects.
    pub(super) fn withdraw(&mut self, which: impl Fn(&Chunk) -> bool) -> Vec<Chunk> {
        let mut withdrawn = Vec::new();
        if self.waiting > 0 {
            for queue in &mut self.queues {
                let (out, left) = std::mem::take(&mut queue.waiting).into_iter().partition(&which);
                queue.waiting = left;
                let out: VecDeque<Chunk> = out;
                withdrawn.extend(out);
            }
            self.waiting -= withdrawn.len();
        }
        withdrawn
    }

    /// Whether nothing waits and nothing is published.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let empty = |queue: &WorkerQueue| queue.waiting.is_empty() && queue.published == 0;
        self.waiting == 0 && self.queues.iter().all(empty)
    }

    pub(super) fn waiting_at(&self, worker: WorkerId) -> impl Iterator<Item = &Chunk> {
        self.queues.get(worker.index()).into_iter().flat_map(|queue| &queue.waiting)
    }
}
