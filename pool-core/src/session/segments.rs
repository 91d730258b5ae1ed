//! Segments of handles on their way: what the parent keeps for workers, and what workers keep for
//! the parent.
//!
//! Invariant: the segments of items are kept as long as the block of the items is, those of a
//! context as long as its block. A worker that keeps segments for results is told when those were
//! read, and what a dead worker has left behind is given up then.

use std::sync::Arc;

use pool_ipc::{Block, SegmentBroker};

use super::{
    arenas::Carried,
    state::{Session, SessionState},
};
use crate::segments::BrokerLink;

impl Session {
    /// Keeps the segments of a chunk's items, which is submitted next.
    pub(crate) fn keep_segments(&self, block: Block, carried: Carried) {
        self.lock().on_the_way.keep(block, carried);
    }

    /// Gives a slot back on the board.
    #[inline]
    pub(super) fn release_slot(&self, state: &mut SessionState, slot: usize) {
        self.board.release(slot);
        if state.on_the_way.any_results() {
            self.tell_owner(state, slot);
        }
    }

    #[cold]
    fn tell_owner(&self, state: &mut SessionState, slot: usize) {
        let owner = state.on_the_way.left(slot);
        if let Some(place) = owner.and_then(|owner| state.engine.workers.place_of(owner)) {
            self.board.notify(place);
        }
    }

    /// Who leads to segments.
    pub(crate) fn broker(&self) -> Arc<dyn SegmentBroker> {
        Arc::<BrokerLink>::clone(&self.broker)
    }
}
