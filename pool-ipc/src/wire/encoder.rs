//! The encoder: writes an archive straight into a block, with scratch room of its own.
//!
//! Invariant: it writes only to `base..base + room` of the encoding that runs, and positions count
//! from the block's base, so alignments hold wherever in the block a value begins.

use std::{alloc::Layout, fmt, ptr::NonNull};

use rkyv::{
    api::serialize_using,
    rancor::Strategy,
    ser::{Allocator, Positional, Writer},
};

use super::{SegmentId, Wire, WireFault, segments::Segments};

/// The serializer that a [`Wire`] type is encoded with.
pub type WireEncode = Strategy<Encoder, WireFault>;

const SCRATCH_BYTES: usize = 4096;

/// Encodes values into blocks; kept and used again, it allocates nothing for a task.
pub struct Encoder {
    base: *mut u8,
    room: usize,
    position: usize,
    counting: bool,
    scratch: Box<[u128; SCRATCH_BYTES / 16]>,
    scratch_used: usize,
    segments: Segments,
}

// SAFETY: `base` is only used inside `encode_at`, which holds the encoder exclusively.
unsafe impl Send for Encoder {}

impl Encoder {
    /// An encoder with 4 KiB of scratch room; nested collections that need more take it from the heap.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: std::ptr::null_mut(),
            room: 0,
            position: 0,
            counting: false,
            scratch: Box::new([0; SCRATCH_BYTES / 16]),
            scratch_used: 0,
            segments: Segments::default(),
        }
    }

    /// Writes the archive of `value` into the block at `base`, behind position `at`; returns the
    /// position behind it. The root is what ends there.
    ///
    /// # Errors
    ///
    /// [`WireFault::Overflow`] when `room` is too small; the bytes behind `at` are then undefined.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 128 (or to the largest alignment in the archive), `base..base + room`
    /// is writable, and nobody else reads or writes `base + at..base + room` meanwhile.
    pub unsafe fn encode_at<T: Wire>(
        &mut self,
        value: &T,
        base: *mut u8,
        room: usize,
        at: usize,
    ) -> Result<usize, WireFault> {
        self.start(base, room, at, false);
        serialize_using::<_, WireFault>(value, self)?;
        Ok(self.position)
    }

    /// The position behind the archive of `value` if it began at position `at`; writes nothing.
    ///
    /// # Errors
    ///
    /// What the type's own serialization reports.
    pub fn measure<T: Wire>(&mut self, value: &T, at: usize) -> Result<usize, WireFault> {
        self.start(std::ptr::null_mut(), usize::MAX, at, true);
        serialize_using::<_, WireFault>(value, self)?;
        Ok(self.position)
    }

    /// Notes that the value being encoded holds a handle to segment `id`; the index is what the
    /// archive keeps of it.
    pub fn give_segment(&mut self, id: SegmentId) -> u32 {
        self.segments.index_of(id)
    }

    /// The segments that the encodings since [`Encoder::clear_segments`] hold handles to.
    #[must_use]
    pub fn segments(&self) -> &[SegmentId] {
        self.segments.ids()
    }

    /// Begins a new message: its table of segments is empty.
    pub fn clear_segments(&mut self) {
        self.segments.replace(&[]);
    }

    fn start(&mut self, base: *mut u8, room: usize, at: usize, counting: bool) {
        self.base = base;
        self.room = room;
        self.position = at;
        self.counting = counting;
        self.scratch_used = 0;
    }

    fn scratch_range(&self) -> std::ops::Range<usize> {
        let base = self.scratch.as_ptr().addr();
        base..base + SCRATCH_BYTES
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Positional for Encoder {
    #[inline]
    fn pos(&self) -> usize {
        self.position
    }
}

impl Writer<WireFault> for Encoder {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        if !self.counting {
            if bytes.len() > self.room.saturating_sub(self.position) {
                return Err(WireFault::Overflow);
            }
            // SAFETY: `position + bytes.len() <= room`, and `encode_at`'s caller gave us
            // `base..base + room` exclusively.
            unsafe {
                let target = self.base.add(self.position);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
            }
        }
        self.position += bytes.len();
        Ok(())
    }
}

// SAFETY: blocks from the scratch box are disjoint (a bump pointer that only `pop_alloc` lowers, in
// the order last in, first out that rkyv keeps), all others are allocations of their own.
unsafe impl Allocator<WireFault> for Encoder {
    unsafe fn push_alloc(&mut self, layout: Layout) -> Result<NonNull<[u8]>, WireFault> {
        let base = self.scratch.as_mut_ptr().cast::<u8>();
        let padding = (base.addr() + self.scratch_used).wrapping_neg() & (layout.align() - 1);
        let start = self.scratch_used + padding;
        let pointer = match start.checked_add(layout.size()) {
            Some(end) if end <= SCRATCH_BYTES && layout.size() > 0 => {
                self.scratch_used = end;
                // SAFETY: `start <= end <= SCRATCH_BYTES`.
                unsafe { base.add(start) }
            }
            _ if layout.size() == 0 => std::ptr::without_provenance_mut(layout.align()),
            // SAFETY: the size is not zero.
            _ => unsafe { std::alloc::alloc(layout) },
        };
        let pointer =
            NonNull::new(pointer).unwrap_or_else(|| std::alloc::handle_alloc_error(layout));
        Ok(NonNull::slice_from_raw_parts(pointer, layout.size()))
    }

    unsafe fn pop_alloc(&mut self, pointer: NonNull<u8>, layout: Layout) -> Result<(), WireFault> {
        let range = self.scratch_range();
        if layout.size() == 0 {
        } else if range.contains(&pointer.as_ptr().addr()) {
            self.scratch_used = pointer.as_ptr().addr() - range.start;
        } else {
            // SAFETY: not from the scratch box, so `push_alloc` allocated it with this layout.
            unsafe { std::alloc::dealloc(pointer.as_ptr(), layout) }
        }
        Ok(())
    }
}
