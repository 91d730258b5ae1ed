//! Many values of one type side by side in one block, readable one by one.
//!
//! Two layouts, told apart by the type alone, so both sides agree without a word:
//!
//! * *fixed*: types whose archive has the very bytes of the value (`u64`, `[f32; 3]`, …) lie at
//!   multiples of their size;
//! * *table*: the block begins with one 64-bit end offset per value, archives follow. Value `k`
//!   lies between the ends of `k - 1` and `k`, its root at its end. Which segments the handles in
//!   the values need stands at the end of the block (`manifest.rs`).
//!
//! Invariant: what was written of values `0..k` is complete before anyone is told of `k`, and never
//! changes afterwards, so a reader may take the finished ones even if the writer died in the next.

use std::marker::PhantomData;

use rkyv::Archive;

use crate::{
    AlignedBytes, Decoder, Encoder, Manifest, Wire, WireFault, primitive::prefetch_for_reading,
    view_bytes, wire::view_fixed,
};

const ENTRY: usize = size_of::<u64>();

/// Whether values of `T` lie at multiples of their size.
#[must_use]
pub const fn is_fixed<T: Wire>() -> bool {
    <T as Archive>::COPY_OPTIMIZATION.is_enabled()
        && size_of::<T>() == size_of::<<T as Archive>::Archived>()
        && align_of::<<T as Archive>::Archived>() <= AlignedBytes::ALIGN
}

/// Says that the batch at `base` will be read soon, so that its begin is at hand. Touches no memory, whatever the address.
#[inline(always)]
pub fn expect_batch(base: *const u8) {
    prefetch_for_reading(base);
}

/// Bytes that a batch of `count` values needs before its first archive: the table, or for fixed
/// types the values themselves.
#[must_use]
pub const fn head_len<T: Wire>(count: usize) -> usize {
    let each = if is_fixed::<T>() { size_of::<T>() } else { ENTRY };
    // No block has that many bytes: a count that overflows is one that does not fit.
    count.saturating_mul(each)
}

/// Bytes that a block must have for a batch of nothing but `value`.
///
/// # Errors
///
/// What the type's own serialization reports.
pub fn len_of_one<T: Wire>(value: &T, encoder: &mut Encoder) -> Result<usize, WireFault> {
    let head = head_len::<T>(1);
    if is_fixed::<T>() {
        return Ok(head);
    }
    let end = encoder.measure(value, head)?;
    Ok(Manifest::room(end, encoder.measured_segments()))
}

/// Appends values to a block.
#[derive(Debug)]
pub struct BatchWriter<T> {
    base: *mut u8,
    /// Bytes for values: all of the block, but for the manifest.
    room: usize,
    block: usize,
    capacity: usize,
    count: usize,
    position: usize,
    /// Segments in the manifest.
    segments: usize,
    values: PhantomData<fn(T)>,
}

// SAFETY: the writer is the only one who writes to the block (promised to `new`), wherever it is.
unsafe impl<T> Send for BatchWriter<T> {}

impl<T: Wire> BatchWriter<T> {
    /// Begins a batch of up to `capacity` values in the block of `room` bytes at `base`.
    ///
    /// # Safety
    ///
    /// `base` is aligned to [`AlignedBytes::ALIGN`]; `base..base + room` stays mapped, writable and
    /// unread by others (but for values that they were told of) while the writer lives; and `room`
    /// is at least [`head_len`] of `capacity`.
    #[must_use]
    pub unsafe fn new(base: *mut u8, room: usize, capacity: usize) -> Self {
        debug_assert!(base.addr().is_multiple_of(AlignedBytes::ALIGN) && !base.is_null());
        debug_assert!(room >= head_len::<T>(capacity));
        let position = if is_fixed::<T>() { 0 } else { head_len::<T>(capacity) };
        let (block, values) = (room, PhantomData);
        Self { base, room, block, capacity, count: 0, position, segments: 0, values }
    }

    /// Values written so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether no further value may be pushed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count == self.capacity
    }

    /// Bytes of the block in use, without the manifest.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        if is_fixed::<T>() { head_len::<T>(self.count) } else { self.position }
    }

    /// Where the block, which begins at byte `offset` of the arena, says which segments its values need.
    #[must_use]
    pub fn manifest(&self, offset: u64) -> Option<Manifest> {
        Manifest::new(offset + self.room as u64, self.segments)
    }

    /// How many segments the values need.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Appends `value`. The encoder has encoded nothing since its last message but values of this batch.
    ///
    /// # Errors
    ///
    /// [`WireFault::Overflow`] when the block has no room for it, or what the type's own serialization
    /// reports: the batch is as before.
    ///
    /// # Panics
    ///
    /// When the batch is full.
    #[inline]
    pub fn push(&mut self, value: &T, encoder: &mut Encoder) -> Result<(), WireFault> {
        assert!(self.count < self.capacity, "a batch holds at most its capacity");
        if is_fixed::<T>() {
            // SAFETY: `count < capacity` and the block has room for `capacity` values (`new`). Whoever
            // enables rkyv's copy optimisation for a type promises (`CopyOptimization::enable`) that
            // none of its bytes is uninitialised. That they are those of its archive nobody has to
            // promise: readers check.
            unsafe {
                let target = self.base.add(self.count * size_of::<T>());
                std::ptr::copy_nonoverlapping(
                    std::ptr::from_ref(value).cast(),
                    target,
                    size_of::<T>(),
                );
            }
        } else {
            // SAFETY: the block is ours behind `position` (`new`).
            let end = unsafe { encoder.encode_at(value, self.base, self.room, self.position)? };
            if encoder.segments().len() != self.segments {
                self.extend_manifest(end, encoder)?;
            }
            // SAFETY: the table has `capacity` entries, and `count < capacity`; the base is aligned.
            unsafe { self.base.cast::<u64>().add(self.count).write(end as u64) };
            self.position = end;
        }
        self.count += 1;
        Ok(())
    }

    /// Adds what the value up to `end` needs and those before did not.
    #[cold]
    fn extend_manifest(&mut self, end: usize, encoder: &mut Encoder) -> Result<(), WireFault> {
        let segments = encoder.segments();
        match Manifest::start(self.block, segments.len()) {
            Some(room) if room >= end => {
                // SAFETY: the block is ours behind the values, which end at `end`; its base is aligned.
                unsafe { Manifest::write(self.base, self.block, segments, self.segments) };
                (self.room, self.segments) = (room, segments.len());
                Ok(())
            }
            _ => {
                encoder.truncate_segments(self.segments);
                Err(WireFault::Overflow)
            }
        }
    }

    /// Bytes the block must have for `value` to be pushed next.
    ///
    /// # Errors
    ///
    /// What the type's own serialization reports.
    pub fn room_for(&self, value: &T, encoder: &mut Encoder) -> Result<usize, WireFault> {
        if is_fixed::<T>() {
            Ok(head_len::<T>(self.count + 1))
        } else {
            let end = encoder.measure(value, self.position)?;
            Ok(Manifest::room(end, encoder.measured_segments()))
        }
    }

    /// Moves the batch to a larger block: copies what is there and goes on writing in the new one.
    ///
    /// # Panics
    ///
    /// When the block is too small.
    ///
    /// # Safety
    ///
    /// As [`BatchWriter::new`] for the new block; the encoder is that of all values so far.
    pub unsafe fn move_to(&mut self, base: *mut u8, room: usize, encoder: &Encoder) {
        let used = self.used_bytes();
        let segments = &encoder.segments()[..self.segments];
        let values = match segments {
            [] => room,
            _ => Manifest::start(room, segments.len()).unwrap_or(0),
        };
        assert!(values >= used, "the new block is the larger one");
        // SAFETY: both blocks are ours, maybe overlapping; pointers inside archives are relative. What lies behind the
        // values in the new block is ours too.
        unsafe {
            std::ptr::copy(self.base, base, used);
            Manifest::write(base, room, segments, 0);
        }
        (self.base, self.room, self.block) = (base, values, room);
    }
}

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
    /// `base` is aligned to [`AlignedBytes::ALIGN`]; `base..base + room` is mapped and readable while
    /// the reader or a copy of it lives. Values that are read in place ([`view`](Self::view),
    /// [`decode`](Self::decode)) do not change while they are: who cannot promise that for another
    /// process uses only [`extent`](Self::extent) and [`decode_copied`](Self::decode_copied).
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

    /// Reads value `index` in place, checked.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    #[inline]
    pub fn view(&self, index: usize) -> Result<&T::Archived, WireFault> {
        let (start, end) = self.extent(index)?;
        // SAFETY: within the block (`extent`), which is readable and does not change (`new`).
        let bytes = unsafe { std::slice::from_raw_parts(self.base.add(start), end - start) };
        if is_fixed::<T>() { view_fixed::<T>(bytes) } else { view_bytes::<T>(bytes) }
    }

    /// Decodes value `index` from where it lies. For blocks that nobody writes any more: private
    /// copies, and blocks of a process that is trusted with them.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when its bytes are no valid archive.
    #[inline]
    pub fn decode(&self, index: usize, decoder: &mut Decoder) -> Result<T, WireFault> {
        decoder.build(self.view(index)?)
    }

    /// Decodes values `0..count`, which are private, one after the other, and hands each to `each`. As
    /// [`decode`](Self::decode) for every index, but what is the same for all is looked at once.
    #[inline]
    pub fn decode_all(
        &self,
        count: usize,
        decoder: &mut Decoder,
        mut each: impl FnMut(usize, Result<T, WireFault>),
    ) {
        let len = count.saturating_mul(size_of::<T>());
        if !is_fixed::<T>() || size_of::<T>() == 0 || count > self.capacity || len > self.room {
            return (0..count).for_each(|index| each(index, self.decode(index, decoder)));
        }
        // SAFETY: within the block (checked just now), which is readable (`new`).
        let bytes = unsafe { std::slice::from_raw_parts(self.base, len) };
        for (index, archive) in bytes.chunks_exact(size_of::<T>()).enumerate() {
            each(index, view_fixed::<T>(archive).and_then(|archived| decoder.build(archived)));
        }
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
        // SAFETY: within the block (promised), which is aligned and readable (`new`); volatile, since
        // a faulty writer may change it at any time.
        unsafe { self.base.cast::<usize>().add(index).read_volatile() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> AlignedBytes {
        let mut bytes = AlignedBytes::new();
        bytes.resize(len);
        bytes
    }

    #[test]
    fn fixed_and_table_values_come_back_one_by_one() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        assert!(is_fixed::<u64>() && is_fixed::<()>() && !is_fixed::<String>());

        let mut room = block(80);
        // SAFETY: the block is ours and aligned; a `u64` batch of 10 needs 80 bytes.
        let mut writer = unsafe { BatchWriter::<u64>::new(room.as_mut_ptr(), 80, 10) };
        (0..10u64).for_each(|i| writer.push(&(i * i), &mut encoder).unwrap());
        assert!(writer.is_full());
        // SAFETY: as above, nobody writes any more.
        let reader = unsafe { BatchReader::<u64>::new(room.as_ptr(), 80, 10) };
        assert_eq!(reader.decode(9, &mut decoder), Ok(81));
        assert_eq!(reader.extent(10), Err(WireFault::Invalid));

        let mut room = block(4096);
        // SAFETY: as above.
        let mut writer = unsafe { BatchWriter::<String>::new(room.as_mut_ptr(), 4096, 3) };
        for text in ["", "short", "much longer than what fits into the inline form"] {
            writer.push(&text.to_string(), &mut encoder).unwrap();
        }
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 4096, 3) };
        let mut scratch = AlignedBytes::new();
        assert_eq!(reader.decode_copied(1, &mut scratch, &mut decoder).unwrap(), "short");
        assert_eq!(reader.view(2).unwrap().len(), 47);
    }

    #[test]
    fn a_batch_that_overflows_moves_and_goes_on() {
        let mut encoder = Encoder::new();
        let (mut small, mut large) = (block(256), block(4096));
        // SAFETY: both blocks are ours and aligned.
        let mut writer = unsafe { BatchWriter::<Vec<u32>>::new(small.as_mut_ptr(), 256, 4) };
        writer.push(&vec![1, 2, 3], &mut encoder).unwrap();
        let big = vec![9u32; 500];
        assert_eq!(writer.push(&big, &mut encoder), Err(WireFault::Overflow));
        assert!(writer.room_for(&big, &mut encoder).unwrap() <= 4096);
        // SAFETY: as above.
        unsafe { writer.move_to(large.as_mut_ptr(), 4096, &encoder) };
        writer.push(&big, &mut encoder).unwrap();
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<Vec<u32>>::new(large.as_ptr(), 4096, 4) };
        assert_eq!(reader.decode(0, &mut Decoder::new()).unwrap(), [1, 2, 3]);
        assert_eq!(reader.decode(1, &mut Decoder::new()).unwrap(), big);
    }

    #[test]
    fn wild_offsets_are_refused() {
        let mut room = block(64);
        // SAFETY: 64 aligned bytes, ours.
        unsafe { room.as_mut_ptr().cast::<u64>().write(1 << 50) };
        // SAFETY: as above.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 64, 2) };
        assert_eq!(reader.extent(0), Err(WireFault::Invalid));
        assert_eq!(reader.extent(1), Err(WireFault::Invalid));
        // SAFETY: as above; a table larger than the block is refused before it is read.
        let reader = unsafe { BatchReader::<String>::new(room.as_ptr(), 64, 20) };
        assert_eq!(reader.extent(19), Err(WireFault::Invalid));
    }
}
