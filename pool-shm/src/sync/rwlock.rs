//! A lock for several readers or one writer, in any process, with the data it protects.
//!
//! Invariant: a thread that has a `&T` of the data is signed as a reader or is the writer, one that
//! has a `&mut T` is the writer: all access goes through guards, and a guard knows when it is a
//! copy that a fork made.

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
    lock_layout::{Head, LockLayout, maker},
    owner::{Me, Owner},
    raw_mutex::Taken,
    raw_rwlock::{Admitted, RawRwLock, RwLockParts},
};
use crate::{Block, ElementType, Error, Exclusive, Kind, SegmentFault, SharedSegment};

/// How many readers there are places for by default.
const READERS: usize = 64;

/// A lock that many threads of any process can hold to read, or one to write, around plain data in
/// shared memory. Clones are handles to the same one.
///
/// There are places for 64 readers at once, or as many as [`with_readers`](Self::with_readers) was
/// given; one more is [`LockError::TooManyReaders`]. A thread that wants to write goes before
/// threads that want to read later.
///
/// Without contention reading takes about 1.4 times as long as with [`std::sync::RwLock`], writing
/// 1.6 times; each place that a reader ever had adds a little to writing. A
/// [`SharedMutex`](crate::SharedMutex) takes 1.2 times as long as the standard library's: for short
/// sections the mutex is the faster one of the two.
///
/// # When a holder dies
///
/// A writer that died leaves data that may be half changed. The next thread, even one that wants to
/// read, holds the lock *to write* then and gets it in [`LockError::HolderDied`], as with a
/// [`SharedMutex`](crate::SharedMutex), whose sections on death, forks and trust hold here too. A
/// reader that died has changed nothing: a thread that needs its place takes it back, and it is
/// counted in [`dead_readers`](Self::dead_readers).
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::{LockError, SharedRwLock};
///
/// let limits = SharedRwLock::new([1u32, 5])?;
/// {
///     let (one, two) = (limits.read().map_err(LockError::give_up)?, limits.clone());
///     assert_eq!(*one, *two.read().map_err(LockError::give_up)?);
///     assert!(matches!(two.try_write(), Err(LockError::WouldDeadlock)));
/// }
/// limits.write().map_err(LockError::give_up)?[1] = 7;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedRwLock<T: ?Sized> {
    inner: Guarded<RawRwLock, T>,
}

impl Head for RawRwLock {
    const KIND: Kind = Kind::RwLock;

    fn words(&self, most: usize) -> Option<usize> {
        Some(self.places()).filter(|places| (1..=most).contains(places))
    }

    fn namespace(&self) -> u64 {
        self.namespace()
    }
}

impl<'a> From<&'a LockLayout<RawRwLock>> for RwLockParts<'a> {
    fn from(layout: &'a LockLayout<RawRwLock>) -> Self {
        RwLockParts { head: layout.head(), readers: layout.table() }
    }
}

fn head(readers: usize) -> Result<RawRwLock, Error> {
    if readers == 0 {
        return Err(Error::TooFew { what: "places for readers", least: 1 });
    }
    Ok(RawRwLock::new(&maker()?, readers))
}

impl<T: Pod> SharedRwLock<T> {
    /// A lock around `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up, or without `/proc`.
    pub fn new(value: T) -> Result<Self, Error> {
        Self::with_readers(READERS, value)
    }

    /// A lock around `value` that `readers` threads can hold at once. Each place takes 8 bytes, and
    /// a writer looks at all that were ever used.
    ///
    /// # Errors
    ///
    /// [`Error::TooFew`] for 0, [`Error::TooLong`], and the errors of [`new`](Self::new).
    pub fn with_readers(readers: usize, value: T) -> Result<Self, Error> {
        Guarded::new(head(readers)?, readers, value).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::RwLock, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open(block).map(|inner| Self { inner })
    }
}

impl<T: Pod> SharedRwLock<[T]> {
    /// A lock around a copy of `values`.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](SharedRwLock::new).
    pub fn from_slice(values: &[T]) -> Result<Self, Error> {
        Guarded::from_slice(head(READERS)?, READERS, values).map(|inner| Self { inner })
    }

    /// A lock around `len` values of zero bytes that `readers` threads can hold at once. The values
    /// take memory when they are touched first.
    ///
    /// # Errors
    ///
    /// The errors of [`with_readers`](SharedRwLock::with_readers).
    pub fn zeroed(readers: usize, len: usize) -> Result<Self, Error> {
        Guarded::zeroed(head(readers)?, readers, len).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::RwLock, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open_slice(block).map(|inner| Self { inner })
    }
}

impl<T: ?Sized> SharedRwLock<T> {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.inner.block()
    }

    /// Waits until no thread writes, and takes the lock to read.
    ///
    /// # Errors
    ///
    /// [`LockError::HolderDied`] with a guard *to write* if a writer died,
    /// [`Unrecoverable`](LockError::Unrecoverable) for ever after that was dropped without repair.
    /// [`WouldDeadlock`](LockError::WouldDeadlock) if this thread writes, or reads and a writer
    /// waits for that. [`TooManyReaders`](LockError::TooManyReaders),
    /// [`ForeignNamespace`](LockError::ForeignNamespace),
    /// [`Unidentified`](LockError::Unidentified).
    pub fn read(&self) -> Result<SharedReadGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.reader(self.parts().read(Backoff::endless))
    }

    /// Takes the lock to read if no thread writes or waits to write.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and the errors of [`read`](Self::read).
    pub fn try_read(&self) -> Result<SharedReadGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.reader(self.parts().read(Backoff::none).map_err(LockError::of_a_try))
    }

    /// Waits to read, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and the errors of [`read`](Self::read).
    pub fn read_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SharedReadGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.reader(self.parts().read(|| Backoff::at_most(timeout)))
    }

    /// Waits until no other thread holds the lock, and takes it to write.
    ///
    /// # Errors
    ///
    /// [`LockError::HolderDied`] with the guard if a writer died,
    /// [`Unrecoverable`](LockError::Unrecoverable) for ever after that was dropped without repair.
    /// [`WouldDeadlock`](LockError::WouldDeadlock) if this thread has the lock already, also if it
    /// reads. [`ForeignNamespace`](LockError::ForeignNamespace),
    /// [`Unidentified`](LockError::Unidentified).
    pub fn write(&self) -> Result<SharedWriteGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.writer(self.parts().write(Backoff::endless))
    }

    /// Takes the lock to write if no thread has it. If one has, it costs some microseconds to find
    /// out whether that thread lives.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`], and the errors of [`write`](Self::write).
    pub fn try_write(&self) -> Result<SharedWriteGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.writer(self.parts().write(Backoff::none).map_err(LockError::of_a_try))
    }

    /// Waits to write, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], and the errors of [`write`](Self::write).
    pub fn write_timeout(
        &self,
        timeout: Duration,
    ) -> Result<SharedWriteGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        self.writer(self.parts().write(|| Backoff::at_most(timeout)))
    }

    /// How many readers died while they held the lock, as far as another thread needed their place.
    /// One may be missing for each process that was killed while it took a place back.
    pub fn dead_readers(&self) -> u64 {
        self.inner.head().reclaimed()
    }

    fn parts(&self) -> RwLockParts<'_> {
        self.inner.layout().into()
    }

    fn reader(
        &self,
        admitted: Result<(Admitted, Owner), LockError>,
    ) -> Result<SharedReadGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        let _borrow = Exclusive::begin();
        match admitted {
            Ok((Admitted::Reader(place), owner)) => {
                Ok(SharedReadGuard { lock: self, owner, place, _borrow })
            }
            Ok((Admitted::HeirOfWriter, owner)) => Err(LockError::HolderDied(SharedWriteGuard {
                lock: self,
                owner,
                unrepaired: true,
                _borrow,
            })),
            Err(error) => Err(error.widen()),
        }
    }

    fn writer(
        &self,
        taken: Result<(Taken, Owner), LockError>,
    ) -> Result<SharedWriteGuard<'_, T>, LockError<SharedWriteGuard<'_, T>>> {
        let (taken, owner) = taken.map_err(LockError::widen)?;
        let unrepaired = taken == Taken::FromTheDead;
        let guard = SharedWriteGuard { lock: self, owner, unrepaired, _borrow: Exclusive::begin() };
        if unrepaired { Err(LockError::HolderDied(guard)) } else { Ok(guard) }
    }
}

/// Holds a [`SharedRwLock`] to read; gives it back when dropped.
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(pool_api::SharedRwLock::new(0u8).unwrap().read().unwrap());
/// ```
#[must_use = "the lock is given back at once"]
pub struct SharedReadGuard<'a, T: ?Sized> {
    lock: &'a SharedRwLock<T>,
    owner: Owner,
    place: usize,
    /// Keeps the guard in its thread, and counts: a forked child would read data that other
    /// processes can write meanwhile.
    _borrow: Exclusive,
}

/// Holds a [`SharedRwLock`] to write; gives it back when dropped.
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(pool_api::SharedRwLock::new(0u8).unwrap().write().unwrap());
/// ```
#[must_use = "the lock is given back at once"]
pub struct SharedWriteGuard<'a, T: ?Sized> {
    lock: &'a SharedRwLock<T>,
    owner: Owner,
    unrepaired: bool,
    /// Keeps the guard in its thread, too.
    _borrow: Exclusive,
}

impl<T: ?Sized> SharedWriteGuard<'_, T> {
    /// Declares that the data are whole again after a writer died. The next thread locks as if
    /// nothing had happened.
    pub fn mark_repaired(&mut self) {
        self.unrepaired = false;
    }

    /// Whether dropping this guard makes the lock [`Unrecoverable`](LockError::Unrecoverable).
    pub fn is_unrepaired(&self) -> bool {
        self.unrepaired
    }
}

impl<T: ?Sized> Deref for SharedReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        leaked::note(self);
        // SAFETY: initialised, since any bytes are a value of plain data; no thread writes while
        // this one is signed as a reader, nor after it has ended with a leaked guard, which was
        // noted; so below.
        unsafe { self.lock.inner.data().as_ref() }
    }
}

impl<T: ?Sized> Deref for SharedWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        leaked::note(self);
        // SAFETY: initialised, as above; no other thread has access while this one is the writer.
        unsafe { self.lock.inner.data().as_ref() }
    }
}

impl<T: ?Sized> DerefMut for SharedWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        leaked::note(self);
        // SAFETY: as in `deref`, and the guard itself is borrowed exclusively.
        unsafe { self.lock.inner.data().as_mut() }
    }
}

impl<T: ?Sized> Drop for SharedReadGuard<'_, T> {
    fn drop(&mut self) {
        // In a forked child the holder is the parent's thread; so below.
        if Me::is_thread(self.owner) {
            self.lock.parts().leave(self.place);
        }
    }
}

impl<T: ?Sized> Drop for SharedWriteGuard<'_, T> {
    fn drop(&mut self) {
        if Me::is_thread(self.owner) {
            let parts = self.lock.parts();
            if self.unrepaired { parts.give_up() } else { parts.unlock() }
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SharedReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SharedWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized> Clone for SharedRwLock<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for SharedRwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRwLock").field("block", self.block()).finish_non_exhaustive()
    }
}
