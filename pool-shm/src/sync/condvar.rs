//! Waiting for what a mutex protects.
//!
//! Invariant: a waiter signs nothing and counts for nothing, so no process misses one that dies. (A
//! condition variable that counts its waiters hangs after one was killed, as glibc's does.)

use std::{fmt, sync::atomic::AtomicU32, time::Duration};

use super::{
    backoff::{Backoff, Rest},
    error::LockError,
    event_count::EventCount,
    lock_layout::{Content, Head, LockLayout},
    mutex::SharedMutexGuard,
};
use crate::{Block, ElementType, Error, Kind, SegmentFault, SharedSegment};

/// The result of a waiter: the guard, and whether the time was over.
type Waited<'a, T> = Result<(SharedMutexGuard<'a, T>, bool), LockError<SharedMutexGuard<'a, T>>>;

/// After this long a waiter looks for itself whether there is something to wait for.
const LONGEST: Duration = Duration::from_millis(500);

/// A condition variable: threads of any process wait until another thread has changed the data that
/// a [`SharedMutex`](crate::SharedMutex) protects. Clones are handles to the same one.
///
/// A waiter may go on without having been notified, more often than with the standard library's: so
/// wait in a loop. Better, wait with [`wait_while`](Self::wait_while), which goes on even if the
/// thread that should have notified died.
///
/// ```
/// # use pool_shm as pool_api;
/// use std::thread;
/// use pool_api::{LockError, SharedCondvar, SharedMutex};
///
/// let (queued, changed) = (SharedMutex::new(0u32)?, SharedCondvar::new()?);
/// thread::scope(|scope| {
///     scope.spawn(|| {
///         *queued.lock().map_err(LockError::give_up)? += 1;
///         changed.notify_one();
///         Ok::<(), LockError>(())
///     });
///     let guard = queued.lock().map_err(LockError::give_up)?;
///     *changed.wait_while(guard, |queued| *queued == 0).map_err(LockError::give_up)? -= 1;
///     Ok::<(), LockError>(())
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedCondvar {
    layout: LockLayout<RawCondvar>,
}

/// The part of a condition variable that lies in shared memory.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawCondvar {
    notified: EventCount,
    _unused: AtomicU32,
}

impl Head for RawCondvar {
    const KIND: Kind = Kind::Condvar;

    fn words(&self, _most: usize) -> Option<usize> {
        Some(0)
    }

    fn namespace(&self) -> u64 {
        0
    }
}

impl SharedCondvar {
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
        Self::in_block(Block::open(segment, slot, Kind::Condvar, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        LockLayout::open(block, 1).map(|(layout, _)| Self { layout })
    }

    /// Makes a condition variable on which no thread waits.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up.
    pub fn new() -> Result<Self, Error> {
        let head = RawCondvar { notified: EventCount::new(), _unused: AtomicU32::new(0) };
        Ok(Self { layout: LockLayout::new(head, 0, Content::none())? })
    }

    /// Gives the lock back, waits to be notified, and locks again. A notification after the lock
    /// was given back is not missed.
    ///
    /// After half a second it returns without one: a thread that waits in a loop sees a change
    /// although the thread that made it died before it could notify.
    ///
    /// # Errors
    ///
    /// The errors of [`SharedMutex::lock`](crate::SharedMutex::lock), also
    /// [`LockError::HolderDied`] if another died meanwhile. A guard whose data were not repaired
    /// cannot be given back: that ends in [`LockError::Unrecoverable`].
    pub fn wait<'a, T: ?Sized>(
        &self,
        guard: SharedMutexGuard<'a, T>,
    ) -> Result<SharedMutexGuard<'a, T>, LockError<SharedMutexGuard<'a, T>>> {
        self.rest(guard, &mut Backoff::at_most(LONGEST), Rest::Over).map(|(guard, _)| guard)
    }

    /// Waits like [`wait`](Self::wait), but not longer than `timeout`, and then as long as the lock
    /// takes; returns whether the time was over.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait).
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: SharedMutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(SharedMutexGuard<'a, T>, bool), LockError<SharedMutexGuard<'a, T>>> {
        self.rest(guard, &mut Backoff::at_most(timeout), Rest::Over)
    }

    /// Waits while `condition` holds. It is asked with the lock held, before the first sleep too,
    /// and then also every few milliseconds without a notification: a thread that died after the
    /// change, and before it could notify, keeps no other waiting.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait).
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: SharedMutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<SharedMutexGuard<'a, T>, LockError<SharedMutexGuard<'a, T>>> {
        let mut backoff = Backoff::endless();
        while condition(&mut guard) {
            guard = self.rest(guard, &mut backoff, Rest::CheckHolders)?.0;
        }
        Ok(guard)
    }

    /// Waits like [`wait_while`](Self::wait_while), but not longer than `timeout`, and then as long
    /// as the lock takes; returns whether the condition still holds.
    ///
    /// # Errors
    ///
    /// The errors of [`wait`](Self::wait).
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: SharedMutexGuard<'a, T>,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(SharedMutexGuard<'a, T>, bool), LockError<SharedMutexGuard<'a, T>>> {
        let (mut backoff, mut over) = (Backoff::at_most(timeout), false);
        loop {
            let holds = condition(&mut guard);
            if !holds || over {
                return Ok((guard, holds));
            }
            (guard, over) = self.rest(guard, &mut backoff, Rest::CheckHolders)?;
        }
    }

    /// Wakes one waiter, if there is any.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes as many threads as wait, but not more than `most`.
    pub fn notify(&self, most: u32) {
        self.layout.head().notified.wake(most);
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.layout.head().notified.wake_all();
    }

    /// Gives the lock back until there is a notification, or a rest that ends with `until` or
    /// [`Rest::Over`].
    fn rest<'a, T: ?Sized>(
        &self,
        guard: SharedMutexGuard<'a, T>,
        backoff: &mut Backoff,
        until: Rest,
    ) -> Waited<'a, T> {
        let mutex = guard.mutex();
        let notified = &self.layout.head().notified;
        // Before the lock is given back: so an event of its next holder is not missed.
        let ticket = notified.listen();
        drop(guard);
        let mut rest = Rest::Again;
        while !notified.has_changed_since(ticket) && rest != until && rest != Rest::Over {
            rest = notified.rest(ticket, backoff);
        }
        Ok((mutex.lock()?, rest == Rest::Over && !notified.has_changed_since(ticket)))
    }
}

impl fmt::Debug for SharedCondvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCondvar").field("block", self.block()).finish()
    }
}
