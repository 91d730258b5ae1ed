//! The ends of jobs: what has not begun of them is taken back.
//!
//! Invariant: a chunk that a worker keeps a result of in hand goes on, also when its job is closed:
//! the worker can let the result go only with that chunk.

use pool_ipc::board::SlotIndex;

use super::{
    chunk::{Action, Chunk},
    dispatch::{Engine, SlotUse},
    jobs::JobId,
};

use crate::ids::ItemIndex;

impl Engine {
    /// Closes jobs whose results are not wanted any more. Answers with the slots of their published
    /// chunks: the caller takes back those that no worker has in hand, followed by
    /// [`Engine::taken_back`] where that worked, and cancels the others.
    ///
    /// Jobs that end of the same cause are to be named together: otherwise one of them would begin
    /// chunks that another leaves room for.
    #[inline]
    pub(crate) fn cancel_jobs(&mut self, jobs: &[JobId], out: &mut Vec<Action>) -> Vec<SlotIndex> {
        let mut any_chunks = false;
        for job in jobs {
            if let Some(record) = self.jobs.get_mut(job) {
                record.open = false;
                any_chunks |= record.chunks > 0;
                self.forget_if_over(*job, out);
            }
        }
        if !any_chunks {
            return Vec::new();
        }
        let mut dropped = self.targeted.withdraw(|chunk| jobs.contains(&chunk.job));
        let queue = std::mem::take(&mut self.queue);
        for chunk in queue {
            if jobs.contains(&chunk.job) && chunk.in_hand.is_none() {
                dropped.push(chunk);
            } else {
                self.queue.push_back(chunk);
            }
        }
        for chunk in self.held.extract_if(.., |chunk| jobs.contains(&chunk.job)) {
            self.queue.push_front(chunk);
        }
        for chunk in &dropped {
            self.finish(chunk.ended(), out);
        }
        self.admit_held();
        self.dispatch(out);
        self.published()
            .filter(|(_, chunk)| jobs.contains(&chunk.job))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Closes a job (see [`Engine::cancel_jobs`]) whose results are not read any more: frees the
    /// slots that it was lent and has not given back, since its caller panicked.
    #[inline]
    pub(crate) fn close_job(&mut self, job: JobId, out: &mut Vec<Action>) -> Vec<SlotIndex> {
        let lent = self.jobs.get(&job).map_or(0, |record| record.lent);
        let published = self.cancel_jobs(&[job], out);
        if lent > 0 {
            if let Some(record) = self.jobs.get_mut(&job) {
                record.lent = 0;
            }
            for slot in (0..self.slots.len()).map(SlotIndex::new) {
                if matches!(self.slots[slot.index()], SlotUse::Lent { job: of, .. } if of == job) {
                    out.push(Action::Release { slot });
                    self.free(slot);
                }
            }
            self.admit_held();
            self.dispatch(out);
        }
        published
    }

    /// Drops a published chunk that was taken back before a worker claimed it.
    pub(crate) fn taken_back(&mut self, slot: SlotIndex, out: &mut Vec<Action>) {
        if let SlotUse::Published(chunk) =
            std::mem::replace(&mut self.slots[slot.index()], SlotUse::Free)
        {
            self.free_slots += 1;
            self.published_slots -= 1;
            if let Some(worker) = chunk.worker {
                self.targeted.left(worker);
            }
            self.finish(chunk.ended(), out);
            self.dispatch(out);
        }
    }

    /// Marks the job's chunk on the board that begins at item `first` as cancelled; answers with
    /// its slot.
    pub(crate) fn cancel_chunk(&mut self, job: JobId, first: ItemIndex) -> Option<SlotIndex> {
        self.slots.iter_mut().enumerate().find_map(|(slot, state)| match state {
            SlotUse::Published(chunk) if chunk.job == job && chunk.first == first => {
                chunk.cancelled = true;
                Some(SlotIndex::new(slot))
            }
            _ => None,
        })
    }

    /// Takes the job's chunk out of the queue that begins at item `first` and was not begun;
    /// answers whether there was one.
    pub(crate) fn withdraw(&mut self, job: JobId, first: ItemIndex, out: &mut Vec<Action>) -> bool {
        let is_it = |c: &Chunk| c.job == job && c.first == first && c.in_hand.is_none();
        let at = self.queue.iter().position(is_it);
        let queued = at.and_then(|at| self.queue.remove(at));
        let withdrawn = queued.or_else(|| self.targeted.withdraw(is_it).pop());
        if let Some(chunk) = &withdrawn {
            self.finish(chunk.ended(), out);
        }
        withdrawn.is_some()
    }
}
