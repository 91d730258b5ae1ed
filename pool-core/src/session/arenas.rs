//! The arenas of workers as the parent reads them, and the segments of handles in blocks.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use pool_ipc::{AlignedBytes, Block, Manifest, board::Incarnation, board::SlotIndex};
use pool_shm::{Mapping, SharedSegment};

use crate::{
    error::{Error, OrResources},
    ids::WorkerId,
    segments::SegmentClient,
};

/// The segments that blocks of items and results in slots need.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    /// Segments of items and contexts, by the offset of their block.
    of_blocks: BTreeMap<u64, Carried>,
    /// Slots with results that need segments, and the incarnations that have made them.
    of_slots: BTreeMap<SlotIndex, Incarnation>,
}

impl OnTheWay {
    pub(super) fn keep(&mut self, block: Block, carried: Carried) {
        self.of_blocks.insert(block.offset, carried);
    }

    /// The manifest of the segments that the block at `offset` of the arena needs.
    #[inline]
    pub(super) fn manifest(&self, offset: u64) -> Option<Manifest> {
        if self.of_blocks.is_empty() { None } else { self.find(offset) }
    }

    #[cold]
    fn find(&self, offset: u64) -> Option<Manifest> {
        self.of_blocks.get(&offset).map(|carried| carried.0)
    }

    /// Lets go of the segments of a block that is free.
    #[inline]
    pub(super) fn release_block(&mut self, block: Block) {
        if !self.of_blocks.is_empty() {
            self.of_blocks.remove(&block.offset);
        }
    }

    /// Lets go of what tells of the presence of endpoints in the block at this offset, which no
    /// other worker will read.
    #[inline]
    pub(super) fn release_presences(&mut self, offset: u64) {
        if let Some((_, segments)) = self.of_blocks.get_mut(&offset) {
            segments.retain(|segment| !segment.is_presence());
        }
    }

    /// Whether items or contexts hold endpoints of channels.
    pub(super) fn any_presence(&self) -> bool {
        self.of_blocks.values().flat_map(|carried| &carried.1).any(SharedSegment::is_presence)
    }

    /// Whether results in a slot need segments.
    #[inline]
    pub(super) fn any_results(&self) -> bool {
        !self.of_slots.is_empty()
    }

    /// Forgets a slot that is free; answers with the incarnation whose segments its results needed.
    pub(super) fn left(&mut self, slot: SlotIndex) -> Option<Incarnation> {
        self.of_slots.remove(&slot)
    }

    /// Notes that the results in the slot need segments of this incarnation.
    #[cold]
    pub(super) fn came(&mut self, slot: SlotIndex, incarnation: Incarnation) {
        self.of_slots.insert(slot, incarnation);
    }
}

/// A message's manifest, and the segments that it lists.
pub(crate) type Carried = (Manifest, Vec<SharedSegment>);

/// The arena of a worker, as the parent reads it.
#[derive(Debug)]
pub(super) struct WorkerArena {
    mapping: Mapping,
    /// The worker that writes to it.
    pub(super) worker: WorkerId,
    pub(super) incarnation: Incarnation,
    /// Most bytes that one block of it can have.
    pub(super) limit: u64,
    /// The broker that releases a dead worker's segments when the last result was read.
    broker: OnceLock<Arc<SegmentClient>>,
    /// While a reference to it is left, no other worker gets this incarnation. Dropped after the
    /// release.
    pub(super) held: Arc<()>,
}

impl WorkerArena {
    pub(super) fn new(
        mapping: Mapping,
        worker: WorkerId,
        incarnation: Incarnation,
        limit: u64,
    ) -> Self {
        Self { mapping, worker, incarnation, limit, broker: OnceLock::new(), held: Arc::new(()) }
    }

    /// A private copy of `len` bytes at `offset`, if they lie in it and are at most `most`.
    pub(super) fn copy(&self, offset: u64, len: u64, most: u64) -> Option<AlignedBytes> {
        if len > most || offset.checked_add(len)? > self.len() as u64 {
            return None;
        }
        let mut bytes = AlignedBytes::new();
        // SAFETY: the range lies within the mapping (checked above), which `self` holds.
        unsafe { bytes.copy_from(self.as_ptr().add(offset as usize), len as usize, 0) };
        Some(bytes)
    }

    /// Has the broker release the dead worker's segments when the last result was read.
    pub(super) fn release_owner_at_end(&self, broker: Arc<SegmentClient>) {
        let _ = self.broker.set(broker);
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
        if let Some(broker) = self.broker.get() {
            broker.release_owner(self.incarnation);
        }
    }
}

/// Address space for each arena of a set of `n_jobs`, or why there is too little.
pub(crate) fn reservation(n_jobs: usize, asked: Option<u64>) -> Result<u64, Error> {
    pool_ipc::reservation(n_jobs + 1, asked)
        .or_resources("reserving address space for the pool's arenas")
}
