//! The layout of the board's memory.
//!
//! Invariant: `#[repr(C)]`, atomics only, offsets pinned below; fresh zeroed memory is a valid
//! board in which every slot is free. Lines of 64 bytes are grouped by their writer, so that a
//! claimer at work and the publisher do not pull a line to and fro.

use crossbeam_utils::CachePadded;

use crate::primitive::{AtomicI64, AtomicU32, AtomicU64};

/// The most places (worker ids) a board can have.
pub const MAX_PLACES: usize = if cfg!(loom) { 64 } else { 4096 };
pub(super) const MASK_WORDS: usize = MAX_PLACES / 64;

/// How many rows and slots a board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows: one for each place a claimer may take.
    pub places: usize,
    /// Slots: how many chunks may be published, running or finished at once.
    pub slots: usize,
}

impl Shape {
    /// Bytes of memory that a board of this shape takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.rings_offset() + (self.places + 1) * self.slots * size_of::<u32>()
    }

    pub(super) const fn slots_offset(self) -> usize {
        size_of::<Header>() + self.places * size_of::<Row>()
    }

    pub(super) const fn rings_offset(self) -> usize {
        self.slots_offset() + self.slots * size_of::<Slot>()
    }
}

#[repr(C)]
pub(super) struct Header {
    /// Counts publications; the last ring names their slots.
    pub(super) published: CachePadded<AtomicU64>,
    /// A publication that was claimed lately: a hint for claimers that are far behind.
    pub(super) claimed: CachePadded<AtomicU64>,
    /// The publisher's sleep: see `sleep.rs`.
    pub(super) publisher: CachePadded<PublisherSleep>,
    /// The watcher of the clocks: see `clock.rs`.
    pub(super) alarm: CachePadded<Alarm>,
    /// One bit per place: its claimer sleeps, or is about to.
    pub(super) sleepers: CachePadded<[AtomicU64; MASK_WORDS]>,
    /// Segments that the publisher has let go.
    pub(super) release_notices: CachePadded<ReleaseNotices>,
    /// The chunks that go first, and whether calls wait: see `precedence.rs`.
    pub(super) first: CachePadded<First>,
}

/// How many let-go segments the board can name.
pub(super) const RELEASE_NOTICES: usize = if cfg!(loom) { 2 } else { 64 };

#[repr(C)]
pub(super) struct ReleaseNotices {
    pub(super) count: AtomicU64,
    /// Halves of 128 bits.
    pub(super) ids: [[AtomicU64; 2]; RELEASE_NOTICES],
}

/// How many chunks that go first the board names at a time.
pub(super) const FIRST: usize = if cfg!(loom) { 2 } else { 14 };

#[repr(C)]
pub(super) struct First {
    pub(super) count: AtomicU64,
    /// Not 0 while several calls have chunks under way, and some of those wait.
    pub(super) others_wait: AtomicU32,
    pub(super) _pad: AtomicU32,
    /// Generations and slots.
    pub(super) ring: [AtomicU64; FIRST],
}

#[repr(C)]
pub(super) struct PublisherSleep {
    pub(super) state: AtomicU32,
    pub(super) _pad: AtomicU32,
    pub(super) wanted: AtomicI64,
}

#[repr(C)]
pub(super) struct Alarm {
    /// When the watcher looks at the clocks next; 0: never.
    pub(super) at: AtomicU64,
    /// How many items it has timed out.
    pub(super) time_outs: AtomicU64,
}

/// How many of the slots for its claimer alone a row names.
pub(super) const TARGETED: usize = if cfg!(loom) { 2 } else { 16 };

/// One place for a claimer.
#[repr(C, align(128))]
pub(super) struct Row {
    /// Written by the claimer: how many slots it has finished; its ring names them.
    pub(super) finished: AtomicU64,
    /// Written by the claimer first of all, so that the process that inherits it knows which
    /// process to wait for.
    pub(super) pid: AtomicU32,
    pub(super) incarnation: AtomicU32,
    /// Written by the claimer: not 0 while it keeps segments in case they are needed again.
    pub(super) keeps: AtomicU32,
    /// Written by the claimer: not 0 while it is not ready to claim.
    pub(super) stage: AtomicU32,
    /// Written by the claimer at its end: not 0 when the system has refused it memory.
    pub(super) refused: AtomicU32,
    /// Written by the claimer at its end: not 0 when its stack has overflowed.
    pub(super) overflowed: AtomicU32,
    pub(super) _rest: [AtomicU64; 4],
    /// When the item in hand is overdue: see `clock.rs`. Apart from the words that a waiting
    /// publisher reads.
    pub(super) clock: AtomicU64,
    /// How long that item may take.
    pub(super) limit: AtomicU64,
    /// Written by the claimer: the offset of its last words in its arena, their length in bytes,
    /// and how many identities of segments follow them.
    pub(super) last_words: AtomicU64,
    pub(super) last_words_len: AtomicU64,
    pub(super) last_words_segments: AtomicU64,
    /// How long an item may go on once it was notified that it is overdue.
    pub(super) grace: AtomicU64,
    pub(super) _clock_rest: [AtomicU64; 2],
    /// Written by the publisher.
    pub(super) orders: CachePadded<Orders>,
}

#[repr(C)]
pub(super) struct Orders {
    /// Futex that the claimer sleeps on; counted up by each process that wakes it.
    pub(super) wake_count: AtomicU32,
    /// Not 0: the incarnation that shall end after what it has in hand.
    pub(super) leave: AtomicU32,
    /// Counts the slots that only this place's claimer may claim, and names the last ones: see
    /// `targeted.rs`.
    pub(super) targeted: AtomicU32,
    pub(super) ring: [AtomicU32; TARGETED],
    /// The serial number of the incarnation that is to come, or is there.
    pub(super) serial: AtomicU64,
}

/// One slot. Line 0 and 1 are written by the publisher (the word by both), line 2 by the claimer,
/// line 3 by both, seldom.
#[repr(C, align(128))]
pub(super) struct Slot {
    pub(super) word: AtomicU64,
    pub(super) audience: AtomicU64,
    pub(super) record: AtomicU64,
    pub(super) function: AtomicU64,
    pub(super) items: AtomicU64,
    pub(super) range: AtomicU64,
    pub(super) shape: AtomicU64,
    pub(super) context: AtomicU64,

    pub(super) signature: AtomicU64,
    pub(super) context_offset: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) manifest: AtomicU64,
    pub(super) context_manifest: AtomicU64,
    pub(super) limit: AtomicU64,
    pub(super) grace: AtomicU64,
    pub(super) first: AtomicU64,

    pub(super) progress: AtomicU64,
    pub(super) results: AtomicU64,
    pub(super) end: AtomicU64,
    pub(super) nanos: AtomicU64,
    pub(super) failure: AtomicU64,
    pub(super) failure_len: AtomicU64,
    pub(super) result_manifest: AtomicU64,
    pub(super) _claimer_rest: AtomicU64,
    /// The word of `progress` at which the item in hand has reported steps, and these steps.
    pub(super) steps_at: AtomicU64,
    pub(super) steps_done: AtomicU64,
    pub(super) steps_total: AtomicU64,
    /// Written by the publisher, where claimers have to know it: the same for all chunks of a call.
    pub(super) call: AtomicU64,
    pub(super) _rest: [AtomicU64; 4],
}

#[cfg(not(loom))]
const _: () = {
    use std::mem::offset_of;
    // Two lines, since processors fetch them in pairs.
    assert!(align_of::<CachePadded<u64>>() == 128);
    assert!(size_of::<Slot>() == 256);
    assert!(offset_of!(Slot, signature) == 64);
    assert!(offset_of!(Slot, progress) == 128);
    assert!(offset_of!(Slot, steps_at) == 192);
    assert!(size_of::<Row>() == 256);
    assert!(offset_of!(Row, clock) == 64);
    assert!(offset_of!(Row, orders) == 128);
    assert!(offset_of!(Header, publisher) == 256);
    assert!(offset_of!(Header, alarm) == 384);
    assert!(offset_of!(Header, sleepers) == 512);
    assert!(offset_of!(Header, release_notices) == 512 + MAX_PLACES / 8);
    assert!(
        offset_of!(Header, first)
            == offset_of!(Header, release_notices) + 128 + RELEASE_NOTICES * 16
    );
    assert!(size_of::<Header>() == offset_of!(Header, first) + 128);
};
