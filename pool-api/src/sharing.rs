//! The calls that change the value that a pool shares.

use pool_core::Shared;
use pool_ipc::Wire;

use crate::{Result, View, WorkerPool};

/// Changes the value between calls, to one of the same type. Calls that began before keep the value
/// and the workers that they had; the next call gets fresh workers with the new value (under
/// Threads the same workers, which lose nothing). Fork takes a new snapshot of the process here,
/// for which it must have one thread again.
impl<S: Send + Sync + 'static, W, E> WorkerPool<S, W, E> {
    /// Shares another value from now on; see [`Builder::shared`](crate::Builder::shared).
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).shared(1u64).build()?;
    /// assert_eq!(pool.tasks(0..2u64).with_worker().map(|w, x| w.shared + x)?, [1, 2]);
    /// pool.set_shared(10)?;
    /// assert_eq!(pool.tasks(0..2u64).with_worker().map(|w, x| w.shared + x)?, [10, 11]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`](crate::Builder::build), and
    /// [`Error::ForeignProcess`](crate::Error::ForeignProcess); the pool keeps the old value then.
    pub fn set_shared(&self, value: S) -> Result<()>
    where
        S: Wire,
    {
        self.pool.share(Shared::value(value))
    }

    /// Shares the value of another function from now on; see
    /// [`Builder::shared_built`](crate::Builder::shared_built).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::set_shared`].
    pub fn set_shared_built(&self, build: fn() -> S) -> Result<()> {
        self.pool.share(Shared::built(build))
    }
}

impl<S: Wire<Archived: Sync>, W, E> WorkerPool<View<S>, W, E> {
    /// Shares the archive of another value from now on; see
    /// [`Builder::shared_view`](crate::Builder::shared_view).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::set_shared`].
    pub fn set_shared_view(&self, value: S) -> Result<()> {
        self.pool.share(Shared::view(value))
    }
}

/// Changes the value to one of another type: the pool keeps its options, worker ids and CPUs. The
/// rules of [`WorkerPool::set_shared`] hold here.
impl<S> WorkerPool<S> {
    /// Shares a value from now on; see [`Builder::shared`](crate::Builder::shared).
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let words = pool.map(0..2usize, |n| "word ".repeat(n))?;
    /// let pool = pool.with_shared(words)?;
    /// assert_eq!(pool.tasks(0..2usize).with_worker().map(|w, n| w.shared[n].len())?, [0, 5]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::set_shared`]; the pool is dropped then.
    pub fn with_shared<T: Wire + Sync>(self, value: T) -> Result<WorkerPool<T>> {
        self.sharing(Shared::value(value))
    }

    /// Shares the archive of a value from now on; see
    /// [`Builder::shared_view`](crate::Builder::shared_view).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::with_shared`].
    pub fn with_shared_view<T: Wire<Archived: Sync>>(
        self,
        value: T,
    ) -> Result<WorkerPool<View<T>>> {
        self.sharing(Shared::view(value))
    }

    /// Shares the value of a function from now on; see
    /// [`Builder::shared_built`](crate::Builder::shared_built).
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::with_shared`].
    pub fn with_shared_built<T: Send + Sync + 'static>(
        self,
        build: fn() -> T,
    ) -> Result<WorkerPool<T>> {
        self.sharing(Shared::built(build))
    }

    fn sharing<T>(self, shared: Shared) -> Result<WorkerPool<T>> {
        self.pool.share(shared)?;
        Ok(WorkerPool::from_pool(self.pool))
    }
}
