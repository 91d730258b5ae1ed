//! The manifest of a message: the segments that its handles lie in.
//!
//! ```text
//! │ values one behind the other → │   free   │ id 2 │ id 1 │ id 0 │
//!                                            ↑ offset             ↑ end of the block
//! ```
//!
//! Invariant: identities are appended only, downwards from the end of the message's block, and
//! stand there before any reader is told of the value whose handles need them.

use std::num::NonZeroU64;

use pool_shm::{SegmentId, SharedSegment};

/// Bytes of one identity.
const ENTRY: usize = size_of::<u128>();
const COUNT_BITS: u32 = 20;

/// Where in an arena the identities of a message's segments stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// The offset in units of 16 bytes, and in the lower bits how many there are.
    bits: NonZeroU64,
}

impl Manifest {
    /// How many segments one message can have.
    pub(crate) const MOST: usize = (1 << COUNT_BITS) - 1;

    /// Where in a block of `room` bytes the lowest of `count` identities stands; `None` if the
    /// block is too small.
    pub(crate) fn start(room: usize, count: usize) -> Option<usize> {
        (room / ENTRY).checked_sub(count).map(|entries| entries * ENTRY)
    }

    /// The smallest room of a block that holds values up to `end` and `count` identities.
    pub(crate) fn room(end: usize, count: usize) -> usize {
        if count == 0 { end } else { (end.div_ceil(ENTRY) + count).saturating_mul(ENTRY) }
    }

    /// Writes the identities of `segments[from..]` to the end of a block.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 16, and the bytes from [`start`](Self::start) of `segments.len()` on
    /// are the caller's.
    pub(crate) unsafe fn write(
        base: *mut u8,
        room: usize,
        segments: &[SharedSegment],
        from: usize,
    ) {
        for (index, segment) in segments.iter().enumerate().skip(from) {
            let at = Self::start(room, index + 1).expect("the caller has the room");
            // SAFETY: within the block, at a multiple of 16 from its base.
            unsafe { base.add(at).cast::<u128>().write(segment.id().0) };
        }
    }

    /// The manifest of a message whose identities begin at byte `offset` of the arena, a multiple
    /// of 16; `None` if `count` is 0.
    pub(crate) fn new(offset: u64, count: usize) -> Option<Self> {
        if count == 0 {
            return None;
        }
        debug_assert!(offset.is_multiple_of(ENTRY as u64) && count <= Self::MOST);
        Self::unpack(offset / ENTRY as u64 * (1 << COUNT_BITS) + count as u64)
    }

    pub(crate) fn pack(self) -> u64 {
        self.bits.get()
    }

    /// Makes a manifest of a word that [`pack`](Self::pack) gave, or of any other.
    pub(crate) fn unpack(bits: u64) -> Option<Self> {
        Some(Self { bits: NonZeroU64::new(bits)? })
    }

    /// The identities, in the order of the message's table; `None` if they do not lie within the
    /// arena.
    ///
    /// # Safety
    ///
    /// `base` is aligned to 16, and `base..base + len` is mapped and readable. Another process may
    /// write there: then the identities are arbitrary.
    #[must_use]
    pub unsafe fn read(&self, base: *const u8, len: usize) -> Option<Vec<SegmentId>> {
        let offset = usize::try_from((self.bits.get() >> COUNT_BITS) * ENTRY as u64).ok()?;
        let count = (self.bits.get() & Self::MOST as u64) as usize;
        if len.checked_sub(offset)? / ENTRY < count {
            return None;
        }
        let id = |index: usize| {
            // SAFETY: within the arena, as just checked, and aligned; volatile, since a faulty
            // writer may change it.
            SegmentId(unsafe { base.add(offset).cast::<u128>().add(index).read_volatile() })
        };
        Some((0..count).rev().map(id).collect())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::AlignedBytes;

    #[test]
    fn manifests_survive_packing() {
        let largest = (1u64 << 47) - ENTRY as u64;
        for (offset, count) in [(0, 1), (16, Manifest::MOST), (largest, 7)] {
            let manifest = Manifest::new(offset, count).unwrap();
            assert_eq!(Manifest::unpack(manifest.pack()), Some(manifest));
        }
        assert_eq!(size_of::<Option<Manifest>>(), 8);
        assert_eq!(Manifest::new(64, 0), None);
    }

    #[test]
    fn the_room_is_what_it_takes() {
        for (end, count) in [(0, 1), (1, 1), (16, 3), (1000, 50)] {
            let room = Manifest::room(end, count);
            assert!(Manifest::start(room, count).is_some_and(|start| start >= end));
            assert!(Manifest::start(room - 1, count).is_none_or(|start| start < end));
        }
        assert_eq!(Manifest::room(77, 0), 77);
    }

    #[test]
    fn wild_places_are_refused() {
        let mut arena = AlignedBytes::new();
        arena.resize(256);
        // SAFETY: the arena has 256 aligned bytes.
        let read = |manifest: Manifest| unsafe { manifest.read(arena.as_ptr(), 256) };
        assert_eq!(read(Manifest::unpack(u64::MAX).unwrap()), None);
        assert_eq!(read(Manifest::new(256, 1).unwrap()), None);
        assert_eq!(read(Manifest::new(240, 2).unwrap()), None);
        assert_eq!(read(Manifest::new(240, 1).unwrap()), Some(vec![SegmentId(0)]));
    }
}
