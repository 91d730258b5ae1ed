//! The memory of the times of workers, behind the board and the rings of logs in the same segment,
//! so that each process that has the board has it, too. A pool without insights has none.

use std::sync::Arc;

use pool_ipc::board::{Incarnation, Progress, SlotState};
use pool_shm::Mapping;

use super::state::{Session, SessionState};
use crate::{
    ids::WorkerId,
    insights::{Collection, InsightsArea, OpenArea},
};

/// Where the memory lies.
pub(super) struct InsightsPlace<'p> {
    /// Bytes before it.
    before: usize,
    collection: Option<&'p Collection>,
}

impl<'p> InsightsPlace<'p> {
    /// Behind so many bytes.
    pub(super) fn behind(before: usize, collection: Option<&'p Collection>) -> Self {
        Self { before, collection }
    }

    /// Where it begins; 0: there is none.
    pub(super) fn offset(&self) -> u64 {
        // A page of its own, so that no other memory is touched with it.
        if self.collection.is_some() { self.before.next_multiple_of(4096) as u64 } else { 0 }
    }

    /// Bytes of the segment up to its end.
    pub(super) fn end(&self) -> usize {
        let bytes = |collection: &Collection| self.offset() as usize + collection.shape().bytes();
        self.collection.map_or(self.before, bytes)
    }

    /// Makes the area in the mapping, whose memory is zero.
    pub(super) fn open(&self, board: &Arc<Mapping>) -> Option<OpenArea> {
        let collection = self.collection?;
        let (offset, shape) = (self.offset() as usize, collection.shape());
        Some(collection.open(InsightsArea::create(board.clone(), offset, shape)))
    }
}

impl Session {
    /// Notes that a worker is about to be started.
    pub(super) fn time_start(&self, worker: WorkerId) {
        if let Some(insights) = &self.insights {
            insights.area().worker_ordered(worker.index());
        }
    }

    /// Notes that a worker could not be started, or closes its times when it was reaped.
    pub(super) fn time_end(&self, state: &SessionState, incarnation: Incarnation, raw: i32) {
        let (Some(insights), Some(worker)) =
            (&self.insights, state.engine.workers.worker_of(incarnation))
        else {
            return;
        };
        // What it has finished of a chunk that it had, of which it may not have told.
        let finished = state.engine.published().find_map(|(slot, _)| {
            let is_its_own = self.board.slot_state(slot) == SlotState::Claimed(incarnation);
            let Progress { finished, .. } = self.board.outcome(slot).progress;
            is_its_own.then_some(u64::from(finished))
        });
        insights.area().worker_ended(worker.index(), raw, finished);
    }
}
