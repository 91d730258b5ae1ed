//! The memory of a channel: in one segment, the header with the table of parties, the ring, the
//! words of blocks, and a region for each party.
//!
//! Invariant: `#[repr(C)]`, atomics only, offsets pinned below; fresh zeroed memory is an empty
//! channel. Lines are grouped by their writer: senders write `tail`, receivers `head`, and what
//! each operation reads of the other side changes only when a thread there sleeps or leaves.

use std::{fmt, ptr::NonNull};

use crossbeam_utils::CachePadded;
use pool_shm::{Mapping, Segment, limits::page_size};

use super::{
    blocks::{Blocks, MAX_BLOCKS},
    error::ChannelError,
    events::EventCount,
    parties::Party,
    ring::Ring,
    word::{MAX_CAPACITY, MAX_PARTIES},
};
use crate::primitive::{AtomicU32, AtomicU64};

#[repr(C)]
pub(super) struct Header {
    pub(super) tail: CachePadded<AtomicU64>,
    pub(super) head: CachePadded<AtomicU64>,
    pub(super) lost: CachePadded<AtomicU64>,
    pub(super) senders: CachePadded<Side>,
    pub(super) receivers: CachePadded<Side>,
    /// What threads sleep on that wait until no process has anything in hand.
    pub(super) idle: CachePadded<EventCount>,
    pub(super) parties: [Party; MAX_PARTIES],
}

/// What the other side has to know of one side.
#[repr(C)]
pub(super) struct Side {
    /// What threads of this side sleep on.
    pub(super) events: EventCount,
    /// Counts the processes that have dropped their last endpoint of this side.
    pub(super) departures: AtomicU32,
    /// Not 0 once there is no endpoint of this side any more.
    pub(super) is_gone: AtomicU32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Header, head) == 128);
    assert!(offset_of!(Header, lost) == 256);
    assert!(offset_of!(Header, senders) == 384);
    assert!(offset_of!(Header, receivers) == 512);
    assert!(offset_of!(Header, idle) == 640);
    assert!(offset_of!(Header, parties) == 768);
    assert!(size_of::<Header>() == 768 + MAX_PARTIES * 128);
};

/// The memory, mapped in this process and in those that are forked from it. A user of what it lends
/// keeps it.
pub(super) struct Memory {
    pub(super) header: &'static Header,
    pub(super) ring: Ring,
    pub(super) blocks: Blocks,
    /// Bytes in the region of each party; 0 where all messages lie in slots.
    pub(super) region_bytes: usize,
    /// Whether messages count as in hand until they are done.
    pub(super) counts_until_done: bool,
    /// Where the first region begins.
    regions_at: usize,
    mapping: Mapping,
}

/// How large a channel is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) capacity: usize,
    /// Words in a slot.
    pub(super) stride: usize,
    /// Bytes for all regions together; `None` for the default.
    pub(super) max_bytes: Option<u64>,
    /// Whether messages may lie in regions.
    pub(super) has_regions: bool,
    /// Whether messages count as in hand until they are done.
    pub(super) counts_until_done: bool,
}

/// Bytes in each region by default: addresses, not memory.
const REGION: usize = 256 << 20;
/// Bytes of each region at least, where addresses are few.
const REGION_LEAST: usize = 64 << 10;

impl Memory {
    /// Fresh memory.
    pub(super) fn new(size: Size) -> Result<Self, ChannelError> {
        let Size { capacity, max_bytes, .. } = size;
        if capacity == 0 {
            return Err(ChannelError::NoCapacity);
        }
        if capacity > MAX_CAPACITY {
            return Err(ChannelError::TooManySlots { capacity, most: MAX_CAPACITY });
        }
        if !size.has_regions {
            return Self::with_regions(size, 0);
        }
        if let Some(bytes) = max_bytes {
            let each = usize::try_from(bytes / MAX_PARTIES as u64).unwrap_or(usize::MAX);
            return Self::with_regions(size, each / page_size() * page_size());
        }
        let mut each = REGION;
        loop {
            match Self::with_regions(size, each) {
                Err(ChannelError::Memory(_)) if each > REGION_LEAST => each /= 2,
                made => return made,
            }
        }
    }

    fn with_regions(size: Size, region_bytes: usize) -> Result<Self, ChannelError> {
        let Size { capacity, stride, counts_until_done, .. } = size;
        let words = capacity * stride;
        // Enough to fill the ring, and some that receivers have in hand.
        let each = if region_bytes > 0 { (capacity + 64).min(MAX_BLOCKS) } else { 0 };
        let blocks_at = size_of::<Header>() + words * size_of::<u64>();
        let blocks = each * MAX_PARTIES;
        let head = blocks_at + blocks * size_of::<u64>();
        let regions_at = head.next_multiple_of(page_size());
        let bytes = region_bytes.saturating_mul(MAX_PARTIES).saturating_add(regions_at);
        let segment = Segment::create("pool-ipc channel", bytes as u64)?;
        let mapping = segment.map_unlocked()?;
        let base = mapping.as_ptr();
        // SAFETY: within the mapping, which begins at a page and which this value keeps, as does
        // every user of the references; zeroed memory is a header and words of atomics, which other
        // processes may write at any time.
        let (header, words, blocks) = unsafe {
            let header: &'static Header = &*base.cast();
            let first = base.add(size_of::<Header>()).cast::<AtomicU64>();
            let block = base.add(blocks_at).cast::<AtomicU64>();
            let words = std::slice::from_raw_parts(first, words);
            (header, words, std::slice::from_raw_parts(block, blocks))
        };
        let capacity = u32::try_from(capacity).expect("at most 2^24");
        let (tail, head, lost) = (&*header.tail, &*header.head, &*header.lost);
        let ring = Ring { tail, head, lost, words, stride, capacity };
        let blocks = Blocks { words: blocks, each };
        Ok(Self { header, ring, blocks, region_bytes, counts_until_done, regions_at, mapping })
    }

    /// The `len` bytes at `offset` of the region at `place`, if they lie in it.
    pub(super) fn range(&self, place: usize, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let within = offset.checked_add(len)? <= self.region_bytes && place < MAX_PARTIES;
        // SAFETY: within the mapping, which ends with the regions.
        let start = within.then(|| unsafe {
            self.mapping.as_ptr().add(self.regions_at + place * self.region_bytes + offset)
        })?;
        NonNull::new(start)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("capacity", &self.ring.capacity).finish_non_exhaustive()
    }
}
