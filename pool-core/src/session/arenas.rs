//! The arenas of workers as the parent reads them, and the segments of handles in blocks.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use pool_ipc::{AlignedBytes, Block, Manifest};
use pool_shm::{Mapping, SharedSegment};

use crate::{
    error::{Error, OrResources},
    segments::BrokerLink,
};

/// What the state knows of segments.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    /// Of items and contexts, by the place of their block.
    of_blocks: BTreeMap<u64, Carried>,
    /// Slots with results that need segments, and the incarnations that have made them.
    of_slots: BTreeMap<usize, u32>,
}

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

    /// Whether results in a slot need segments.
    #[inline]
    pub(super) fn any_results(&self) -> bool {
        !self.of_slots.is_empty()
    }

    /// The slot is free: the incarnation whose segments its results needed, if they did.
    pub(super) fn left(&mut self, slot: usize) -> Option<u32> {
        self.of_slots.remove(&slot)
    }

    /// The results in the slot need segments.
    #[cold]
    pub(super) fn came(&mut self, slot: usize, incarnation: u32) {
        self.of_slots.insert(slot, incarnation);
    }
}

/// The segments of a message, and where it says so.
pub(crate) type Carried = (Manifest, Vec<SharedSegment>);

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
    pub(super) fn release_owner_at_end(&self, broker: Arc<BrokerLink>) {
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
            broker.release_owner(self.incarnation);
        }
    }
}

/// Address space for each arena of a set of `n_jobs`, or why there is too little.
pub(crate) fn reservation(n_jobs: usize, asked: Option<u64>) -> Result<u64, Error> {
    pool_ipc::reservation(n_jobs + 1, asked).or_resources("address space for the pool's arenas")
}
