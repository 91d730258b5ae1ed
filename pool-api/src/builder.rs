//! The options of a pool; those about what it shares are in `builder/shared.rs`, those about the
//! output of its workers in `builder/output.rs`.

#[cfg(feature = "capture-log")]
mod logging;
mod output;
mod shared;

use std::{marker::PhantomData, num::NonZeroU64, time::Duration};

use pool_core::{
    ForkWithThreads, InsightsOptions, Pool, PoolOptions, StartMethod, Starting, Worker, WorkerLife,
};
use pool_ipc::Wire;

use crate::{Error, Result, WorkerPool, options::IntoCpuIds};

/// The types of a pool: the shared value, a worker's state, and the result of its exit.
pub(crate) type Types<S, W, E> = PhantomData<fn() -> (S, W, E)>;

/// Options of a pool; [`Builder::build`] checks them.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct Builder<S = (), W = (), E = ()> {
    options: PoolOptions,
    /// The first fault that the types could not refuse.
    refused: Option<String>,
    types: Types<S, W, E>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { options: PoolOptions::default(), refused: None, types: PhantomData }
    }
}

/// A worker's state is made from the shared value, so it is set after that, and once.
impl<S: Send + Sync + 'static> Builder<S> {
    /// Gives every worker a state of its own, which `function` returns. It is called once in a
    /// worker's life, before its first chunk, whatever call that belongs to (but
    /// [`Call::map_scoped`](crate::Call::map_scoped), whose closures see no worker); a worker
    /// that gets no task never calls it. Tasks of [`Call::with_worker`](crate::Call::with_worker)
    /// have the state as `w.state`. It lives as long as its worker, over all calls, and is never in
    /// two threads.
    ///
    /// Where it panics, ends its process or takes too long, calls are
    /// [`Error::WorkerInitFailed`](crate::Error::WorkerInitFailed); the next call tries again. A
    /// task that panics leaves the state as it was at that moment.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// struct Counter { worker: u32, seen: u64 }
    ///
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(2)
    ///     .shared(100u64)
    ///     .worker_init(|w| Counter { worker: w.id(), seen: *w.shared })
    ///     .build()?;
    /// let seen = pool.tasks(0..10u64).with_worker().map(|w, x| {
    ///     w.state.seen += 1;
    ///     (w.state.worker == w.id(), w.state.seen > x)
    /// })?;
    /// assert_eq!(seen, [(true, true); 10]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// The shared value is set before it, since `function` sees that:
    ///
    /// ```compile_fail,E0599
    /// pool_api::WorkerPool::builder().worker_init(|w| w.id()).shared(7u64);
    /// ```
    pub fn worker_init<W: 'static>(mut self, function: fn(&Starting<'_, S>) -> W) -> Builder<S, W> {
        let span = self.options.life.lifespan();
        if self.options.life.has_exit() {
            self.refused = Some("worker_init comes before worker_exit".to_string());
        }
        self.options.life = WorkerLife::init(function).span(span);
        Builder { options: self.options, refused: self.refused, types: PhantomData }
    }
}

/// The exit sees the shared value and the state, so it is set after both, and once.
impl<S: Send + Sync + 'static, W: 'static> Builder<S, W> {
    /// Calls `function` at the end of the life of every worker that had a task; its value is among
    /// [`WorkerPool::exit_results`]. A life ends by [`WorkerPool::stop_and_join`], after so many
    /// tasks with [`Builder::worker_lifespan`], and with each call without [`Builder::keep_alive`].
    /// Workers that are killed (by [`WorkerPool::terminate`], a drop of the pool, a crash) have no
    /// exit.
    ///
    /// Where it panics or ends its process, the calls under way are
    /// [`Error::WorkerExitFailed`](crate::Error::WorkerExitFailed), or
    /// [`WorkerPool::stop_and_join`] is.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(4)
    ///     .worker_init(|_| 0u64)
    ///     .worker_exit(|w| *w.state)
    ///     .build()?;
    /// let squares = pool.tasks(0..100u64).with_worker().map(|w, x| {
    ///     *w.state += u64::from(x % 2 == 0);
    ///     x * x
    /// })?;
    /// assert_eq!(squares[9], 81);
    /// pool.stop_and_join()?;
    /// assert_eq!(pool.exit_results().iter().sum::<u64>(), 50);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// The state comes before it:
    ///
    /// ```compile_fail,E0599
    /// pool_api::WorkerPool::builder().worker_exit(|_| 1u64).worker_init(|_| 0u64);
    /// ```
    pub fn worker_exit<E: Wire>(
        mut self,
        function: fn(&mut Worker<'_, S, W>) -> E,
    ) -> Builder<S, W, E> {
        match self.options.life.exit(function) {
            Ok(life) => self.options.life = life,
            Err(error) => self.refused = Some(error.to_string()),
        }
        Builder { options: self.options, refused: self.refused, types: PhantomData }
    }
}

impl<S, W, E> Builder<S, W, E> {
    /// How many workers, from 1 to 4096; without it as many as there are usable CPUs (affinity and
    /// cgroup aware).
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
    /// map family gets fresh ones. Calls whose results come later (`apply_async`, `map_async`,
    /// streams) share theirs, at the longest until the next of the other calls begins or the pool
    /// is stopped.
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.options.keep_alive = on;
        self
    }

    /// Whether the pool's calls are recorded, for [`WorkerPool::calls`] and
    /// [`watched_pools`](crate::watched_pools); `false` without it. They are anyway while
    /// [`watch_all`](crate::watch_all) asks for it. Recording costs some microseconds for each
    /// call, and nothing for each item. Calls of one item (`apply` and its sisters) are recorded
    /// only with a [`cancel_token`](crate::Call::cancel_token) or with progress.
    pub fn watched(mut self, on: bool) -> Self {
        self.options.watched = on;
        self
    }

    /// Whether chunk k of a call goes to worker k modulo their number, whether or not that one is
    /// free, instead of to any free worker; every call begins with worker 0. Calls of one item
    /// ([`WorkerPool::apply`], [`WorkerPool::apply_async`]) go to any free worker all the same. See
    /// [`Call::order_tasks`](crate::Call::order_tasks).
    pub fn order_tasks(mut self, on: bool) -> Self {
        self.options.order_tasks = on;
        self
    }

    /// The serial number of the first worker, from 1 to 2^47, for tests of what happens after 2^28
    /// workers.
    #[doc(hidden)]
    pub fn first_serial(mut self, serial: u64) -> Self {
        self.options.first_serial = serial;
        self
    }

    /// Tasks, from 1, after which a worker's life ends and a fresh one takes its place, under the
    /// same id: against leaks in code that tasks call. It is checked between two chunks, so with a
    /// `chunk_size` beyond it a life is that much longer; without one, chunks are no longer than
    /// it. Under Threads the next life begins in the same thread.
    pub fn worker_lifespan(mut self, tasks: u64) -> Self {
        match NonZeroU64::new(tasks) {
            Some(tasks) => self.options.life = self.options.life.span(Some(tasks)),
            None => self.refused = Some("worker_lifespan must be at least 1, got 0".to_string()),
        }
        self
    }

    /// Which CPUs the workers run on: `[0]` one CPU for all, `[2, 3]` or `40..60` one for each,
    /// `[[4, 5]]` a set for all, `[[0, 1], [2, 3]]` a set for each; a [`Placement`] or a [`Plan`];
    /// without it they are not pinned. With `Placement::OneCoreEach` and without
    /// [`n_jobs`](Self::n_jobs) there are as many workers as cores.
    ///
    /// Each worker pins itself before it does anything else, so threads of its tasks keep to the
    /// same CPUs; so does its replacement. CPUs that exist, are online and are allowed to the
    /// thread that builds the pool can be chosen.
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
    pub fn cpu_ids(mut self, ids: impl IntoCpuIds) -> Self {
        self.options.cpu_ids = ids.into();
        self
    }

    /// Bytes, from 1 MiB, that the items under way may take, and likewise the unread results of
    /// each worker (one result more while others are being read); without it a quarter of the free
    /// memory. An item or result beyond it is a typed error.
    pub fn arena_limit(mut self, bytes: u64) -> Self {
        self.options.arena_limit = Some(bytes);
        self
    }

    /// Bytes that untaken results in handles of [`apply_async`](WorkerPool::apply_async) may take;
    /// without it as many as an arena may hold. Beyond it the next call is
    /// [`Error::ResultsUnread`](crate::Error::ResultsUnread).
    ///
    /// Exit results may take as much, with the shared objects that handles in them lead to (each
    /// segment once); without this setting a quarter of the free memory. One that would take more
    /// is not kept, and [`Error::WorkerExitFailed`](crate::Error::WorkerExitFailed) says so with
    /// [`Cause::ExitResultsUnread`](crate::Cause::ExitResultsUnread); those before it stay.
    ///
    /// A result counts with its encoded length; without this setting, under Threads, with the size
    /// of its type.
    pub fn max_result_bytes(mut self, bytes: u64) -> Self {
        self.options.max_result_bytes = Some(bytes);
        self
    }

    /// Lets [`StartMethod::Fork`] fork although there are other threads, which the caller promises
    /// to be safe by [`ForkWithThreads::assume_safe`].
    pub fn allow_fork_with_threads(mut self, promise: ForkWithThreads) -> Self {
        self.options.allow_fork_with_threads = Some(promise);
        self
    }

    /// How long decoding or building the shared value may take, in one process; without it as long
    /// as it takes. Past it calls are [`Error::SharedFailed`](crate::Error::SharedFailed), and the
    /// process that works on it is killed; under Threads its thread goes on, to no avail.
    pub fn shared_timeout(mut self, limit: Duration) -> Self {
        self.options.shared_timeout = Some(limit);
        self
    }

    /// How long one item may take in calls that do not say it themselves; see
    /// [`Call::task_timeout`](crate::Call::task_timeout). Without it as long as it takes.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.options.task_timeout = Some(limit);
        self
    }

    /// How long an item that is over its `task_timeout` may go on before its worker is killed, in
    /// calls that do not say it themselves; see
    /// [`Call::timeout_grace`](crate::Call::timeout_grace). Zero without it: the worker is killed
    /// at once.
    pub fn timeout_grace(mut self, grace: Duration) -> Self {
        self.options.timeout_grace = grace;
        self
    }

    /// How long `worker_init` may take; without it as long as it takes. Past it calls are
    /// [`Error::WorkerInitFailed`](crate::Error::WorkerInitFailed), and the worker is killed; a
    /// thread goes on, to no avail.
    pub fn worker_init_timeout(mut self, limit: Duration) -> Self {
        self.options.worker_init_timeout = Some(limit);
        self
    }

    /// How long `worker_exit` may take, with the drop of the state; without it as long as it takes.
    /// Past it the worker is killed and has no exit result:
    /// [`Error::WorkerExitFailed`](crate::Error::WorkerExitFailed) of the call that its life ended
    /// in, or of [`WorkerPool::stop_and_join`]. A thread goes on, to no avail, and is waited for no
    /// longer; it can see that by [`Worker::is_cancelled`].
    pub fn worker_exit_timeout(mut self, limit: Duration) -> Self {
        self.options.worker_exit_timeout = Some(limit);
        self
    }

    /// Bytes of private memory that a worker may take beside what it has when its first chunk
    /// begins, that is after `worker_init` and with all that it has inherited. A task that needs
    /// more is refused it, as by any system that has no more: a Rust task aborts of that unless it
    /// asks by `try_reserve`, and fails with [`Cause::MemoryLimit`](crate::Cause::MemoryLimit),
    /// which says what is known, and the refused allocation prints a line on standard error. Its
    /// worker is replaced.
    ///
    /// Reservations count as the memory that they may become, also stacks of threads. Items,
    /// results, and shared objects do not count: they lie in shared memory. Programs that a task
    /// starts have the same limit. Threads have no memory of their own, so [`StartMethod::Threads`]
    /// refuses it in `build()`.
    ///
    /// ```no_run
    /// use pool_api::{Cause, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).memory_limit(256 << 20).build()?;
    /// let results = pool.tasks([1usize << 10, 1 << 30]).map_results(|n| vec![1u8; n].len())?;
    /// assert_eq!(results[0], Ok(1 << 10));
    /// let failed = results[1].as_ref().unwrap_err();
    /// assert!(matches!(failed.cause(), Cause::MemoryLimit { refused: true, .. }));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.options.memory_limit = Some(bytes);
        self
    }

    /// Bytes of private memory in use beyond which a worker is replaced, after the task that it
    /// runs: for tasks that leak. No item is lost by that, and the worker's id stays; the rest of
    /// its chunk goes to the next worker. The limit is checked once a millisecond, between two
    /// tasks, and at the end of a chunk. Shared memory and pages of files do not count; memory that
    /// a worker has inherited does, so the limit is to be larger than that.
    /// [`StartMethod::Threads`] refuses it in `build()`.
    pub fn max_worker_rss(mut self, bytes: u64) -> Self {
        self.options.max_worker_rss = Some(bytes);
        self
    }

    /// Bytes of the stack that a worker's tasks run on, `worker_init` and `worker_exit` too, from
    /// 256 KiB to 64 GiB; without it the soft value of `RLIMIT_STACK` (`ulimit -s`), and 8 MiB if
    /// there is no limit: as much as `main` has, under every start method. Pages that no task
    /// touches take no memory. Threads that a task starts have stacks of their own, as anywhere.
    ///
    /// A task that uses up the stack of its worker process fails with
    /// [`Cause::StackOverflow`](crate::Cause::StackOverflow), and the worker is replaced. Under
    /// [`StartMethod::Threads`] it ends the program. With this setting a worker process runs its
    /// tasks on memory of its own, which code that asks the C library for the bounds of the first
    /// stack (`pthread_getattr_np`, as interpreters do) does not know.
    ///
    /// ```
    /// use pool_api::WorkerPool;
    ///
    /// fn depth(n: u64) -> u64 {
    ///     let frame = std::hint::black_box([n; 128]);
    ///     if n == 0 { 0 } else { depth(n - 1) + frame[7] - n + 1 }
    /// }
    ///
    /// let pool = WorkerPool::builder().n_jobs(1).stack_size(64 << 20).build()?;
    /// assert_eq!(pool.apply(16_000, depth)?, 16_000);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// Whether workers are daemonic, as they are without it: their tasks cannot build pools, which
    /// is [`Error::NestedPool`](crate::Error::NestedPool) then. With `false` they can, and whatever
    /// ends a worker or the program ends the pools of its tasks too.
    ///
    /// ```no_run
    /// use pool_api::{Error, WorkerPool};
    ///
    /// let inner = |n: u64| match WorkerPool::new(2).and_then(|pool| pool.map(0..n, |x| x * x)) {
    ///     Ok(squares) => Some(squares.iter().sum::<u64>()),
    ///     Err(error) => { assert!(matches!(error, Error::NestedPool)); None }
    /// };
    /// let outer = WorkerPool::builder().n_jobs(2).daemon(false).build()?;
    /// assert_eq!(outer.map([3, 4], inner)?, [Some(5), Some(14)]);
    /// assert_eq!(WorkerPool::new(2)?.map([3, 4], inner)?, [None, None]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn daemon(mut self, on: bool) -> Self {
        self.options.daemon = on;
        self
    }

    /// Whether core dumps contain shared arrays, values and locks: those of the workers, and those
    /// of this process from `build()` on, for all its pools. Without it, or with `false`, they do
    /// not, since such memory is often larger than the memory that a dump is for. Items and results
    /// under way are never dumped.
    ///
    /// ```no_run
    /// use pool_api::WorkerPool;
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).dump_shared_memory(true).build()?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn dump_shared_memory(mut self, on: bool) -> Self {
        self.options.dump_shared_memory = on;
        self
    }

    /// Calls `function` in every worker before anything else, in the thread that will run the
    /// tasks; may be given several times.
    ///
    /// Under Fork thread-local random generators and hash keys that the program has used before
    /// `build()` are the same in every worker. This is the place to seed them anew:
    ///
    /// ```
    /// use std::cell::Cell;
    /// use pool_api::WorkerPool;
    ///
    /// thread_local! { static SEED: Cell<u64> = const { Cell::new(1) } }
    ///
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(2)
    ///     .at_worker_start(|| SEED.set(u64::from(std::process::id())))
    ///     .build()?;
    /// assert!(pool.apply((), |()| SEED.get())? > 1);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn at_worker_start(mut self, function: fn()) -> Self {
        self.options.at_worker_start.push(function);
        self
    }

    /// Records what workers spend their time with: start-up, init, waiting, working and exit, the
    /// longest tasks, and a trace; see [`WorkerPool::insights`], [`WorkerPool::worker_activity`].
    /// [`InsightsOptions::new`] has the usual values. Without it nothing is recorded.
    ///
    /// Options out of range are [`Error::InvalidInput`](crate::Error::InvalidInput) in `build()`.
    ///
    /// ```
    /// use pool_api::{InsightsOptions, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
    /// pool.map(0..100u64, |x| x * x)?;
    /// let insights = pool.insights();
    /// assert_eq!(insights.n_completed_tasks.iter().sum::<u64>(), 100);
    /// println!("{insights}");
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn enable_insights(mut self, options: InsightsOptions) -> Self {
        self.options.insights = Some(options);
        self
    }

    /// Checks the options and builds the pool. Fork takes its snapshot of the process here; the
    /// other methods start their workers at the first use.
    ///
    /// # Errors
    ///
    /// Invalid options, by name; a start method that cannot work in this process; resources that
    /// cannot be had.
    pub fn build(self) -> Result<WorkerPool<S, W, E>> {
        match self.refused {
            Some(why) => Err(Error::InvalidInput(why)),
            None => Pool::build(&self.options).map(WorkerPool::from_pool),
        }
    }
}
