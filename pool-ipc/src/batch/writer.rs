//! Writes a batch, value by value.
//!
//! Invariant: a value that does not fit leaves the batch as it was; `count` goes up when all of a
//! value is there.

use std::marker::PhantomData;

use super::{head_len, is_fixed};
use crate::{AlignedBytes, Encoder, Manifest, Wire, WireFault};

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

// SAFETY: only the writer writes to the block (promised to `new`), wherever it is.
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

    /// The manifest of the segments that the values need; the block begins at byte `offset` of the
    /// arena.
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

    /// Appends `value`. The encoder has encoded nothing since its last message but values of this
    /// batch.
    ///
    /// # Errors
    ///
    /// [`WireFault::Overflow`] when the block has no room for it, or what the type's own
    /// serialization reports: the batch is as before.
    ///
    /// # Panics
    ///
    /// When the batch is full.
    #[inline]
    pub fn push(&mut self, value: &T, encoder: &mut Encoder) -> Result<(), WireFault> {
        assert!(self.count < self.capacity, "a batch holds at most its capacity");
        if is_fixed::<T>() {
            // SAFETY: `count < capacity` and the block has room for `capacity` values (`new`). Code
            // that enables rkyv's copy optimisation for a type promises
            // (`CopyOptimization::enable`) that none of its bytes is uninitialised. No code has to
            // promise that they are those of its archive: readers check.
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
            // SAFETY: the table has `capacity` entries, and `count < capacity`; the base is
            // aligned.
            unsafe { self.base.cast::<u64>().add(self.count).write(end as u64) };
            self.position = end;
        }
        self.count += 1;
        Ok(())
    }

    /// Adds the segments that the value up to `end` needs and those before did not.
    #[cold]
    fn extend_manifest(&mut self, end: usize, encoder: &mut Encoder) -> Result<(), WireFault> {
        let segments = encoder.segments();
        match Manifest::start(self.block, segments.len()) {
            Some(room) if room >= end => {
                // SAFETY: the block is ours behind the values, which end at `end`; its base is
                // aligned.
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
    /// Errors of the type's own serialization.
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
    /// The promises of [`BatchWriter::new`] hold for the new block; the encoder is that of all
    /// values so far.
    pub unsafe fn move_to(&mut self, base: *mut u8, room: usize, encoder: &Encoder) {
        let used = self.used_bytes();
        let segments = &encoder.segments()[..self.segments];
        let values = match segments {
            [] => room,
            _ => Manifest::start(room, segments.len()).unwrap_or(0),
        };
        assert!(values >= used, "the new block is the larger one");
        // SAFETY: both blocks are ours, maybe overlapping; pointers inside archives are relative.
        // The bytes behind the values in the new block are ours too.
        unsafe {
            std::ptr::copy(self.base, base, used);
            Manifest::write(base, room, segments, 0);
        }
        (self.base, self.room, self.block) = (base, values, room);
    }
}
