//! Reads a batch, value by value.
//!
//! Invariant: no offset of the block is believed before it was compared with the block's length,
//! and no byte of a value before it was checked, in place or in a private copy. Code that is lent a
//! value in a block is counted ([`Exclusive`]), so that no fork carries the reference into a
//! process without that block.

use std::marker::PhantomData;

use pool_shm::Exclusive;

use super::{head_len, is_fixed};
use crate::{
    AlignedBytes, Decoder, Wire, WireFault, view_bytes,
    wire::{is_scalar, view_fixed},
};

/// Reads the values of a block that was published, or of a private copy of it.
///
/// Copies of the reader read the same block.
#[derive(Debug)]
pub struct BatchReader<T> {
    base: *const u8,
    room: usize,
    capacity: usize,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for BatchReader<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for BatchReader<T> {}

impl<T: Wire> BatchReader<T> {
    /// Reads a batch that was begun with `capacity` values in the block of `room` bytes at `base`.
    ///
    /// Every offset is checked against `room`; a wrong one is [`WireFault::Invalid`].
    ///
    /// # Safety
    ///
    /// `base` is aligned to [`AlignedBytes::ALIGN`]; `base..base + room` is mapped and readable
    /// while the reader or a copy of it lives. Values that are read in place ([`view`](Self::view),
    /// [`decode`](Self::decode)) do not change while they are read: a caller that cannot promise
    /// that for another process uses only [`extent`](Self::extent) and
    /// [`decode_copied`](Self::decode_copied).
    #[must_use]
    pub unsafe fn new(base: *const u8, room: usize, capacity: usize) -> Self {
        debug_assert!(base.addr().is_multiple_of(AlignedBytes::ALIGN) && !base.is_null());
        Self { base, room, capacity, values: PhantomData }
    }

    /// The base of the block.
    #[must_use]
    pub fn base(&self) -> *const u8 {
        self.base
    }

    /// How many values the batch was begun for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where value `index` lies in the block: its first byte and the byte behind it.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when that is outside the block.
    #[inline]
    pub fn extent(&self, index: usize) -> Result<(usize, usize), WireFault> {
        match self.find(index) {
            Some((start, end)) if start <= end && end <= self.room => Ok((start, end)),
            _ => Err(WireFault::Invalid),
        }
    }

    #[inline]
    fn find(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.capacity {
            return None;
        }
        if is_fixed::<T>() {
            let start = index.checked_mul(size_of::<T>())?;
            return Some((start, start.checked_add(size_of::<T>())?));
        }
        let head = head_len::<T>(self.capacity);
        if head > self.room {
            return None;
        }
        // SAFETY: `index < capacity`, and the table of `capacity` entries lies within the block.
        let entry = |index| unsafe { self.entry(index) };
        let start = if index == 0 { head } else { entry(index - 1) };
        (head <= start).then(|| (start, entry(index)))
    }

    /// Lends value `index` to `read`, in place and checked.
    ///
    /// Counts among the [`exclusive_borrows`](pool_shm::exclusive_borrows) of the thread while
    /// `read` runs: no fork keeps the block for its child, where other memory may lie at that
    /// address.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    #[inline]
    pub fn view<R>(
        &self,
        index: usize,
        read: impl FnOnce(&T::Archived) -> R,
    ) -> Result<R, WireFault> {
        let _lent = Exclusive::begin();
        Ok(read(self.find_archive(index)?))
    }

    /// Returns the archive of value `index`, checked. The caller hands the reference to no user's
    /// code, or counts it, or has the block in memory that a fork copies.
    #[inline]
    fn find_archive(&self, index: usize) -> Result<&T::Archived, WireFault> {
        let bytes = self.find_bytes(index)?;
        if is_fixed::<T>() { view_fixed::<T>(bytes) } else { view_bytes::<T>(bytes) }
    }

    /// The bytes of value `index`, not yet checked.
    #[inline]
    fn find_bytes(&self, index: usize) -> Result<&[u8], WireFault> {
        let (start, end) = self.extent(index)?;
        // SAFETY: within the block (`extent`), which is readable and does not change (`new`).
        Ok(unsafe { std::slice::from_raw_parts(self.base.add(start), end - start) })
    }

    /// Decodes value `index` from where it lies. The block must not be written any more, and its
    /// process must be trusted.
    ///
    /// Counts among the [`exclusive_borrows`](pool_shm::exclusive_borrows) of the thread while the
    /// type's own code runs, like [`view`](Self::view).
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    #[inline]
    pub fn decode(&self, index: usize, decoder: &mut Decoder) -> Result<T, WireFault> {
        // A scalar has no code in which a fork could be.
        let _lent = (!is_scalar::<T>()).then(Exclusive::begin);
        self.decode_private(index, decoder)
    }

    /// Decodes value `index` of a block in memory that a fork copies: nothing is counted.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    #[inline]
    pub fn decode_private(&self, index: usize, decoder: &mut Decoder) -> Result<T, WireFault> {
        let bytes = self.find_bytes(index)?;
        if is_fixed::<T>() { decoder.build(view_fixed::<T>(bytes)?) } else { decoder.decode(bytes) }
    }

    /// Decodes values `0..count`, which are private, one after the other, and appends what
    /// `made_of` makes of each to `out`. Works like [`decode_private`](Self::decode_private) for
    /// every index, but makes the checks that all values share only once.
    ///
    /// After a panic of a type's own code, or of `made_of`, the values made so far are in `out` or
    /// leaked.
    #[inline]
    pub fn decode_all<U>(
        &self,
        count: usize,
        decoder: &mut Decoder,
        out: &mut Vec<U>,
        mut made_of: impl FnMut(usize, Result<T, WireFault>) -> Option<U>,
    ) {
        let size = count.saturating_mul(size_of::<T>());
        if !is_fixed::<T>() || size_of::<T>() == 0 || count > self.capacity || size > self.room {
            let mut decode = |index| made_of(index, self.decode_private(index, decoder));
            return out.extend((0..count).filter_map(&mut decode));
        }
        out.reserve(count);
        let (first, mut len) = (out.as_mut_ptr(), out.len());
        // SAFETY: within the block (checked just now), which is readable (`new`).
        let bytes = unsafe { std::slice::from_raw_parts(self.base, size) };
        for (index, archive) in bytes.chunks_exact(size_of::<T>()).enumerate() {
            let value = view_fixed::<T>(archive).and_then(|archived| decoder.build(archived));
            if let Some(made) = made_of(index, value) {
                // SAFETY: room for `count` values was reserved, and this is not one more. (A
                // `push` compares and writes the length each time.)
                unsafe { first.add(len).write(made) };
                len += 1;
            }
        }
        // SAFETY: that many values are there, each written above or there before.
        unsafe { out.set_len(len) };
    }

    /// Decodes value `index` from a private copy made in `scratch` before the check: right whatever
    /// another process writes into the block meanwhile.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    pub fn decode_copied(
        &self,
        index: usize,
        scratch: &mut AlignedBytes,
        decoder: &mut Decoder,
    ) -> Result<T, WireFault> {
        let (start, end) = self.extent(index)?;
        let skew = start % AlignedBytes::ALIGN;
        // SAFETY: within the block, which is readable (`new`).
        unsafe { scratch.copy_from(self.base.add(start), end - start, skew) };
        decoder.decode(&scratch[skew..])
    }

    /// # Safety
    ///
    /// The block has an entry `index`.
    #[inline]
    unsafe fn entry(&self, index: usize) -> usize {
        // SAFETY: within the block (promised), which is aligned and readable (`new`); volatile,
        // since a faulty writer may change it at any time.
        unsafe { self.base.cast::<usize>().add(index).read_volatile() }
    }
}
