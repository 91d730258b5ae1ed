//! What becomes of a chunk that a worker has stopped with, and of its items that have no result.

use pool_ipc::board::{Audience, Incarnation, Outcome, SlotIndex};

use super::{
    chunk::{Action, Chunk, Delivery, TimeOut, Why},
    dispatch::{Engine, SlotUse},
};
use crate::{error::Cause, ids::WorkerId};

impl Engine {
    /// Handles a worker's stop with the chunk in `slot`; `outcome` says how far it came.
    #[inline]
    pub(crate) fn ended(
        &mut self,
        slot: SlotIndex,
        incarnation: Incarnation,
        outcome: Outcome,
        why: Why,
        out: &mut Vec<Action>,
    ) {
        // An end that a scribbled ring reports twice counts once.
        let Some(SlotUse::Published(chunk)) = self.slots.get(slot.index()) else { return };
        let (job, ended, target) = (chunk.job, chunk.ended(), chunk.worker);
        let (size, measure) = (chunk.end - chunk.start, chunk.measure);
        let first = chunk.first.after(chunk.start as usize);
        let finished = outcome.progress.finished.min(size);
        // (Most chunks are complete, and need no copy.)
        let rest = (finished < size).then(|| chunk.clone());
        self.published_slots -= 1;
        if let Some(worker) = target {
            self.targeted.left(worker);
        }
        let worker = self.workers.serves(incarnation).unwrap_or(WorkerId::FIRST);
        if finished > 0
            && let Some(record) = self.jobs.get_mut(&job).filter(|record| record.open)
        {
            record.lent += 1;
            self.slots[slot.index()] = SlotUse::Lent { incarnation, job };
            let capacity = size;
            let delivery =
                Delivery::Results { slot, incarnation, first, capacity, measure, outcome };
            out.push(Action::Deliver { job, delivery });
        } else {
            self.free(slot);
            out.push(Action::Release { slot });
        }
        match rest {
            Some(rest) => self.ended_early(rest, (worker, incarnation), finished, why, out),
            None => {
                self.finish(ended, out);
                self.dispatch(out);
            }
        }
    }

    /// Handles what is left of a chunk, of which `finished` items have results.
    fn ended_early(
        &mut self,
        mut chunk: Chunk,
        (worker, incarnation): (WorkerId, Incarnation),
        finished: u32,
        why: Why,
        out: &mut Vec<Action>,
    ) {
        let job = chunk.job;
        let wanted = self.is_open(job);
        chunk.goes_first = false;
        let was_in_hand = chunk.in_hand.take().is_some() && finished == 0;
        chunk.past_limit = false;
        chunk.audience = chunk.open_to();
        chunk.advance(finished);
        if finished > 0 {
            chunk.unbegun_deaths = 0;
        }
        let failed = |chunk: &mut Chunk, cause: Cause, out: &mut Vec<Action>| {
            let delivery = chunk.fail(worker, cause);
            if wanted {
                out.push(Action::Deliver { job, delivery });
            }
        };
        let makes_room = matches!(why, Why::Cancelled) && chunk.worker.is_none();
        match why {
            Why::Complete | Why::Failed(_) | Why::Cancelled | Why::Died { .. }
                if chunk.cancelled =>
            {
                if std::mem::take(&mut chunk.time_out) == TimeOut::Reported {
                    chunk.advance(1);
                } else if let Why::Failed(cause) = why {
                    failed(&mut chunk, cause, out);
                }
                while chunk.start < chunk.end {
                    failed(&mut chunk, Cause::Cancelled, out);
                }
            }
            Why::Complete | Why::Cancelled => {}
            // The item has ended of itself, but too late.
            Why::Failed(Cause::Timeout { .. }) if chunk.lose_try() => {}
            Why::Failed(cause) => failed(&mut chunk, cause, out),
            Why::Died { begun, cause } => {
                let cause = chunk.cause(cause);
                let lost_try = chunk.count_death(begun || was_in_hand, finished);
                match std::mem::take(&mut chunk.time_out) {
                    TimeOut::Reported => chunk.advance(1),
                    _ if lost_try && !chunk.lose_try() => {
                        failed(&mut chunk, cause, out);
                    }
                    _ => {}
                }
            }
            Why::Full => {
                chunk.in_hand = Some(incarnation);
                let min_serial = self.workers.serial_of(incarnation);
                chunk.audience = Audience { place: Some(worker.number()), min_serial };
            }
        }
        self.go_on(chunk, wanted, makes_room, out);
    }

    /// Handles the time-out of the worker that has the item behind the `finished` ones of the chunk
    /// in `slot` in hand: it can neither finish nor begin anything more. The item fails now, if it
    /// is not to be tried again; all else waits until the worker is reaped.
    pub(crate) fn timed_out(
        &mut self,
        slot: SlotIndex,
        worker: WorkerId,
        finished: u32,
        out: &mut Vec<Action>,
    ) {
        let Some(SlotUse::Published(chunk)) = self.slots.get_mut(slot.index()) else { return };
        let Some(limit) = chunk.limit.filter(|_| chunk.time_out == TimeOut::None) else { return };
        if finished >= chunk.end - chunk.start {
            return; // a scribbled board
        }
        let mut item = chunk.clone();
        item.advance(finished);
        if item.lose_try() {
            chunk.time_out = TimeOut::Retried;
            return;
        }
        chunk.time_out = TimeOut::Reported;
        let job = chunk.job;
        let delivery = item.fail(worker, Cause::Timeout { limit });
        if self.is_open(job) {
            out.push(Action::Deliver { job, delivery });
        }
    }

    /// Queues what is left of a chunk, or frees its block. `makes_room`: it goes on behind the
    /// chunks that wait, not before them.
    pub(super) fn go_on(
        &mut self,
        chunk: Chunk,
        wanted: bool,
        makes_room: bool,
        out: &mut Vec<Action>,
    ) {
        if chunk.start == chunk.end || (!wanted && chunk.in_hand.is_none()) {
            self.finish(chunk.ended(), out);
        } else if let Some(incarnation) = chunk.in_hand
            && wanted
        {
            self.held.push(chunk);
            self.admit_held();
            out.push(Action::MakeRoom { incarnation });
        } else if chunk.in_hand.is_some() {
            self.queue.push_front(chunk);
        } else if makes_room {
            self.queue.push_back(chunk);
        } else {
            self.put_back(chunk);
        }
        self.dispatch(out);
    }
}
