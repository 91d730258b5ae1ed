//! Segments of handles on their way: what the parent keeps for workers, and what workers keep for the parent.
//!
//! Invariant: the segments of items are kept as long as the block of the items is, those of a context as long as its block. A worker that
//! keeps segments for results is told when those were read, and what a dead worker has left behind is given up then.

use std::sync::Arc;

use pool_ipc::{Block, SegmentBroker};

use super::{
    arenas::Carried,
    state::{Hub, Session},
};
use crate::segments::BrokerLink;

impl Session {
    /// Keeps the segments of a chunk's items, which is submitted next.
    pub(crate) fn keep_segments(&self, block: Block, carried: Carried) {
        self.lock().on_the_way.keep(block, carried);
    }

    /// Gives a slot back on the board.
    #[inline]
    pub(super) fn release_slot(&self, hub: &mut Hub, slot: usize) {
        self.board.release(slot);
        if hub.on_the_way.any_results() {
            self.tell_owner(hub, slot);
        }
    }

    #[cold]
    fn tell_owner(&self, hub: &mut Hub, slot: usize) {
        let owner = hub.on_the_way.left(slot);
        if let Some(place) = owner.and_then(|owner| hub.engine.workers.place_of(owner)) {
            self.board.nudge(place);
        }
    }

    /// Who leads to segments.
    pub(crate) fn broker(&self) -> Arc<dyn SegmentBroker> {
        Arc::<BrokerLink>::clone(&self.broker)
    }
}
