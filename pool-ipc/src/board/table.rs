//! The board as a value: the pieces of its memory, found once.
//!
//! Invariant: the references live as long as the mapping that the board holds, and point to atomics
//! only, so any mixture of processes may hold them.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use super::layout::{Header, Row, Shape, Slot};
use crate::primitive::AtomicU32;

/// A task board in shared memory. Clones see the same board.
#[derive(Clone)]
pub struct Board {
    pub(super) header: &'static Header,
    pub(super) rows: &'static [Row],
    pub(super) slots: &'static [Slot],
    /// For each place a ring of as many entries as there are slots, and one for publications.
    pub(super) rings: &'static [AtomicU32],
    /// The publisher's own count of its publications, in private memory: the one on the board lies
    /// in a line that waiting claimers read.
    pub(super) published: Arc<AtomicU64>,
    #[cfg(not(loom))]
    _mapping: Arc<pool_shm::Mapping>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("shape", &self.shape()).finish_non_exhaustive()
    }
}

impl Board {
    /// How many rows and slots there are.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { places: self.rows.len(), slots: self.slots.len() }
    }

    pub(super) fn ring(&self, place: usize) -> &'static [AtomicU32] {
        let slots = self.slots.len();
        &self.rings[place * slots..(place + 1) * slots]
    }

    /// The slots in the order of their publication, the latest at the count of publications.
    pub(super) fn publications(&self) -> &'static [AtomicU32] {
        self.ring(self.rows.len())
    }

    /// The board in `mapping`, whose memory is zeroed or already a board of this shape.
    ///
    /// # Panics
    ///
    /// When the mapping is read-only or smaller than the shape, or the shape has no place or slot,
    /// more than [`MAX_PLACES`](super::MAX_PLACES), or 2^31 slots.
    #[cfg(not(loom))]
    #[must_use]
    pub fn new(mapping: Arc<pool_shm::Mapping>, shape: Shape) -> Self {
        assert!(shape.places > 0 && shape.places <= super::MAX_PLACES, "1 to 4096 places");
        assert!(shape.slots > 0 && shape.slots < 1 << 31, "1 to 2^31 slots");
        assert!(mapping.is_writable(), "all processes write to a board");
        assert!(mapping.len() >= shape.bytes(), "the mapping is smaller than the board");
        let base = mapping.as_ptr();
        // SAFETY: within the mapping (asserted), whose base is page-aligned; atomics are valid for
        // any bytes and may be written by other processes. The mapping is held by this value and by
        // every clone, and no method hands a reference out.
        unsafe {
            let header: &Header = &*base.cast();
            Self {
                header,
                published: Arc::new(AtomicU64::new(
                    header.published.load(std::sync::atomic::Ordering::Relaxed),
                )),
                rows: std::slice::from_raw_parts(
                    base.add(size_of::<Header>()).cast(),
                    shape.places,
                ),
                slots: std::slice::from_raw_parts(
                    base.add(shape.slots_offset()).cast(),
                    shape.slots,
                ),
                rings: std::slice::from_raw_parts(
                    base.add(shape.rings_offset()).cast(),
                    (shape.places + 1) * shape.slots,
                ),
                _mapping: mapping,
            }
        }
    }

    /// A board in private memory that is never freed, for model checking.
    #[cfg(loom)]
    #[must_use]
    pub fn leaked(shape: Shape) -> Self {
        super::model::leaked(shape)
    }
}
