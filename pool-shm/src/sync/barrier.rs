//! A barrier for processes.
//!
//! Invariant: a process that has waited once is a party until it lets go of its handles; if it dies
//! before that, the others are told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, sync::Arc, time::Duration};

use super::{
    backoff::Backoff,
    error::LockError,
    lock_layout::{Content, Head, LockLayout, maker},
    process_end::note_waiting,
    raw_barrier::{BarrierParts, RawBarrier},
};
use crate::{Block, ElementType, Error, Kind, SegmentFault, SharedSegment};

/// A barrier at which a number of parties, in any process, wait until all have come. Clones are
/// handles to the same one.
///
/// # When a party dies
///
/// Then the barrier is broken: parties that wait or come get [`LockError::Broken`], until
/// [`reset`](Self::reset) is called. A process is a party from its first [`wait`](Self::wait) until
/// it has dropped all clones of the handle it waited with, or called [`leave`](Self::leave), or
/// another came in its stead, or until it has ended by [`exit_process`](crate::exit_process), as
/// workers of a pool that end in order do; so its death is noticed also between two waits. A
/// process that never waited is not known, and one that is idle
/// ([`begin_idle`](crate::begin_idle)), such as a worker without a task, is not missed.
///
/// ```
/// # use pool_shm as pool_api;
/// use std::thread;
/// use pool_api::{LockError, SharedBarrier};
///
/// let barrier = SharedBarrier::new(3)?;
/// let leaders = thread::scope(|scope| {
///     let others = [(); 2].map(|()| scope.spawn(|| barrier.wait()));
///     let mut leaders = usize::from(barrier.wait()?.is_leader());
///     for other in others {
///         leaders += usize::from(other.join().expect("no panic")?.is_leader());
///     }
///     Ok::<_, LockError>(leaders)
/// })?;
/// assert_eq!(leaders, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedBarrier(Arc<Party>);

/// This process, as far as it has the handle and its clones.
struct Party {
    layout: LockLayout<RawBarrier>,
    /// Whether it ever took a slot.
    waited: AtomicBool,
}

/// The result of a party when all have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedBarrierWaitResult {
    leads: bool,
}

impl SharedBarrierWaitResult {
    /// Whether this party leads: one does in every round, or none if that one was killed just then.
    pub fn is_leader(&self) -> bool {
        self.leads
    }
}

impl Head for RawBarrier {
    const KIND: Kind = Kind::Barrier;

    fn words(&self, most: usize) -> Option<usize> {
        Some(self.parties()).filter(|parties| (1..=most).contains(parties))
    }

    fn namespace(&self) -> u64 {
        self.namespace()
    }
}

impl SharedBarrier {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.0.layout.block()
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<()>();
        Self::in_block(Block::open(segment, slot, Kind::Barrier, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        LockLayout::open(block, 1).map(|(layout, _)| Self::from(layout))
    }

    /// A barrier for so many parties.
    ///
    /// # Errors
    ///
    /// [`Error::TooFew`] for 0, [`Error::TooLong`] for more than there can be, [`Error::Os`] when
    /// descriptors or address space are used up, or without `/proc`.
    pub fn new(parties: usize) -> Result<Self, Error> {
        if parties == 0 {
            return Err(Error::TooFew { what: "parties", least: 1 });
        }
        let head = RawBarrier::new(&maker()?, parties);
        Ok(Self::from(LockLayout::new(head, parties, Content::none())?))
    }

    /// Waits until all parties have come.
    ///
    /// # Errors
    ///
    /// [`LockError::Broken`], [`LockError::ForeignNamespace`], [`LockError::Unidentified`].
    pub fn wait(&self) -> Result<SharedBarrierWaitResult, LockError> {
        self.wait_with(Backoff::endless)
    }

    /// Waits until all parties have come, but not longer than `timeout`: after that the barrier is
    /// broken.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] for the party whose time was over, and the errors of
    /// [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<SharedBarrierWaitResult, LockError> {
        self.wait_with(|| Backoff::at_most(timeout))
    }

    /// Waits until all parties have come and the leader has run its `action`; then all go on. All
    /// parties have to wait in this way, which takes two rounds: one to come together, and one for
    /// the action.
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// use pool_api::{LockError, SharedBarrier, SharedValue};
    ///
    /// let (barrier, rounds) = (SharedBarrier::new(2)?, SharedValue::new(0u32)?);
    /// let party = || {
    ///     for round in 1..=3 {
    ///         barrier.wait_and_lead(|| rounds.set(round))?;
    ///         assert_eq!(rounds.get(), round);
    ///         barrier.wait()?;
    ///     }
    ///     Ok::<_, LockError>(())
    /// };
    /// std::thread::scope(|scope| {
    ///     let other = scope.spawn(party);
    ///     party()?;
    ///     other.join().expect("no panic")
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the action does; that breaks the barrier.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait), also if the leader dies in its action.
    pub fn wait_and_lead(
        &self,
        action: impl FnOnce(),
    ) -> Result<SharedBarrierWaitResult, LockError> {
        let result = self.wait()?;
        if result.is_leader() {
            let unless_done = AbortOnDrop(self);
            action();
            std::mem::forget(unless_done);
        }
        self.wait()?;
        Ok(result)
    }

    /// Announces that this process does not come any more, so that its end breaks nothing. Dropping
    /// all clones of the handle it waited with does the same; a forked child may have some that it
    /// does not know of.
    pub fn leave(&self) {
        self.parts().leave();
    }

    /// Makes the barrier whole and empty. Parties that wait get [`LockError::Broken`].
    pub fn reset(&self) {
        self.parts().reset();
    }

    /// Breaks the barrier: parties that wait now or later get [`LockError::Broken`].
    pub fn abort(&self) {
        self.parts().head.abort();
    }

    /// Whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        self.parts().head.is_broken()
    }

    /// How many have to come.
    pub fn parties(&self) -> usize {
        self.parts().slots.len()
    }

    /// How many wait just now.
    pub fn waiting(&self) -> usize {
        self.parts().waiting()
    }

    fn wait_with(
        &self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<SharedBarrierWaitResult, LockError> {
        // Relaxed: read by the thread that drops the last handle, which comes after.
        self.0.waited.store(true, Ordering::Relaxed);
        note_waiting();
        self.parts().wait(backoff).map(|leads| SharedBarrierWaitResult { leads })
    }

    fn parts(&self) -> BarrierParts<'_> {
        self.0.parts()
    }
}

impl Party {
    fn parts(&self) -> BarrierParts<'_> {
        BarrierParts { head: self.layout.head(), slots: self.layout.table() }
    }
}

/// Breaks the barrier of a leader that panics.
struct AbortOnDrop<'a>(&'a SharedBarrier);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if *self.waited.get_mut() {
            self.parts().leave();
        }
    }
}

impl From<LockLayout<RawBarrier>> for SharedBarrier {
    fn from(layout: LockLayout<RawBarrier>) -> Self {
        Self(Arc::new(Party { layout, waited: AtomicBool::new(false) }))
    }
}

impl fmt::Debug for SharedBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBarrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("broken", &self.is_broken())
            .field("block", self.block())
            .finish()
    }
}
