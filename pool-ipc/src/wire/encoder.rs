//! The encoder: writes an archive straight into a block, with scratch room of its own.
//!
//! Invariant: it writes only to `base..base + room` of the encoding that runs, and positions count
//! from the block's base, so alignments hold wherever in the block a value begins.
//!
//! Two types, because what a value's own `Serialize` is handed is in the hands of its author: an
//! [`Encoding`] can be written to, but not made, started or taken apart. So safe code cannot put
//! another one, or another block, in the place of the one that runs.

use std::{alloc::Layout, fmt, ptr::NonNull, sync::Arc};

use pool_shm::{Exclusive, SharedSegment};
use rkyv::{
    api::serialize_using,
    rancor::Strategy,
    ser::{Allocator, Positional, Writer},
};

use super::{
    SegmentBroker, Wire, WireFault, alignment::padded, scratch::Scratch, segments::EncodedSegments,
};

/// The serializer that a [`Wire`] type is encoded with.
pub type WireEncode = Strategy<Encoding, WireFault>;

/// Encodes values into blocks; kept and used again, it allocates nothing for a task.
#[derive(Debug)]
pub struct Encoder {
    encoding: Encoding,
    /// Segments that the table would have had after the last measurement.
    measured: usize,
}

/// An encoding that runs: what a type's `Serialize` writes to.
///
/// Only an [`Encoder`] has one:
///
/// ```compile_fail,E0599
/// let encoding = pool_ipc::Encoding::default();
/// ```
pub struct Encoding {
    base: *mut u8,
    room: usize,
    position: usize,
    /// Only count: there is no block, and `room` bounds nothing.
    pub(super) counting: bool,
    scratch: Scratch,
    pub(super) segments: EncodedSegments,
}

// SAFETY: `base` is set by `encode_at`, which holds the encoder exclusively and lends it to nothing
// else until the last write.
unsafe impl Send for Encoding {}

impl Encoder {
    /// An encoder with 4 KiB of scratch room; nested collections that need more take it from the
    /// heap.
    #[must_use]
    pub fn new() -> Self {
        Self {
            encoding: Encoding {
                base: std::ptr::null_mut(),
                room: 0,
                position: 0,
                counting: true,
                scratch: Scratch::new(),
                segments: EncodedSegments::default(),
            },
            measured: 0,
        }
    }

    /// Has the segments of handles registered with `broker` before they are sent.
    pub fn set_broker(&mut self, broker: Arc<dyn SegmentBroker>) {
        self.encoding.segments.broker = Some(broker);
    }

    /// Writes the archive of `value` into the block at `base`, behind position `at`; returns the
    /// position behind it, which is at most `room`. The root is what ends there.
    ///
    /// Counts among the [`exclusive_borrows`](pool_shm::exclusive_borrows) of the thread while the
    /// type's own code runs.
    ///
    /// # Errors
    ///
    /// [`WireFault::Overflow`] when `room` is too small; the bytes behind `at` are then undefined.
    /// [`WireFault::Alignment`] for what is aligned to more than 32 bytes within the archive.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 128 (or to the largest alignment in the archive), `base..base + room`
    /// is writable, and nothing else reads or writes `base + at..base + room` meanwhile.
    pub unsafe fn encode_at<T: Wire>(
        &mut self,
        value: &T,
        base: *mut u8,
        room: usize,
        at: usize,
    ) -> Result<usize, WireFault> {
        if at > room {
            return Err(WireFault::Overflow);
        }
        // A fork in the type's own `Serialize` would carry the writer into a process without this
        // memory, or with the very same.
        let _lent = Exclusive::begin();
        self.run(value, base, room, at, false)
    }

    /// The position behind the archive of `value` if it began at position `at`; writes nothing.
    ///
    /// # Errors
    ///
    /// What the type's own serialization reports.
    pub fn measure<T: Wire>(&mut self, value: &T, at: usize) -> Result<usize, WireFault> {
        self.run(value, std::ptr::null_mut(), 0, at, true)
    }

    fn run<T: Wire>(
        &mut self,
        value: &T,
        base: *mut u8,
        room: usize,
        at: usize,
        counting: bool,
    ) -> Result<usize, WireFault> {
        const {
            // rkyv pads by at most 31 bytes and panics where an alignment asks for more. What is
            // copied as it is has no parts, so it is padded only where a batch does not.
            assert!(
                T::COPY_OPTIMIZATION.is_enabled() || align_of::<T::Archived>() <= 32,
                "an archive aligned to more than 32 bytes cannot be encoded"
            );
        }
        let encoding = &mut self.encoding;
        encoding.base = base;
        encoding.room = room;
        encoding.position = at;
        encoding.counting = counting;
        encoding.scratch.reset();
        let before = encoding.segments.segments().len();
        let result = padded(encoding, |encoding| serialize_using::<_, WireFault>(value, encoding));
        if counting || result.is_err() {
            self.measured = encoding.segments.segments().len();
            encoding.segments.truncate(before);
        }
        result.map(|_| encoding.position)
    }

    /// The segments of the handles that were encoded since [`take_segments`](Self::take_segments),
    /// but for values that failed: the message's table.
    #[inline]
    #[must_use]
    pub fn segments(&self) -> &[SharedSegment] {
        self.encoding.segments.segments()
    }

    /// How many segments the table would have had if the value that was measured last had been
    /// encoded.
    pub(crate) fn measured_segments(&self) -> usize {
        self.measured
    }

    /// Takes back the segments of values that do not become part of the message after all.
    pub(crate) fn truncate_segments(&mut self, len: usize) {
        self.encoding.segments.truncate(len);
    }

    /// Begins a new message, with an empty table. The segments of the last one live as long as they
    /// are kept.
    pub fn take_segments(&mut self) -> Vec<SharedSegment> {
        self.encoding.segments.take()
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoding").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Encoding {
    /// How far it has come.
    pub(super) fn position(&self) -> usize {
        self.position
    }
}

impl Positional for Encoding {
    #[inline]
    fn pos(&self) -> usize {
        self.position
    }
}

impl Writer<WireFault> for Encoding {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        let end = self.position.checked_add(bytes.len());
        let end = end.ok_or(WireFault::Overflow)?;
        if !self.counting {
            if end > self.room {
                return Err(WireFault::Overflow);
            }
            // SAFETY: `position <= end <= room`, and `encode_at`'s caller gave us
            // `base..base + room` exclusively.
            unsafe {
                let target = self.base.add(self.position);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
            }
        }
        self.position = end;
        Ok(())
    }
}

// SAFETY: pieces of scratch room do not overlap, and nothing else has the scratch room
// (`scratch.rs`): an encoding can be neither replaced nor started again while it runs.
unsafe impl Allocator<WireFault> for Encoding {
    unsafe fn push_alloc(&mut self, layout: Layout) -> Result<NonNull<[u8]>, WireFault> {
        Ok(self.scratch.push(layout))
    }

    unsafe fn pop_alloc(&mut self, piece: NonNull<u8>, _: Layout) -> Result<(), WireFault> {
        self.scratch.pop(piece);
        Ok(())
    }
}
