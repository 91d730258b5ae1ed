//! What a pool is built with.

use std::marker::PhantomData;

use pool_affinity::CpuIds;
use pool_core::{ForkBesideThreads, Pool, PoolOptions, StartMethod};

use crate::{Result, WorkerPool};

/// The types of a pool: of what is shared, of a worker's state, of what its exit returns.
pub(crate) type Types<S, W, E> = PhantomData<fn() -> (S, W, E)>;

/// Options of a pool; [`Builder::build`] checks them.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<S = (), W = (), E = ()> {
    options: PoolOptions,
    types: Types<S, W, E>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { options: PoolOptions::default(), types: PhantomData }
    }
}

impl<S, W, E> Builder<S, W, E> {
    /// How many workers; without it as many as there are usable CPUs (affinity and cgroup aware).
    pub fn n_jobs(mut self, n_jobs: usize) -> Self {
        self.options.n_jobs = Some(n_jobs);
        self
    }

    /// How workers come to life; without it [`StartMethod::ForkServer`].
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.options.start_method = method;
        self
    }

    /// Whether workers live on from call to call, as they do without it; `false`: each call of the
    /// map family gets fresh ones.
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// Which CPUs the workers run on: `[0]` one CPU for all, `[2, 3]` or `40..60` one for each,
    /// `[[4, 5]]` a set for all, `[[0, 1], [2, 3]]` a set for each; a [`Placement`] or a [`Plan`];
    /// without it they are not pinned.
    ///
    /// Each worker pins itself before it does anything else, so threads of its tasks keep to the same
    /// CPUs; its replacement does likewise. CPUs that exist, are online and are allowed to the thread
    /// that builds the pool can be chosen.
    ///
    /// ```
    /// use pool_api::{Placement, WorkerPool};
    ///
    /// // One CPU for each of two workers, far apart.
    /// let pool = WorkerPool::builder().n_jobs(2).cpu_ids(Placement::Spread).build()?;
    /// assert_eq!(pool.map(0..4u32, |x| x + 1)?, [1, 2, 3, 4]);
    ///
    /// let refused = WorkerPool::builder().n_jobs(2).cpu_ids([0, 900_000]).build().unwrap_err();
    /// assert!(refused.to_string().contains("exceeds the maximum CPU ID available on your system"));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// [`Placement`]: crate::Placement
    /// [`Plan`]: crate::Plan
    pub fn cpu_ids(mut self, ids: impl Into<CpuIds>) -> Self {
        self.options.cpu_ids = ids.into();
        self
    }

    /// Bytes that the items under way may take, and likewise the unread results of each worker;
    /// without it a quarter of the free memory. An item or result beyond it is a typed error.
    pub fn arena_limit(mut self, bytes: u64) -> Self {
        self.options.arena_limit = Some(bytes);
        self
    }

    /// Lets [`StartMethod::Fork`] fork although there are other threads; the `unsafe` word that it
    /// takes says what the caller answers for.
    pub fn fork_beside_threads(mut self, word: ForkBesideThreads) -> Self {
        self.options.fork_beside_threads = Some(word);
        self
    }

    /// Checks the options and builds the pool. Fork takes its snapshot of the process here; the other
    /// methods start their workers at the first use.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the options, by name; what the start method cannot do in this process;
    /// resources that cannot be had.
    pub fn build(self) -> Result<WorkerPool<S, W, E>> {
        Pool::build(&self.options).map(WorkerPool::from_pool)
    }
}
