//! A slice of numbers in shared memory.
//!
//! Invariant: `base` is the first of `len` elements within `block`, and all of them stay mapped and
//! writable while `block` lives.

use std::{
    fmt,
    ops::{Bound, RangeBounds},
    ptr::NonNull,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{Element, Iter, cell::Cell, lent::First};
use crate::{Block, Error, Kind, SegmentFault, Shape, SharedSegment};

/// A slice of numbers that several processes read and write at once, without a lock.
///
/// This is a handle: a clone of it, a handle that was sent to another process, and one inherited by
/// a forked child all name the same elements, which live as long as any of them. Its length never
/// changes.
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::SharedArray;
///
/// let array = SharedArray::<f32>::new(4)?; // zeroed
/// array.set(0, 1.5);
/// array.slice(1..3).fill(2.0); // a handle to a part
/// array.fetch_add(2, 0.5);
/// assert_eq!(array.to_vec(), [1.5, 2.0, 2.5, 0.0]);
/// assert_eq!(array.try_get(4), None);
/// # Ok::<(), pool_shm::Error>(())
/// ```
///
/// # What others see, and when
///
/// An element is always read as a value that was written as a whole. `get`, `set`, iteration, and
/// the functions for many elements (`to_vec`, `copy_from_slice`, `copy_to_slice`, `fill`) are
/// *relaxed*: others see the writes soon, but in no particular order. The operations that read and
/// write one element (`swap`, `fetch_add`, `compare_exchange`, …) are *acquire* and *release*: a
/// thread that reads by one of them what another one wrote sees everything written before that.
///
/// Between tasks of a pool nothing of this matters: a task sees everything written before it was
/// handed over, and everything it wrote is there when its result arrives. Locks and channels order
/// accesses in the same way.
///
/// # Speed
///
/// `get` and `set` are one load or store each, but the compiler never joins them into vector
/// instructions. That counts for data in cache, and where the same loop over a slice would be all
/// vectors. Of 64 MiB of `f32`, a loop with `set` takes as long as one over a slice, or is up to
/// 1.5 times slower: writing a constant, `index as f32`, or twice the value of `get`. Two loops are
/// about twice as slow: converting an index of 32 bits, and copying one by one from a slice, which
/// the compiler makes a `memcpy` of if it can.
///
/// Where it matters work on a private copy: `copy_to_slice` and `copy_from_slice` are about as fast
/// as `memcpy`, also on a [`slice`](Self::slice) of the array, and [`fill_with`](Self::fill_with)
/// does so by itself. A pool's `slices_mut` gives plain slices.
pub struct SharedArray<T: Element> {
    pub(super) block: Block,
    pub(super) base: NonNull<T>,
    pub(super) len: usize,
    /// The counter of the handle that made the array, and of its clones.
    pub(super) first: Option<Arc<First>>,
}

// SAFETY: the elements are accessed atomically, from whatever thread; `block` is `Send` and `Sync`
// itself.
unsafe impl<T: Element> Send for SharedArray<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for SharedArray<T> {}

impl<T: Element> SharedArray<T> {
    /// A fresh array of `len` zeros.
    ///
    /// Its memory is taken page by page when it is written first.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if there cannot be so many elements, [`Error::Os`] when descriptors or
    /// address space are used up: an array of more than 256 KiB takes one descriptor, smaller ones
    /// share some.
    pub fn new(len: usize) -> Result<Self, Error> {
        let first = First::now();
        let block = Block::new(Shape { kind: Kind::Array, element: T::TYPE, len })?;
        Ok(Self { base: block.as_ptr().cast(), block, len, first })
    }

    /// A fresh array with a copy of these elements.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub fn from_slice(elements: &[T]) -> Result<Self, Error> {
        let array = Self::new(elements.len())?;
        array.copy_from_slice(elements);
        Ok(array)
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let (block, len) = Block::open(segment, slot, Kind::Array, T::TYPE)?;
        Self::in_block(block, len, 0, len)
    }

    /// The array in a block that was checked to be one, of `whole` elements.
    pub(super) fn in_block(
        block: Block,
        whole: usize,
        start: usize,
        len: usize,
    ) -> Result<Self, SegmentFault> {
        if start.checked_add(len).is_none_or(|end| end > whole) {
            return Err(SegmentFault::OtherLength);
        }
        // SAFETY: at most `whole`, and the block has as many elements.
        let base = unsafe { block.as_ptr().cast::<T>().add(start) };
        Ok(Self { block, base, len, first: None })
    }

    /// How many elements there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `index`.
    ///
    /// # Panics
    ///
    /// If there is none. All functions that take an index panic then, but for those that begin with
    /// `try`.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn get(&self, index: usize) -> T {
        self.cell(index).load(Relaxed)
    }

    /// The element at `index`, if there is one.
    #[inline]
    #[must_use]
    pub fn try_get(&self, index: usize) -> Option<T> {
        Some(self.try_cell(index)?.load(Relaxed))
    }

    /// Writes the element at `index`.
    #[inline]
    #[track_caller]
    pub fn set(&self, index: usize, value: T) {
        self.cell(index).store(value, Relaxed);
    }

    /// Writes the element at `index`, if there is one.
    #[inline]
    #[must_use = "nothing was written if there is no such element"]
    pub fn try_set(&self, index: usize, value: T) -> Option<()> {
        self.try_cell(index)?.store(value, Relaxed);
        Some(())
    }

    /// Writes the element at `index` and returns the value from before.
    #[inline]
    #[track_caller]
    pub fn swap(&self, index: usize, value: T) -> T {
        self.cell(index).swap(value)
    }

    /// Writes `new` to the element at `index` if it is `current`; returns the value from before, as
    /// an error if it was something else.
    ///
    /// Floats are compared by their bits: a NaN is equal to the same NaN, and 0.0 is not -0.0.
    ///
    /// # Errors
    ///
    /// The value that was there instead of `current`.
    #[inline]
    #[track_caller]
    pub fn compare_exchange(&self, index: usize, current: T, new: T) -> Result<T, T> {
        self.cell(index).compare_exchange(current, new)
    }

    /// Replaces the element at `index` by what `change` makes of it, and returns the value from
    /// before. `change` is called again whenever another thread was faster.
    ///
    /// # Errors
    ///
    /// The value for which `change` gave `None`.
    #[inline]
    #[track_caller]
    pub fn fetch_update(&self, index: usize, change: impl FnMut(T) -> Option<T>) -> Result<T, T> {
        self.cell(index).fetch_update(change)
    }

    /// All elements in order, each read when it is asked for.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// A handle to a part of the elements. It keeps all of them alive.
    ///
    /// # Panics
    ///
    /// If the range does not lie within the array.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(start) => Some(*start),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => Some(self.len),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= self.len => {
                // SAFETY: `start` is at most `len`.
                let base = unsafe { self.base.add(start) };
                Self { base, len: end - start, ..self.clone() }
            }
            _ => panic!(
                "the range {:?}..{:?} does not lie within an array of {} elements",
                range.start_bound(),
                range.end_bound(),
                self.len
            ),
        }
    }

    /// Whether both are handles to the very same elements.
    #[must_use]
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.block == other.block && self.start() == other.start() && self.len == other.len
    }

    /// The elements as a slice.
    ///
    /// # Panics
    ///
    /// For `bool`, if another process wrote bytes that are neither 0 nor 1.
    ///
    /// # Safety
    ///
    /// While the slice is used no thread of any process writes these elements.
    #[must_use]
    pub unsafe fn as_slice(&self) -> &[T] {
        // SAFETY: `len` elements, which no thread writes, as the caller promised.
        let bits =
            unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast::<T::Bits>(), self.len) };
        assert!(T::are_plain(bits), "another process wrote bytes that are no `bool`");
        // SAFETY: as above, and all of them are values.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The elements as a slice to write to.
    ///
    /// # Panics
    ///
    /// For `bool`, if another process wrote bytes that are neither 0 nor 1.
    ///
    /// # Safety
    ///
    /// While the slice is used no other code reads or writes these elements, in any thread of any
    /// process. While code that is not your own can reach the slice, an
    /// [`Exclusive`](crate::Exclusive) must say so: a fork would break the promise.
    #[must_use]
    #[expect(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
    pub unsafe fn as_mut_slice(&self) -> &mut [T] {
        // SAFETY: as the caller promised; the slice is not used any more when the other one is
        // made.
        let _ = unsafe { self.as_slice() };
        // SAFETY: `len` elements that the caller alone has.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }

    /// The memory behind it.
    #[must_use]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Elements of the block before the first one.
    pub(super) fn start(&self) -> usize {
        (self.base.addr().get() - self.block.as_ptr().addr().get()) / size_of::<T>()
    }

    #[inline]
    fn try_cell(&self, index: usize) -> Option<Cell<T>> {
        // SAFETY: the element lies within the block, which `self` keeps; all others access it in
        // the same way, but for callers that promised to be alone.
        (index < self.len).then(|| unsafe { Cell::at(self.base.add(index)) })
    }

    #[inline]
    #[track_caller]
    pub(super) fn cell(&self, index: usize) -> Cell<T> {
        match self.try_cell(index) {
            Some(cell) => cell,
            None => no_such_element(index, self.len),
        }
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_such_element(index: usize, len: usize) -> ! {
    panic!("index out of bounds: the array has {len} elements but the index is {index}")
}

/// Another handle to the same elements.
impl<T: Element> Clone for SharedArray<T> {
    fn clone(&self) -> Self {
        let (block, first) = (self.block.clone(), self.first.clone());
        Self { block, base: self.base, len: self.len, first }
    }
}

/// Prints the first elements, and how many more there are.
impl<T: Element> fmt::Debug for SharedArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let mut list = f.debug_list();
        list.entries(self.iter().take(SHOWN));
        if let more @ 1.. = self.len.saturating_sub(SHOWN) {
            list.entry(&format_args!("and {more} more"));
        }
        list.finish()
    }
}
