//! Locks at a server.
//!
//! Invariant: a guard gives back what it was given, once, and only in the process that got it.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{nanos, proxy_type};
use crate::{
    Error, Proxy,
    client::Attachment,
    protocol::{Body, lock, names},
};

/// Why a lock was not taken, or how.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The process of the last holder ended, or lost its connection, while it held the lock. **The
    /// caller holds the lock now**, by this guard; what the lock protects may be half changed. The
    /// next holder is not told again.
    HolderDied(ManagedGuard),
    /// The lock was not taken: [`Error::TimedOut`], [`Error::WouldDeadlock`], or an error of the
    /// connection.
    Failed(Error),
}

impl LockError {
    /// The guard, if the caller holds the lock all the same.
    ///
    /// # Errors
    ///
    /// Why the lock was not taken.
    pub fn into_guard(self) -> Result<ManagedGuard, Error> {
        match self {
            Self::HolderDied(guard) => Ok(guard),
            Self::Failed(error) => Err(error),
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HolderDied(_) => f.write_str("the last holder of the lock died with it"),
            Self::Failed(_) => f.write_str("the lock was not taken"),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::HolderDied(_) => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// A lock at a server that is held. Dropping it gives the lock back.
///
/// A copy that a fork made gives nothing back.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct ManagedGuard {
    attachment: Arc<Attachment>,
    ticket: u64,
}

impl ManagedGuard {
    /// Gives the lock back, and says whether it was still held.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] and [`Error::Disconnected`] if the server has given up this client
    /// meanwhile: another one may have held the lock at the same time.
    pub fn unlock(mut self) -> Result<(), Error> {
        let body = self.body();
        self.ticket = 0;
        let session = self.attachment.session();
        session.call(self.attachment.object(), lock::RELEASE, &body).map(drop)
    }

    fn body(&self) -> Body {
        Body { numbers: vec![self.ticket], ..Body::default() }
    }
}

impl Drop for ManagedGuard {
    fn drop(&mut self) {
        if self.ticket != 0 {
            let session = self.attachment.session();
            session.finish(self.attachment.object(), lock::RELEASE, &self.body());
        }
    }
}

impl fmt::Debug for ManagedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedGuard").finish_non_exhaustive()
    }
}

/// A number of the calling thread, for the server to know holders by.
fn thread_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });
    if OWN.get() == 0 {
        OWN.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    }
    OWN.get()
}

macro_rules! lock_calls {
    ($Proxy:ident, $itself:literal) => {
        impl $Proxy {
            /// Takes the lock, and waits for it.
            ///
            /// # Errors
            ///
            /// [`LockError::HolderDied`], with which the lock is held; [`LockError::Failed`] with
            #[doc = concat!("an error of the connection", $itself, ".")]
            pub fn lock(&self) -> Result<ManagedGuard, LockError> {
                self.acquire(None)
            }

            /// Takes the lock if that is possible within the time.
            ///
            /// # Errors
            ///
            /// Those of [`lock`](Self::lock), and [`Error::TimedOut`] in [`LockError::Failed`].
            pub fn lock_timeout(&self, limit: Duration) -> Result<ManagedGuard, LockError> {
                self.acquire(Some(limit))
            }

            /// Takes the lock if it is free now.
            ///
            /// # Errors
            ///
            /// Those of [`lock`](Self::lock), and [`Error::TimedOut`] in [`LockError::Failed`],
            /// also where this thread holds it.
            pub fn try_lock(&self) -> Result<ManagedGuard, LockError> {
                self.acquire(Some(Duration::ZERO))
            }

            /// Whether the lock is held.
            ///
            /// # Errors
            ///
            /// Those of a connection.
            pub fn is_locked(&self) -> Result<bool, Error> {
                Ok(self.ask(lock::IS_LOCKED, self.arguments())?.number()? == 1)
            }

            fn acquire(&self, limit: Option<Duration>) -> Result<ManagedGuard, LockError> {
                let arguments = self.arguments().number(nanos(limit)).number(thread_number());
                let mut reply = self.ask(lock::ACQUIRE, arguments).map_err(LockError::Failed)?;
                let ticket = reply.number().map_err(LockError::Failed)?;
                let holder_died = reply.number().map_err(LockError::Failed)? == 1;
                let guard = ManagedGuard { attachment: reply.attachment(), ticket };
                if holder_died { Err(LockError::HolderDied(guard)) } else { Ok(guard) }
            }
        }
    };
}

proxy_type! {
    /// A lock at a server.
    ///
    /// A holder that ends, however it does, leaves the lock to the next one, which is told.
    ///
    /// ```
    /// use pool_manager::{LockError, Manager};
    ///
    /// let manager = Manager::in_thread()?;
    /// let lock = manager.lock()?;
    /// let guard = match lock.lock() {
    ///     Ok(guard) => guard,
    ///     Err(LockError::HolderDied(guard)) => guard, // look at what it protects first
    ///     Err(error) => return Err(error.into()),
    /// };
    /// assert!(lock.try_lock().is_err() && lock.is_locked()?);
    /// drop(guard);
    /// assert!(!lock.is_locked()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    LockProxy<>, names::LOCK
}

lock_calls!(LockProxy, ", or [`Error::WouldDeadlock`] if the calling thread holds the lock");

proxy_type! {
    /// A lock at a server that the thread that holds it can take again: it is free once as many
    /// guards were dropped.
    ///
    /// ```
    /// let manager = pool_manager::Manager::in_thread()?;
    /// let lock = manager.reentrant_lock()?;
    /// let outer = lock.lock()?;
    /// let inner = lock.lock()?;
    /// drop(outer);
    /// assert!(lock.is_locked()?);
    /// drop(inner);
    /// assert!(!lock.is_locked()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ReentrantLockProxy<>, names::REENTRANT_LOCK
}

lock_calls!(ReentrantLockProxy, "");
