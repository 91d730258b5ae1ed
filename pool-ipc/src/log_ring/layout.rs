//! The layout of an area of log rings.
//!
//! Invariant: `#[repr(C)]`, atomics only; fresh zeroed memory has empty rings. What the writer and
//! what the reader of a ring write lies in lines of their own.

use std::sync::atomic::{AtomicU32, AtomicU64};

use crossbeam_utils::CachePadded;

/// The fewest bytes of a ring.
pub const MIN_RING_BYTES: usize = 4 << 10;
/// The most bytes of a ring.
pub const MAX_RING_BYTES: usize = 64 << 20;

/// How many words the reader sets for writers.
pub(super) const WORDS: usize = 4;
/// Bytes that the parts begin at multiples of.
const LINE: usize = 128;
/// The first word of an area.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"pool-log");

/// How large the parts of an area are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogShape {
    /// How many rings there are.
    pub rings: usize,
    /// Bytes of each ring: a power of two from [`MIN_RING_BYTES`] to [`MAX_RING_BYTES`].
    pub ring_bytes: usize,
    /// Bytes of the text.
    pub text: usize,
}

#[repr(C)]
pub(super) struct Header {
    pub(super) magic: AtomicU64,
    pub(super) rings: AtomicU64,
    pub(super) ring_bytes: AtomicU64,
    pub(super) text: AtomicU64,
    /// Set by the reader, for writers.
    pub(super) words: [AtomicU32; WORDS],
    /// How deep the reader sleeps: see `area.rs`.
    pub(super) reader: CachePadded<AtomicU32>,
}

/// What belongs to one ring beside its bytes.
#[repr(C)]
pub(super) struct Ring {
    pub(super) written: CachePadded<Written>,
    /// Bytes that were read since the beginning.
    pub(super) tail: CachePadded<AtomicU64>,
}

#[repr(C)]
pub(super) struct Written {
    /// Bytes that were handed over since the beginning.
    pub(super) head: AtomicU64,
    /// Records for which there was no room.
    pub(super) lost: AtomicU64,
    /// Records that were dropped for other reasons.
    pub(super) dropped: AtomicU64,
}

impl LogShape {
    /// Whether an area can have this shape.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.ring_bytes.is_power_of_two()
            && (MIN_RING_BYTES..=MAX_RING_BYTES).contains(&self.ring_bytes)
            && (1..=1 << 16).contains(&self.rings)
            && self.text <= 1 << 24
    }

    /// Bytes of memory that an area of this shape takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bytes_offset() + self.rings * self.ring_bytes
    }

    pub(super) const fn rings_offset(self) -> usize {
        (size_of::<Header>() + self.text).next_multiple_of(LINE)
    }

    pub(super) const fn bytes_offset(self) -> usize {
        self.rings_offset() + self.rings * size_of::<Ring>()
    }
}

const _: () = {
    assert!(size_of::<Ring>() == 2 * LINE && align_of::<Ring>() == LINE);
    assert!(size_of::<Header>().is_multiple_of(LINE));
};
