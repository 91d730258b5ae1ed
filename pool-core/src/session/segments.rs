//! Segments of handles in flight: those that the parent keeps for workers, and those that workers
//! keep for the parent.
//!
//! Invariant: the parent keeps the segments of items as long as the block of the items, those of a
//! context as long as its block. A worker that keeps segments for results is told when the results
//! were read; the segments of a dead worker are released then.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use pool_ipc::{Block, SegmentBroker, board::SlotIndex};
use pool_shm::SharedSegment;

use super::{
    arenas::Carried,
    state::{Session, SessionState},
};
use crate::segments::SegmentClient;

impl Session {
    /// Keeps the segments of the items in a block, whose chunk is submitted next.
    pub(crate) fn keep_segments(&self, block: Block, carried: Carried) {
        self.note_endpoints(&carried);
        self.lock().on_the_way.keep(block, carried);
    }

    /// Notes whether endpoints of channels go to a worker.
    pub(super) fn note_endpoints(&self, (_, segments): &Carried) {
        if segments.iter().any(SharedSegment::is_presence) {
            // Relaxed: a hint, and the session's lock orders the rest.
            self.reports_matter.store(true, Relaxed);
        }
    }

    /// Releases a slot on the board, and tells the worker that keeps segments for its results.
    #[inline]
    pub(super) fn release_slot(&self, state: &mut SessionState, slot: SlotIndex) {
        self.board.release(slot);
        if state.on_the_way.any_results() {
            self.notify_owner(state, slot);
        }
    }

    #[cold]
    fn notify_owner(&self, state: &mut SessionState, slot: SlotIndex) {
        let owner = state.on_the_way.left(slot);
        if let Some(worker) = owner.and_then(|owner| state.engine.workers.worker_of(owner)) {
            self.board.notify(worker.index());
        }
    }

    /// The broker that fetches and announces the segments of handles.
    pub(crate) fn broker(&self) -> Arc<dyn SegmentBroker> {
        Arc::<SegmentClient>::clone(&self.broker)
    }
}
