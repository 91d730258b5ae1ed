//! A flag to wait for.
//!
//! Invariant: no process holds anything, so one that dies leaves nothing. If a process is killed
//! between raising the flag and waking, the waiters see the flag, since they look at it
//! themselves.

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use super::{
    backoff::{Backoff, Rest},
    event_count::EventCount,
    lock_layout::{Content, Head, LockLayout},
};
use crate::{Block, ElementType, Error, Kind, SegmentFault, SharedSegment};

/// A flag that processes raise, lower and wait for. Clones are handles to the same one.
///
/// ```
/// # use pool_shm as pool_api;
/// use std::{thread, time::Duration};
/// use pool_api::SharedEvent;
///
/// let ready = SharedEvent::new()?;
/// assert!(!ready.wait_timeout(Duration::from_millis(1)));
/// thread::scope(|scope| {
///     scope.spawn(|| ready.wait());
///     ready.set();
/// });
/// assert!(ready.is_set());
/// # Ok::<(), pool_shm::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedEvent {
    layout: LockLayout<RawEvent>,
}

/// The part of an event that lies in shared memory.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawEvent {
    set: AtomicU32,
    raised: EventCount,
}

impl Head for RawEvent {
    const KIND: Kind = Kind::Event;

    fn words(&self, _most: usize) -> Option<usize> {
        Some(0)
    }

    fn namespace(&self) -> u64 {
        0
    }
}

impl SharedEvent {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.layout.block()
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<()>();
        Self::in_block(Block::open(segment, slot, Kind::Event, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        LockLayout::open(block, 1).map(|(layout, _)| Self { layout })
    }

    /// An event that is not set.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up.
    pub fn new() -> Result<Self, Error> {
        let head = RawEvent { set: AtomicU32::new(0), raised: EventCount::new() };
        Ok(Self { layout: LockLayout::new(head, 0, Content::none())? })
    }

    /// Sets it: all threads that wait now or later go on.
    pub fn set(&self) {
        self.head().set.store(1, SeqCst);
        self.head().raised.wake_all();
    }

    /// Clears it: threads that wait from now on wait for the next [`set`](Self::set). Threads that
    /// waited before the last one go on.
    pub fn clear(&self) {
        self.head().set.store(0, SeqCst);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.head().set.load(SeqCst) != 0
    }

    /// Waits until it is set.
    pub fn wait(&self) {
        self.wait_with(Backoff::endless);
    }

    /// Waits until it is set, but not longer than `timeout`; returns whether it was set.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_with(|| Backoff::at_most(timeout))
    }

    fn wait_with(&self, backoff: impl FnOnce() -> Backoff) -> bool {
        if self.is_set() {
            return true;
        }
        let ticket = self.head().raised.listen();
        let mut backoff = backoff();
        loop {
            // It may have been cleared again since it rang.
            if self.is_set() || self.head().raised.has_changed_since(ticket) {
                return true;
            }
            if self.head().raised.rest(ticket, &mut backoff) == Rest::Over {
                return self.is_set() || self.head().raised.has_changed_since(ticket);
            }
        }
    }

    fn head(&self) -> &RawEvent {
        self.layout.head()
    }
}

impl fmt::Debug for SharedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEvent")
            .field("set", &self.is_set())
            .field("block", self.block())
            .finish()
    }
}
