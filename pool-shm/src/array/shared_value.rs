//! One number in shared memory.
//!
//! Invariant: `place` is the one element of `block`, mapped and writable while `block` lives.

use std::{
    fmt,
    ptr::NonNull,
    sync::atomic::Ordering::{Acquire, Release},
};

use super::{Element, cell::Cell};
use crate::{Block, Error, Kind, SegmentFault, Shape, SharedSegment};

/// A number that several processes read and write at once, without a lock.
///
/// This is a handle: a clone of it, a handle that was sent to another process, and one inherited by
/// a forked child all name the same number, which lives as long as any of them.
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::SharedValue;
///
/// let hits = SharedValue::new(0u64)?;
/// let same = hits.clone();
/// std::thread::scope(|scope| {
///     scope.spawn(|| (0..1000).for_each(|_| drop(hits.fetch_add(1))));
///     scope.spawn(|| (0..1000).for_each(|_| drop(same.fetch_add(1))));
/// });
/// assert_eq!(hits.get(), 2000);
/// # Ok::<(), pool_shm::Error>(())
/// ```
///
/// `get` is an *acquire* and `set` a *release*, so that a value can say that something else is
/// ready: a thread that reads what another one wrote sees everything that was written before. The
/// operations that read and write (`swap`, `fetch_add`, …) are both.
pub struct SharedValue<T: Element> {
    block: Block,
    place: NonNull<T>,
}

// SAFETY: the number is accessed atomically, from whatever thread; `block` is `Send` and `Sync`
// itself.
unsafe impl<T: Element> Send for SharedValue<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for SharedValue<T> {}

impl<T: Element> SharedValue<T> {
    /// A fresh number.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up; many values share a descriptor.
    pub fn new(value: T) -> Result<Self, Error> {
        let block = Block::new(Shape { kind: Kind::Value, element: T::TYPE, len: 1 })?;
        let fresh = Self { place: block.as_ptr().cast(), block };
        fresh.set(value);
        Ok(fresh)
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let (block, len) = Block::open(segment, slot, Kind::Value, T::TYPE)?;
        Self::in_block(block, len)
    }

    /// The number in a block that was checked to be one.
    pub(super) fn in_block(block: Block, len: usize) -> Result<Self, SegmentFault> {
        if len != 1 {
            return Err(SegmentFault::OtherLength);
        }
        Ok(Self { place: block.as_ptr().cast(), block })
    }

    /// The number now.
    #[inline]
    #[must_use]
    pub fn get(&self) -> T {
        // Acquire: pairs with the Release in `set`, and with the operations that read and write.
        self.cell().load(Acquire)
    }

    /// Writes the number.
    #[inline]
    pub fn set(&self, value: T) {
        // Release: pairs with the Acquire in `get`, and with the operations that read and write.
        self.cell().store(value, Release);
    }

    /// Writes the number and returns the value from before.
    #[inline]
    pub fn swap(&self, value: T) -> T {
        self.cell().swap(value)
    }

    /// Writes `new` if the number is `current`; returns the value from before, as an error if it
    /// was something else.
    ///
    /// Floats are compared by their bits: a NaN is equal to the same NaN, and 0.0 is not -0.0.
    ///
    /// # Errors
    ///
    /// The number that was there instead of `current`.
    #[inline]
    pub fn compare_exchange(&self, current: T, new: T) -> Result<T, T> {
        self.cell().compare_exchange(current, new)
    }

    /// Replaces the number by what `change` makes of it, and returns the value from before.
    /// `change` is called again whenever another thread was faster.
    ///
    /// # Errors
    ///
    /// The number for which `change` gave `None`.
    #[inline]
    pub fn fetch_update(&self, change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        self.cell().fetch_update(change)
    }

    /// Whether both are handles to the very same number.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.block == other.block
    }

    /// The memory behind it.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    #[inline]
    pub(super) fn cell(&self) -> Cell<T> {
        // SAFETY: the element is all of the block, which `self` keeps; all others access it in the
        // same way.
        unsafe { Cell::at(self.place) }
    }
}

/// Another handle to the same number.
impl<T: Element> Clone for SharedValue<T> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), place: self.place }
    }
}

impl<T: Element> fmt::Debug for SharedValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedValue").field(&self.get()).finish()
    }
}
