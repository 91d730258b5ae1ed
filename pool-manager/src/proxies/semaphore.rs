//! A semaphore at a server.

use std::{fmt, sync::Arc, time::Duration};

use super::{nanos, proxy_type};
use crate::{
    Error, Proxy,
    client::Attachment,
    protocol::{Body, names, semaphore},
};

proxy_type! {
    /// Permits at a server. What a client holds when it ends is given back.
    ///
    /// ```
    /// let manager = pool_manager::Manager::in_thread()?;
    /// let seats = manager.semaphore(2)?;
    /// let first = seats.acquire()?;
    /// let second = seats.acquire()?;
    /// assert!(seats.try_acquire().is_err());
    /// drop(first);
    /// assert_eq!(seats.available()?, 1);
    /// # Ok::<(), pool_manager::Error>(())
    /// ```
    SemaphoreProxy<>, names::SEMAPHORE
}

impl SemaphoreProxy {
    /// Takes a permit, and waits for one.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::ShutDown`].
    pub fn acquire(&self) -> Result<ManagedPermit, Error> {
        self.acquire_within(None)
    }

    /// Takes a permit, if there is one within the time.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire); [`Error::TimedOut`].
    pub fn acquire_timeout(&self, limit: Duration) -> Result<ManagedPermit, Error> {
        self.acquire_within(Some(limit))
    }

    /// Takes a permit, if there is one now.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire); [`Error::TimedOut`].
    pub fn try_acquire(&self) -> Result<ManagedPermit, Error> {
        self.acquire_within(Some(Duration::ZERO))
    }

    fn acquire_within(&self, limit: Option<Duration>) -> Result<ManagedPermit, Error> {
        let reply = self.ask(semaphore::ACQUIRE, self.arguments().number(nanos(limit)))?;
        Ok(ManagedPermit { attachment: reply.attachment() })
    }

    /// Makes that many permits more.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`] for more than `u64::MAX` free ones; those of a connection.
    pub fn add_permits(&self, permits: u64) -> Result<(), Error> {
        self.ask(semaphore::ADD, self.arguments().number(permits)).map(drop)
    }

    /// How many permits are free.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn available(&self) -> Result<u64, Error> {
        self.ask(semaphore::AVAILABLE, self.arguments())?.number()
    }
}

/// A permit of a semaphore at a server. Dropping it gives the permit back.
///
/// A copy that a fork made gives nothing back.
#[must_use = "the permit is given back when this is dropped"]
pub struct ManagedPermit {
    attachment: Arc<Attachment>,
}

impl Drop for ManagedPermit {
    fn drop(&mut self) {
        let session = self.attachment.session();
        session.finish(self.attachment.object(), semaphore::RELEASE, &Body::default());
    }
}

impl fmt::Debug for ManagedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedPermit").finish_non_exhaustive()
    }
}
