//! The memory of a channel: in one segment, the header, the table of parties and the ring.
//!
//! Invariant: `#[repr(C)]`, atomics only, offsets pinned below; fresh zeroed memory is an empty
//! channel. Lines are grouped by their writer: senders write `tail`, receivers `head`, and what
//! each operation reads of the other side changes only when a thread there sleeps or leaves.

use std::{fmt, sync::Arc};

use crossbeam_utils::CachePadded;
use pool_shm::{Mapping, Segment};

use super::{
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
    assert!(offset_of!(Header, parties) == 640);
    assert!(size_of::<Header>() == 640 + MAX_PARTIES * 16);
};

/// The memory, mapped in this process and in those that are forked from it.
pub(super) struct Memory {
    pub(super) header: &'static Header,
    pub(super) ring: Ring,
    _mapping: Arc<Mapping>,
}

impl Memory {
    /// Fresh memory for `capacity` messages in slots of `stride` words.
    pub(super) fn new(capacity: usize, stride: usize) -> Result<Self, ChannelError> {
        if capacity == 0 {
            return Err(ChannelError::NoCapacity);
        }
        if capacity > MAX_CAPACITY {
            return Err(ChannelError::TooManySlots { capacity, most: MAX_CAPACITY });
        }
        let words = capacity * stride;
        let bytes = size_of::<Header>() + words * size_of::<u64>();
        let segment = Segment::create("pool-ipc channel", bytes as u64)?;
        let mapping = Arc::new(segment.map_unlocked()?);
        let base = mapping.as_ptr();
        // SAFETY: within the mapping, which begins at a page and which this value keeps, as does
        // every user of the references; zeroed memory is a header and words of atomics, which other
        // processes may write at any time.
        let (header, words) = unsafe {
            let header: &'static Header = &*base.cast();
            let first = base.add(size_of::<Header>()).cast::<AtomicU64>();
            (header, std::slice::from_raw_parts(first, words))
        };
        let capacity = u32::try_from(capacity).expect("at most 2^24");
        let (tail, head, lost) = (&*header.tail, &*header.head, &*header.lost);
        let ring = Ring { tail, head, lost, words, stride, capacity };
        Ok(Self { header, ring, _mapping: mapping })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("capacity", &self.ring.capacity).finish_non_exhaustive()
    }
}
