//! A mutex for processes, with the data it protects.
//!
//! Invariant: code that has a `&T` or `&mut T` of the data holds the lock: all access goes through
//! a guard, and a guard knows when it is a copy that a fork made.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytemuck::Pod;

use super::{
    backoff::Backoff,
    error::LockError,
    guarded::Guarded,
    leaked,
    lock_layout::{Head, maker},
    owner::{Me, Owner},
    raw_mutex::{RawMutex, Taken},
};
use crate::{Block, ElementType, Error, Exclusive, Kind, SegmentFault, SharedSegment};

/// A mutex that threads of any process can lock, around plain data in shared memory. Clones are
/// handles to the same one.
///
/// `T` is any [`Pod`] type, or a slice of one; `SharedMutex<()>` is a lock alone. A lock that no
/// other thread wants costs no system call to take and to give back.
///
/// # When a holder dies
///
/// The next thread to ask gets [`LockError::HolderDied`] with a guard in it, since the data may be
/// half changed. It can repair them and say so, or give up by dropping the guard (or the error with
/// it), and then no thread gets the lock any more. To die means that the *thread* ended: killed
/// with its process, or returned while a guard of its own was forgotten. (If that guard was not on
/// the stack when it was used, another thread may still have a reference to the data: then the lock
/// is given up at once.) A holder that was stopped lives. So does one that replaced its program by
/// `exec`, until the new program ends. A panic unlocks.
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::{LockError, SharedMutex};
///
/// let balance = SharedMutex::new([100i64, 0])?;
/// match balance.lock() {
///     Ok(mut both) => {
///         both[0] -= 7;
///         both[1] += 7;
///     }
///     Err(LockError::HolderDied(mut both)) => {
///         both[1] = 100 - both[0]; // what must hold here, whichever thread died
///         both.mark_repaired();
///     }
///     Err(error) => return Err(error.give_up().into()),
/// }
/// assert_eq!(*balance.lock().map_err(LockError::give_up)?, [93, 7]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who is trusted
///
/// Every process that has the segment mapped can write it. References into it are sound only if
/// every such process runs this code, and no code that scribbles over memory that is not its own.
/// Nor must the descriptor be used as a file: writes by `File::from(fd)` change what a guard lends,
/// as those to `/proc/self/mem` do, although they are safe code.
/// ([`Segment::from_fd`](crate::Segment::from_fd) refuses it.) A process that is forked while it
/// holds a guard has a copy of it: dropping that unlocks nothing, but its data are the parent's
/// (see [`exclusive_borrows`](crate::exclusive_borrows)).
pub struct SharedMutex<T: ?Sized> {
    inner: Guarded<RawMutex, T>,
}

impl Head for RawMutex {
    const KIND: Kind = Kind::Mutex;

    fn words(&self, _most: usize) -> Option<usize> {
        Some(0)
    }

    fn namespace(&self) -> u64 {
        self.namespace()
    }
}

impl<T: Pod> SharedMutex<T> {
    /// A mutex around `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up, or without `/proc`.
    pub fn new(value: T) -> Result<Self, Error> {
        Guarded::new(RawMutex::new(&maker()?), 0, value).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::Mutex, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open(block).map(|inner| Self { inner })
    }
}

impl<T: Pod> SharedMutex<[T]> {
    /// A mutex around a copy of `values`.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](SharedMutex::new).
    pub fn from_slice(values: &[T]) -> Result<Self, Error> {
        Guarded::from_slice(RawMutex::new(&maker()?), 0, values).map(|inner| Self { inner })
    }

    /// A mutex around `len` values of zero bytes, which take memory when they are touched first.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](SharedMutex::new), and [`Error::TooLong`].
    pub fn zeroed(len: usize) -> Result<Self, Error> {
        Guarded::zeroed(RawMutex::new(&maker()?), 0, len).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::Mutex, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open_slice(block).map(|inner| Self { inner })
    }
}

impl<T: ?Sized> SharedMutex<T> {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.inner.block()
    }

    /// Waits until no other thread holds the lock, and takes it.
    ///
    /// # Errors
    ///
    /// [`LockError::HolderDied`] with a guard, [`Unrecoverable`](LockError::Unrecoverable) for ever
    /// after that was dropped without repair. [`WouldDeadlock`](LockError::WouldDeadlock) if this
    /// thread has the lock already. [`ForeignNamespace`](LockError::ForeignNamespace),
    /// [`Unidentified`](LockError::Unidentified).
    #[inline]
    pub fn lock(&self) -> Result<SharedMutexGuard<'_, T>, LockError<SharedMutexGuard<'_, T>>> {
        self.guard(self.inner.head().lock(Backoff::endless))
    }

    /// Takes the lock if no thread has it. If one has, it costs some microseconds to find out
    /// whether that thread lives.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] if another thread has it, and the errors of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<SharedMutexGuard<'_, T>, LockError<SharedMutexGuard<'_, T>>> {
        self.guard(self.inner.head().lock(Backoff::none).map_err(LockError::of_a_try))
    }

    /// Waits for the lock, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and the errors of [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SharedMutexGuard<'_, T>, LockError<SharedMutexGuard<'_, T>>> {
        self.guard(self.inner.head().lock(|| Backoff::at_most(timeout)))
    }

    #[inline]
    fn guard(
        &self,
        taken: Result<(Taken, Owner), LockError>,
    ) -> Result<SharedMutexGuard<'_, T>, LockError<SharedMutexGuard<'_, T>>> {
        let guard = |owner, unrepaired| SharedMutexGuard {
            mutex: self,
            owner,
            unrepaired,
            _exclusive: Exclusive::begin(),
        };
        match taken {
            Ok((Taken::Given, owner)) => Ok(guard(owner, false)),
            Ok((Taken::FromTheDead, owner)) => Err(LockError::HolderDied(guard(owner, true))),
            Err(error) => Err(error.widen()),
        }
    }
}

/// Holds a [`SharedMutex`]; unlocks it when dropped.
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(pool_api::SharedMutex::new(0u8).unwrap().lock().unwrap());
/// ```
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(&pool_api::SharedMutex::new(0u8).unwrap().lock().unwrap()); // but `&*guard` can be sent
/// ```
#[must_use = "the mutex is unlocked at once"]
pub struct SharedMutexGuard<'a, T: ?Sized> {
    mutex: &'a SharedMutex<T>,
    owner: Owner,
    unrepaired: bool,
    /// Keeps the guard in its thread, and references to it, too: one of those could give a
    /// reference to the data when the thread has ended.
    _exclusive: Exclusive,
}

impl<'a, T: ?Sized> SharedMutexGuard<'a, T> {
    /// Declares that the data are whole again after a holder died. The next thread locks as if
    /// nothing had happened.
    pub fn mark_repaired(&mut self) {
        self.unrepaired = false;
    }

    /// Whether dropping this guard makes the lock [`Unrecoverable`](LockError::Unrecoverable).
    pub fn is_unrepaired(&self) -> bool {
        self.unrepaired
    }

    /// The mutex that this guard holds.
    pub(super) fn mutex(&self) -> &'a SharedMutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for SharedMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        leaked::note(self);
        // SAFETY: initialised, since any bytes are a value of plain data; no other thread has
        // access while this one holds the lock, nor after it has ended with a leaked guard, which
        // was noted.
        unsafe { self.mutex.inner.data().as_ref() }
    }
}

impl<T: ?Sized> DerefMut for SharedMutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        leaked::note(self);
        // SAFETY: as in `deref`, and the guard itself is borrowed exclusively.
        unsafe { self.mutex.inner.data().as_mut() }
    }
}

impl<T: ?Sized> Drop for SharedMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // In a forked child the holder is the parent's thread.
        if Me::is_thread(self.owner) {
            let raw = self.mutex.inner.head();
            if self.unrepaired { raw.give_up() } else { raw.unlock() }
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SharedMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized> Clone for SharedMutex<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for SharedMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMutex").field("block", self.block()).finish_non_exhaustive()
    }
}
