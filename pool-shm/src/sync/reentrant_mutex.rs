//! A mutex for processes that its own thread may take again, with the data it protects.
//!
//! Invariant: code that has a reference to the data holds the lock, and is in the holder's thread:
//! all access goes through guards, which lend `&Cell` only, and neither a guard nor a `&Cell` can
//! leave its thread. So several guards may lend at once.

use std::{cell::Cell, fmt, ops::Deref, time::Duration};

use bytemuck::Pod;

use super::{
    backoff::Backoff,
    error::LockError,
    guarded::Guarded,
    lock_layout::{Head, maker},
    owner::{Me, Owner},
    raw_mutex::{RawMutex, Taken},
    raw_reentrant_mutex::RawReentrantMutex,
};
use crate::{Block, ElementType, Error, Exclusive, Kind, SegmentFault, SharedSegment};

/// A mutex that a thread may lock again while it holds it, around plain data in shared memory:
/// Python's `multiprocessing.RLock`, with its data. Clones are handles to the same one.
///
/// The lock belongs to one thread of one process until that has dropped the last of its guards, in
/// any order. For a lock that is never taken twice by the same thread,
/// [`SharedMutex`](crate::SharedMutex) lends `&mut T`; a guard of this one cannot, since another
/// guard of the thread could lend a second one. It lends a [`Cell`]: values are copied out and in,
/// and each guard sees at once what was set through another one.
///
/// `T` is any [`Pod`] type, or a slice of one, whose guard lends a slice of cells.
/// `SharedReentrantMutex<()>` is a lock alone. A lock that no other thread wants costs no system
/// call, at any depth.
///
/// ```
/// # use pool_shm as pool_api;
/// use pool_api::{LockError, SharedReentrantMutex};
///
/// fn deposit(balance: &SharedReentrantMutex<i64>, amount: i64) -> Result<(), LockError> {
///     let guard = balance.lock().map_err(LockError::give_up)?;
///     guard.set(guard.get() + amount);
///     Ok(())
/// }
///
/// let balance = SharedReentrantMutex::new(100i64)?;
/// let guard = balance.lock().map_err(LockError::give_up)?;
/// deposit(&balance, 7)?; // locks again, and no other thread comes in between
/// deposit(&balance, -3)?;
/// assert_eq!(guard.get(), 104);
///
/// let table = SharedReentrantMutex::from_slice(&[1u32, 2, 3])?;
/// let (row, again) = (table.lock().map_err(LockError::give_up)?, table.clone());
/// again.lock().map_err(LockError::give_up)?[1].set(20);
/// assert_eq!(row[1].get(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a holder dies
///
/// The next thread to ask gets [`LockError::HolderDied`] with a guard in it, whatever the number of
/// guards that the dead one had. It can repair the data and say so
/// ([`mark_repaired`](SharedReentrantMutexGuard::mark_repaired)). Until then, each further call of
/// that thread gets `HolderDied` with a further guard, so code that it calls is told as well. If
/// the last guard is dropped and the data are not repaired, no thread gets the lock any more:
/// [`LockError::Unrecoverable`]. (So [`LockError::give_up`] of an inner call is final only if no
/// outer one of that thread repairs.)
///
/// To die means that the *thread* ended: killed with its process, or returned while a guard of its
/// own was forgotten or leaked. A holder that was stopped lives. So does one that replaced its
/// program by `exec`, until the new program ends; that has none of its guards, so it gets
/// [`LockError::WouldDeadlock`]. A panic unlocks.
///
/// # Limits
///
/// A thread can have 2³² - 1 guards of a lock; one more is [`LockError::TooManyGuards`].
/// [`SharedCondvar`](crate::SharedCondvar) waits with a `SharedMutex` only.
///
/// # Who is trusted
///
/// Every process that has the segment mapped, in the way that [`SharedMutex`](crate::SharedMutex)
/// describes. A process that is forked while it holds guards has copies of them: dropping those
/// unlocks nothing, and the child locks as any other process does, but the data that the copies
/// lend are the parent's (see [`exclusive_borrows`](crate::exclusive_borrows)).
pub struct SharedReentrantMutex<T: ?Sized> {
    inner: Guarded<RawReentrantMutex, T>,
}

impl Head for RawReentrantMutex {
    const KIND: Kind = Kind::ReentrantMutex;

    fn words(&self, _most: usize) -> Option<usize> {
        Some(0)
    }

    fn namespace(&self) -> u64 {
        self.namespace()
    }
}

/// The head of a fresh lock.
fn head() -> Result<RawReentrantMutex, Error> {
    Ok(RawReentrantMutex::new(RawMutex::new(&maker()?)))
}

impl<T: Pod> SharedReentrantMutex<T> {
    /// A mutex around `value`.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when descriptors or address space are used up, or without `/proc`.
    pub fn new(value: T) -> Result<Self, Error> {
        Guarded::new(head()?, 0, value).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::ReentrantMutex, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open(block).map(|inner| Self { inner })
    }
}

impl<T: Pod> SharedReentrantMutex<[T]> {
    /// A mutex around a copy of `values`.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](SharedReentrantMutex::new).
    pub fn from_slice(values: &[T]) -> Result<Self, Error> {
        Guarded::from_slice(head()?, 0, values).map(|inner| Self { inner })
    }

    /// A mutex around `len` values of zero bytes, which take memory when they are touched first.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](SharedReentrantMutex::new), and [`Error::TooLong`].
    pub fn zeroed(len: usize) -> Result<Self, Error> {
        Guarded::zeroed(head()?, 0, len).map(|inner| Self { inner })
    }

    /// The handle to object number `slot` of a segment, for code that passes on both in a way of
    /// its own.
    ///
    /// # Errors
    ///
    /// The errors of [`Block::open`], and [`SegmentFault::ForeignNamespace`].
    pub fn open(segment: SharedSegment, slot: u32) -> Result<Self, SegmentFault> {
        let element = ElementType::bytes_of::<T>();
        Self::in_block(Block::open(segment, slot, Kind::ReentrantMutex, element)?.0)
    }

    /// The lock in a block that was made for one of this kind and type.
    pub(super) fn in_block(block: Block) -> Result<Self, SegmentFault> {
        Guarded::open_slice(block).map(|inner| Self { inner })
    }
}

/// A guard of a [`SharedReentrantMutex`], or why there is none.
type Locked<'a, T> =
    Result<SharedReentrantMutexGuard<'a, T>, LockError<SharedReentrantMutexGuard<'a, T>>>;

impl<T: ?Sized> SharedReentrantMutex<T> {
    /// The block that it lies in.
    pub fn block(&self) -> &Block {
        self.inner.block()
    }

    /// Waits until no other thread holds the lock, and takes it, or takes it once more.
    ///
    /// # Errors
    ///
    /// [`LockError::HolderDied`] with a guard, until the data are repaired;
    /// [`Unrecoverable`](LockError::Unrecoverable) for ever after the last guard was dropped
    /// without repair. [`TooManyGuards`](LockError::TooManyGuards).
    /// [`WouldDeadlock`](LockError::WouldDeadlock) if this thread locked it and has replaced its
    /// program by `exec` since. [`ForeignNamespace`](LockError::ForeignNamespace),
    /// [`Unidentified`](LockError::Unidentified).
    #[inline]
    pub fn lock(
        &self,
    ) -> Result<SharedReentrantMutexGuard<'_, T>, LockError<SharedReentrantMutexGuard<'_, T>>> {
        self.guard(self.inner.head().lock(Backoff::endless))
    }

    /// Takes the lock if no other thread has it. If one has, it costs some microseconds to find out
    /// whether that thread lives.
    ///
    /// # Errors
    ///
    /// [`LockError::WouldBlock`] if another thread has it, and the errors of [`lock`](Self::lock).
    pub fn try_lock(
        &self,
    ) -> Result<SharedReentrantMutexGuard<'_, T>, LockError<SharedReentrantMutexGuard<'_, T>>> {
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
    ) -> Result<SharedReentrantMutexGuard<'_, T>, LockError<SharedReentrantMutexGuard<'_, T>>> {
        self.guard(self.inner.head().lock(|| Backoff::at_most(timeout)))
    }

    #[inline]
    fn guard(&self, taken: Result<(Taken, Owner), LockError>) -> Locked<'_, T> {
        let guard = |owner| SharedReentrantMutexGuard {
            mutex: self,
            owner,
            _exclusive: Exclusive::begin(),
        };
        match taken {
            Ok((Taken::Given, owner)) => Ok(guard(owner)),
            Ok((Taken::FromTheDead, owner)) => Err(LockError::HolderDied(guard(owner))),
            Err(error) => Err(error.widen()),
        }
    }
}

/// One of the guards by which a thread holds a [`SharedReentrantMutex`]. The last one unlocks it
/// when dropped.
///
/// It lends a [`Cell`] of the data, or a slice of cells. Guard and cells stay in their thread:
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(pool_api::SharedReentrantMutex::new(0u8).unwrap().lock().unwrap());
/// ```
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(&pool_api::SharedReentrantMutex::new(0u8).unwrap().lock().unwrap());
/// ```
///
/// ```compile_fail,E0277
/// # use pool_shm as pool_api;
/// fn sent<T: Send>(_: T) {}
/// sent(&*pool_api::SharedReentrantMutex::new(0u8).unwrap().lock().unwrap()); // a `&Cell<u8>`
/// ```
#[must_use = "the mutex is unlocked at once"]
pub struct SharedReentrantMutexGuard<'a, T: ?Sized> {
    mutex: &'a SharedReentrantMutex<T>,
    owner: Owner,
    /// Keeps the guard and references to it in its thread.
    _exclusive: Exclusive,
}

impl<T: ?Sized> SharedReentrantMutexGuard<'_, T> {
    /// Declares that the data are whole again after a holder died. Later calls lock as if nothing
    /// had happened: those of this thread at once, those of others when it has dropped its guards.
    pub fn mark_repaired(&self) {
        if self.is_ours() {
            self.mutex.inner.head().mark_repaired();
        }
    }

    /// Whether a holder died and no guard of this thread was marked as repaired since. If it is so
    /// when the last guard is dropped, the lock becomes
    /// [`Unrecoverable`](LockError::Unrecoverable).
    pub fn is_unrepaired(&self) -> bool {
        self.is_ours() && self.mutex.inner.head().is_unrepaired()
    }

    /// In a forked child the holder is the parent's thread.
    #[inline]
    fn is_ours(&self) -> bool {
        Me::is_thread(self.owner)
    }

    /// The data. No leaked guard has to be noted, unlike one of a [`SharedMutex`], since no
    /// reference that it lends outlives its thread.
    ///
    /// [`SharedMutex`]: crate::SharedMutex
    #[inline]
    fn cell(&self) -> &Cell<T> {
        // The cast is that of `Cell::from_mut`: a cell has the layout of its content.
        let cell = self.mutex.inner.data().as_ptr() as *const Cell<T>;
        // SAFETY: initialised, since any bytes are a value of plain data, and mapped as long as the
        // handle lives, which `Guarded` keeps. The calling thread holds the lock, since neither
        // guard nor cell can leave the thread that took it, which `Exclusive` and `Cell` see to;
        // so no other thread has access. In this thread all references to the data are to cells.
        unsafe { &*cell }
    }
}

impl<T: Pod> Deref for SharedReentrantMutexGuard<'_, T> {
    type Target = Cell<T>;

    #[inline]
    fn deref(&self) -> &Cell<T> {
        self.cell()
    }
}

impl<T: Pod> Deref for SharedReentrantMutexGuard<'_, [T]> {
    type Target = [Cell<T>];

    #[inline]
    fn deref(&self) -> &[Cell<T>] {
        self.cell().as_slice_of_cells()
    }
}

impl<T: ?Sized> Drop for SharedReentrantMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_ours() {
            self.mutex.inner.head().unlock();
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for SharedReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for SharedReentrantMutexGuard<'_, [T]> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Cell::get)).finish()
    }
}

impl<T: ?Sized> Clone for SharedReentrantMutex<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: ?Sized> fmt::Debug for SharedReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReentrantMutex").field("block", self.block()).finish_non_exhaustive()
    }
}
