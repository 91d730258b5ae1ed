//! Permits that processes hold.
//!
//! Invariant: a permit that was taken is given back by the process that took it, or comes back when
//! that has ended.

use std::{fmt, num::NonZeroU64, time::Duration};

use super::{
    backoff::Backoff,
    error::LockError,
    lock_layout::{Content, Head, LockLayout, maker},
    raw_semaphore::{RawSemaphore, SemaphoreParts},
};
use crate::{
    Block, ElementType, Error, Kind, SegmentFault, SharedSegment, fork_mark::is_this_process,
};

/// A number of permits, shared by processes. Clones are handles to the same semaphore.
///
/// A permit belongs to the *process* that took it, whichever of its threads has it, and comes back
/// when dropped, or when the process has ended in any way; [`reclaimed`](Self::reclaimed) counts
/// the latter.
///
/// A semaphore from [`new`](Self::new) never has more permits than at first. One from
/// [`with_limit`](Self::with_limit) can be given more, and [`SharedPermit::consume`] takes one away
/// for ever: so it counts what some processes make and others use up.
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::{LockError, SharedSemaphore};
///
/// let licences = SharedSemaphore::new(2)?;
/// let (one, two) = (licences.acquire()?, licences.acquire()?);
/// assert!(matches!(licences.try_acquire(), Err(LockError::WouldBlock)));
/// drop(one);
/// assert_eq!(licences.available(), 1);
///
/// let items = SharedSemaphore::with_limit(0, 1000)?;
/// items.add_permit()?; // "there is one"
/// items.acquire()?.consume(); // "I have taken it"
/// # drop(two);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedSemaphore {
    layout: LockLayout<RawSemaphore>,
}

impl Head for RawSemaphore {
    const KIND: Kind = Kind::Semaphore;

    fn words(&self, most: usize) -> Option<usize> {
        Some(self.limit()).filter(|limit| (1..=most).contains(limit))
    }

    fn namespace(&self) -> u64 {
        self.namespace()
    }
}

impl SharedSemaphore {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.layout.block()
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<()>();
        Self::in_block(Block::open(segment, slot, Kind::Semaphore, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        LockLayout::open(block, 1).map(|(layout, _)| Self { layout })
    }

    /// A semaphore with `permits` permits, and never more.
    ///
    /// # Errors
    ///
    /// [`Error::TooFew`] for 0, [`Error::TooLong`] for more than there can be, [`Error::Os`] when
    /// descriptors or address space are used up, or without `/proc`.
    pub fn new(permits: usize) -> Result<Self, Error> {
        Self::with_limit(permits, permits)
    }

    /// A semaphore with `permits` permits at first, or `limit` if that is less, and at most `limit`
    /// later. Each possible permit takes 8 bytes.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new), for `limit`.
    pub fn with_limit(permits: usize, limit: usize) -> Result<Self, Error> {
        if limit == 0 {
            return Err(Error::TooFew { what: "permits", least: 1 });
        }
        let layout = LockLayout::new(RawSemaphore::new(&maker()?, limit), limit, Content::none())?;
        let semaphore = Self { layout };
        semaphore.parts().begin_with(permits.min(limit));
        Ok(semaphore)
    }

    /// Waits for a permit and takes it.
    ///
    /// # Errors
    ///
    /// [`LockError::ForeignNamespace`], [`LockError::Unidentified`].
    pub fn acquire(&self) -> Result<SharedPermit, LockError> {
        self.permit(Backoff::endless)
    }

    /// Takes a permit if there is one. If there is none, it costs some microseconds for each holder
    /// to find out whether it lives.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and the errors of [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<SharedPermit, LockError> {
        self.permit(Backoff::none).map_err(LockError::of_a_try)
    }

    /// Waits for a permit, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and the errors of [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SharedPermit, LockError> {
        self.permit(|| Backoff::at_most(timeout))
    }

    /// Makes one more permit.
    ///
    /// # Errors
    ///
    /// [`LockError::TooManyPermits`] if there are as many as there can be, held or not.
    pub fn add_permit(&self) -> Result<(), LockError> {
        self.parts().add()
    }

    /// How many permits are free just now. The permits of a process that died count as held until a
    /// process asks for a permit and finds none, which is when they come back.
    pub fn available(&self) -> usize {
        self.parts().available()
    }

    /// How many permits there can be.
    pub fn limit(&self) -> usize {
        self.layout.table().len()
    }

    /// How many permits came back from dead processes. One may be missing for each process that was
    /// killed while it took one back.
    pub fn reclaimed(&self) -> u64 {
        self.layout.head().reclaimed()
    }

    fn permit(&self, backoff: impl FnOnce() -> Backoff) -> Result<SharedPermit, LockError> {
        let (index, process) = self.parts().acquire(backoff)?;
        Ok(SharedPermit { semaphore: self.clone(), index, process, used_up: false })
    }

    fn parts(&self) -> SemaphoreParts<'_> {
        SemaphoreParts { head: self.layout.head(), permits: self.layout.table() }
    }
}

/// One permit of a [`SharedSemaphore`]; given back when dropped.
///
/// It may be sent to another thread, but a forked process has none of its parent's permits: it
/// drops a copy.
#[must_use = "the permit is given back at once"]
pub struct SharedPermit {
    semaphore: SharedSemaphore,
    index: usize,
    /// The process that took it, as the fork mark numbers it.
    process: NonZeroU64,
    used_up: bool,
}

impl SharedPermit {
    /// Uses the permit up: it does not come back, and there is room for one more to be added.
    pub fn consume(mut self) {
        self.used_up = true;
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        if is_this_process(self.process) {
            let parts = self.semaphore.parts();
            if self.used_up { parts.consume(self.index) } else { parts.release(self.index) }
        }
    }
}

impl fmt::Debug for SharedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSemaphore")
            .field("available", &self.available())
            .field("limit", &self.limit())
            .field("block", self.block())
            .finish()
    }
}

impl fmt::Debug for SharedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedPermit").field(&self.index).finish()
    }
}
