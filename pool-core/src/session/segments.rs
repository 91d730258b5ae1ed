//! Segments of handles on their way: what the parent keeps for workers, and what workers keep for the parent.
//!
//! Invariant: the segments of items are kept as long as the block of the items is, those of a context as long as its block. A worker that
//! keeps segments for results is told when those were read, and what a dead worker has left behind is given up then.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use pool_ipc::{AlignedBytes, Block, Manifest, SegmentBroker};
use pool_shm::{Mapping, SharedSegment};

use super::hub::{Hub, Session};
use crate::broker::BrokerLink;

/// What the hub knows of segments.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    /// Of items and contexts, by the place of their block.
    of_blocks: BTreeMap<u64, Carried>,
    /// Slots with results that need segments, and the incarnations that have made them.
    of_slots: BTreeMap<usize, u32>,
}

/// The segments of a message, and where it says so.
pub(crate) type Carried = (Manifest, Vec<SharedSegment>);

impl OnTheWay {
    pub(super) fn keep(&mut self, block: Block, carried: Carried) {
        self.of_blocks.insert(block.offset, carried);
    }

    /// What the block at `offset` of the arena needs.
    #[inline]
    pub(super) fn manifest(&self, offset: u64) -> Option<Manifest> {
        if self.of_blocks.is_empty() { None } else { self.find(offset) }
    }

    #[cold]
    fn find(&self, offset: u64) -> Option<Manifest> {
        self.of_blocks.get(&offset).map(|carried| carried.0)
    }

    /// The block is free.
    #[inline]
    pub(super) fn let_go(&mut self, block: Block) {
        if !self.of_blocks.is_empty() {
            self.of_blocks.remove(&block.offset);
        }
    }

    /// The results in the slot need segments.
    #[cold]
    pub(super) fn came(&mut self, slot: usize, incarnation: u32) {
        self.of_slots.insert(slot, incarnation);
    }
}

impl Session {
    /// Keeps the segments of a chunk's items, which is submitted next.
    pub(crate) fn keep_segments(&self, block: Block, carried: Carried) {
        self.lock().on_the_way.keep(block, carried);
    }

    /// Gives a slot back on the board.
    #[inline]
    pub(super) fn release_slot(&self, hub: &mut Hub, slot: usize) {
        self.board.release(slot);
        if !hub.on_the_way.of_slots.is_empty() {
            self.tell_owner(hub, slot);
        }
    }

    #[cold]
    fn tell_owner(&self, hub: &mut Hub, slot: usize) {
        let owner = hub.on_the_way.of_slots.remove(&slot);
        if let Some(place) = owner.and_then(|owner| hub.engine.place_of(owner)) {
            self.board.nudge(place);
        }
    }

    /// Who leads to segments.
    pub(crate) fn broker(&self) -> Arc<dyn SegmentBroker> {
        Arc::<BrokerLink>::clone(&self.broker)
    }
}

/// The arena of a worker, as the parent reads it.
#[derive(Debug)]
pub(super) struct WorkerArena {
    mapping: Mapping,
    /// Whose it is.
    pub(super) place: u32,
    pub(super) incarnation: u32,
    /// Bytes that a block of it can have.
    pub(super) limit: u64,
    /// Who is to be told when the last result was read, of a worker that is dead.
    told: OnceLock<Arc<BrokerLink>>,
    /// While there is a reference to it, no other worker gets the name. Dropped after that was
    /// told.
    pub(super) held: Arc<()>,
}

impl WorkerArena {
    pub(super) fn new(mapping: Mapping, place: u32, incarnation: u32, limit: u64) -> Self {
        Self { mapping, place, incarnation, limit, told: OnceLock::new(), held: Arc::new(()) }
    }

    /// A private copy of `len` bytes at `offset`, if they lie in it and are at most `most`.
    pub(super) fn copy(&self, offset: u64, len: u64, most: u64) -> Option<AlignedBytes> {
        if len > most || offset.checked_add(len)? > self.len() as u64 {
            return None;
        }
        let mut bytes = AlignedBytes::new();
        // SAFETY: within the mapping (checked), which is held here.
        unsafe { bytes.copy_from(self.as_ptr().add(offset as usize), len as usize, 0) };
        Some(bytes)
    }

    /// Gives up what the dead worker has left behind, with the last result.
    pub(super) fn disown_at_end(&self, broker: Arc<BrokerLink>) {
        let _ = self.told.set(broker);
    }
}

impl Deref for WorkerArena {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}

impl Drop for WorkerArena {
    fn drop(&mut self) {
        if let Some(broker) = self.told.get() {
            broker.disown(self.incarnation);
        }
    }
}
