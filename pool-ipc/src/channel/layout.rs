//! The memory of a channel: in one segment, the header with the table of parties, the ring, the
//! words of blocks, and a region for each party.
//!
//! Invariant: `#[repr(C)]`, atomics only, offsets pinned below; fresh zeroed memory is an empty
//! channel. Lines are grouped by their writer: senders write `tail`, receivers `head`, and what
//! each operation reads of the other side changes only when a thread there sleeps or leaves.

use std::{fmt, ptr::NonNull, sync::atomic::Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use pool_shm::{Block, ElementType, Kind, SegmentFault, Shape, limits::page_size};

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
    /// Written by the maker, before others have the channel.
    pub(super) facts: CachePadded<Facts>,
    pub(super) parties: [Party; MAX_PARTIES],
}

/// What a process has to know that is sent an endpoint.
#[repr(C)]
pub(super) struct Facts {
    capacity: AtomicU64,
    region_bytes: AtomicU64,
    counts_until_done: AtomicU32,
    /// Words in a slot.
    stride: AtomicU32,
    /// The namespaces of the maker, in which the words of processes mean something.
    pub(super) namespace: AtomicU64,
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
    /// Not 0 once the descriptor of an endpoint of this side was asked for, so that each event is
    /// to make it readable.
    pub(super) watches: AtomicU32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Header, head) == 128);
    assert!(offset_of!(Header, lost) == 256);
    assert!(offset_of!(Header, senders) == 384);
    assert!(offset_of!(Header, receivers) == 512);
    assert!(offset_of!(Header, idle) == 640);
    assert!(offset_of!(Header, facts) == 768);
    assert!(offset_of!(Header, parties) == 896);
    assert!(size_of::<Header>() == 896 + MAX_PARTIES * 128);
};

/// The memory, mapped in this process and in those that are forked from it or sent an endpoint. A
/// user of what it lends keeps it.
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
    pub(super) block: Block,
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

/// Where the parts lie.
struct Parts {
    /// Words of the ring, behind the header.
    words: usize,
    blocks_at: usize,
    /// Blocks of each party.
    each: usize,
    regions_at: usize,
    /// Bytes of all parts.
    bytes: usize,
}

impl Parts {
    fn of(size: Size, region_bytes: usize) -> Self {
        let words = size.capacity * size.stride;
        // Enough to fill the ring, and some that receivers have in hand.
        let each = if region_bytes > 0 { (size.capacity + 64).min(MAX_BLOCKS) } else { 0 };
        let blocks_at = size_of::<Header>() + words * size_of::<u64>();
        let head = blocks_at + each * MAX_PARTIES * size_of::<u64>();
        let regions_at = head.next_multiple_of(page_size());
        let bytes = region_bytes.saturating_mul(MAX_PARTIES).saturating_add(regions_at);
        Self { words, blocks_at, each, regions_at, bytes }
    }
}

impl Memory {
    /// Fresh memory for a channel whose messages are of this type.
    pub(super) fn new(size: Size, message: ElementType) -> Result<Self, ChannelError> {
        let Size { capacity, max_bytes, .. } = size;
        if capacity == 0 {
            return Err(ChannelError::NoCapacity);
        }
        if capacity > MAX_CAPACITY {
            return Err(ChannelError::TooManySlots { capacity, most: MAX_CAPACITY });
        }
        if !size.has_regions {
            return Self::with_regions(size, 0, message);
        }
        if let Some(bytes) = max_bytes {
            let each = usize::try_from(bytes / MAX_PARTIES as u64).unwrap_or(usize::MAX);
            return Self::with_regions(size, each / page_size() * page_size(), message);
        }
        let mut each = REGION;
        loop {
            match Self::with_regions(size, each, message) {
                Err(ChannelError::Memory(_)) if each > REGION_LEAST => each /= 2,
                made => return made,
            }
        }
    }

    fn with_regions(
        size: Size,
        region_bytes: usize,
        message: ElementType,
    ) -> Result<Self, ChannelError> {
        let bytes = Parts::of(size, region_bytes).bytes;
        let block = Block::sparse(Shape { kind: Kind::Channel, element: message, len: bytes })?;
        let memory = Self::in_block(block, size, region_bytes);
        let facts = &memory.header.facts;
        // Relaxed, all: no other process has the channel yet.
        facts.capacity.store(size.capacity as u64, Relaxed);
        facts.region_bytes.store(region_bytes as u64, Relaxed);
        facts.counts_until_done.store(size.counts_until_done.into(), Relaxed);
        facts.stride.store(size.stride as u32, Relaxed);
        Ok(memory)
    }

    /// The memory of a channel that another process has made, whose messages are of a type with so
    /// many words in a slot. `has_regions`: whether they may lie in regions.
    pub(super) fn open(
        block: Block,
        stride: usize,
        has_regions: bool,
    ) -> Result<Self, SegmentFault> {
        let begins_at_page = block.as_ptr().addr().get().is_multiple_of(page_size());
        if block.len() < size_of::<Header>() || !begins_at_page {
            return Err(SegmentFault::OtherLength);
        }
        // SAFETY: the block begins at a page and has the bytes of a header, as just checked, which
        // consists of atomics.
        let facts = unsafe { &block.as_ptr().cast::<Header>().as_ref().facts };
        // Relaxed, all: written before the handle was sent.
        let number = |word: &AtomicU64| usize::try_from(word.load(Relaxed)).unwrap_or(usize::MAX);
        let (capacity, region_bytes) = (number(&facts.capacity), number(&facts.region_bytes));
        let counts_until_done = facts.counts_until_done.load(Relaxed) != 0;
        let size = Size { capacity, stride, max_bytes: None, has_regions, counts_until_done };
        let fits = (1..=MAX_CAPACITY).contains(&capacity)
            && (has_regions || region_bytes == 0)
            && region_bytes.is_multiple_of(page_size())
            && facts.stride.load(Relaxed) as usize == stride
            && Parts::of(size, region_bytes).bytes == block.len();
        if fits {
            Ok(Self::in_block(block, size, region_bytes))
        } else {
            Err(SegmentFault::OtherLength)
        }
    }

    /// The parts of a block that has just the bytes of all of them.
    fn in_block(block: Block, size: Size, region_bytes: usize) -> Self {
        let Size { capacity, stride, counts_until_done, .. } = size;
        let Parts { words, blocks_at, each, regions_at, .. } = Parts::of(size, region_bytes);
        let base = block.as_ptr().as_ptr();
        // SAFETY: within the block, which begins at a page and which this value keeps, as does
        // every user of the references; zeroed memory is a header and words of atomics, which other
        // processes may write at any time.
        let (header, words, blocks) = unsafe {
            let header: &'static Header = &*base.cast();
            let first = base.add(size_of::<Header>()).cast::<AtomicU64>();
            let block = base.add(blocks_at).cast::<AtomicU64>();
            let words = std::slice::from_raw_parts(first, words);
            (header, words, std::slice::from_raw_parts(block, each * MAX_PARTIES))
        };
        let capacity = u32::try_from(capacity).expect("at most 2^24");
        let (tail, head, lost) = (&*header.tail, &*header.head, &*header.lost);
        let ring = Ring { tail, head, lost, words, stride, capacity };
        let blocks = Blocks { words: blocks, each };
        Self { header, ring, blocks, region_bytes, counts_until_done, regions_at, block }
    }

    /// The `len` bytes at `offset` of the region at `place`, if they lie in it.
    pub(super) fn range(&self, place: usize, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let within = offset.checked_add(len)? <= self.region_bytes && place < MAX_PARTIES;
        // SAFETY: within the block, which ends with the regions.
        let start = within.then(|| unsafe {
            self.block.as_ptr().as_ptr().add(self.regions_at + place * self.region_bytes + offset)
        })?;
        NonNull::new(start)
    }
}

/// Whether both are the memory of one channel, seen in one way.
impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        let parts = |memory: &Self| {
            (
                memory.ring.stride,
                memory.ring.capacity,
                memory.region_bytes,
                memory.counts_until_done,
            )
        };
        self.block == other.block && parts(self) == parts(other)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("capacity", &self.ring.capacity).finish_non_exhaustive()
    }
}
