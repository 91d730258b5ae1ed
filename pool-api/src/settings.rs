//! The options that may change between two calls.

use std::{num::NonZeroU64, time::Duration};

use crate::{Error, Result, WorkerPool};

/// Settings that may change between two calls. Calls that began before keep the workers that they
/// had. Where the next call needs fresh workers, those that no call uses any more end here and now,
/// the others in order with the last of their calls (killed only if they do not within two
/// seconds): if there is a [`Builder::worker_exit`](crate::Builder::worker_exit) the setting waits
/// for them, as [`WorkerPool::stop_and_join`] does, and their results are there until the next
/// call. Fork takes a new snapshot of the process then, for which it must have one thread again.
/// Setting an option to its present value changes nothing.
impl<S, W, E> WorkerPool<S, W, E> {
    /// Sets [`Builder::keep_alive`](crate::Builder::keep_alive). The present workers are kept.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn set_keep_alive(&self, on: bool) -> Result<()> {
        self.pool.set_keep_alive(on)
    }

    /// Sets [`Builder::worker_lifespan`](crate::Builder::worker_lifespan), or removes it with
    /// `None`. Takes fresh workers.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).worker_init(|_| 0u64).worker_exit(|w| *w.state).build()?;
    /// pool.set_worker_lifespan(5)?;
    /// pool.tasks(0..100u64).chunk_size(1).with_worker().map(|w, _| *w.state += 1)?;
    /// let ended = pool.exit_results();
    /// assert!(ended.len() >= 19 && ended.iter().all(|tasks| *tasks == 5));
    /// pool.set_worker_lifespan(None)?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`](crate::Builder::build), and nothing is set then;
    /// [`Error::NestedUse`] in a task of the pool's own threads; [`Error::WorkerExitFailed`] of an
    /// old worker: the setting holds all the same.
    pub fn set_worker_lifespan(&self, tasks: impl Into<Option<u64>>) -> Result<()> {
        let tasks = match tasks.into().map(NonZeroU64::new) {
            Some(None) => {
                let text = "worker_lifespan must be at least 1, got 0".to_string();
                return Err(Error::InvalidInput(text));
            }
            tasks => tasks.flatten(),
        };
        self.pool.set_worker_lifespan(tasks)
    }

    /// Sets [`Builder::order_tasks`](crate::Builder::order_tasks). The present workers are kept.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn set_order_tasks(&self, on: bool) -> Result<()> {
        self.pool.set_order_tasks(on)
    }

    /// Sets [`Builder::task_timeout`](crate::Builder::task_timeout), or removes it with `None`. The
    /// present workers are kept.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for no time at all; [`Error::ForeignProcess`].
    pub fn set_task_timeout(&self, limit: impl Into<Option<Duration>>) -> Result<()> {
        self.pool.set_task_timeout(limit.into())
    }

    /// Sets [`Builder::worker_init_timeout`](crate::Builder::worker_init_timeout), or removes it
    /// with `None`. Takes fresh workers.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::set_worker_lifespan`].
    pub fn set_worker_init_timeout(&self, limit: impl Into<Option<Duration>>) -> Result<()> {
        self.pool.set_worker_init_timeout(limit.into())
    }

    /// Sets [`Builder::worker_exit_timeout`](crate::Builder::worker_exit_timeout), or removes it
    /// with `None`. Takes fresh workers.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::set_worker_lifespan`].
    pub fn set_worker_exit_timeout(&self, limit: impl Into<Option<Duration>>) -> Result<()> {
        self.pool.set_worker_exit_timeout(limit.into())
    }

    /// Takes a new snapshot of this process under [`StartMethod::Fork`](crate::StartMethod::Fork),
    /// from which the workers of later calls are forked. They see all changes to the process since
    /// [`Builder::build`](crate::Builder::build).
    ///
    /// Allowed while iterators are unfinished and futures under way: those keep their workers,
    /// which see the old snapshot.
    ///
    /// ```no_run
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use pool_api::{StartMethod, WorkerPool};
    ///
    /// static RATE: AtomicU64 = AtomicU64::new(1);
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).start_method(StartMethod::Fork).build()?;
    /// RATE.store(3, Relaxed);
    /// assert_eq!(pool.map([10, 20], |x| x * RATE.load(Relaxed))?, [10, 20]);
    /// pool.refresh_snapshot()?;
    /// assert_eq!(pool.map([10, 20], |x| x * RATE.load(Relaxed))?, [30, 60]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] under the other start methods; [`Error::ForkWithThreads`] and
    /// [`Error::ForkWhileBorrowed`] as in `build()`: the old snapshot stays then;
    /// [`Error::WorkerExitFailed`] of an old worker: the snapshot is new all the same.
    pub fn refresh_snapshot(&self) -> Result<()> {
        self.pool.refresh_snapshot()
    }
}
