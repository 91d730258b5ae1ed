//! The options of a pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pool_affinity::CpuIds;

#[cfg(feature = "capture-log")]
use crate::capture::{Capture, LogCapture};
use crate::{
    config::PoolConfig,
    error::{Error, full_text},
    hooks::{Bounds, Exits, WorkerLife},
    insights::{Collection, InsightsOptions},
    job::check_limit,
    output::OutputOptions,
    shared::Shared,
    stack,
    start_method::StartMethod,
};

/// The options that a pool is built with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolOptions {
    /// How many workers there are; `None`: as many as there are usable CPUs.
    pub n_jobs: Option<usize>,
    /// How the workers are started.
    pub start_method: StartMethod,
    /// Whether the workers live on from call to call.
    pub keep_alive: bool,
    /// Which CPUs the workers run on.
    pub cpu_ids: CpuIds,
    /// Bytes that the arena of one process may hold; `None`: a quarter of the free memory.
    pub arena_limit: Option<u64>,
    /// Most bytes of results that lie in handles of futures; `None`: the value of `arena_limit`.
    pub max_result_bytes: Option<u64>,
    /// Lets `Fork` fork beside other threads.
    pub allow_fork_with_threads: Option<ForkWithThreads>,
    /// The value that all workers share.
    pub shared: Shared,
    /// How long decoding or building that value may take; `None`: no limit.
    pub shared_timeout: Option<Duration>,
    /// How long one item may take in calls that do not set that themselves.
    pub task_timeout: Option<Duration>,
    /// How long an item that is over its `task_timeout` may go on after the worker is notified,
    /// before that worker is killed.
    pub timeout_grace: Duration,
    /// How long the function that makes a worker's state may take; `None`: no limit.
    pub worker_init_timeout: Option<Duration>,
    /// How long the function at a worker's exit may take; `None`: no limit.
    pub worker_exit_timeout: Option<Duration>,
    /// Bytes of private memory that a worker may take in addition to those that it has when its
    /// first chunk begins.
    pub memory_limit: Option<u64>,
    /// Bytes of private memory in use beyond which a worker is replaced after its task.
    pub max_worker_rss: Option<u64>,
    /// Bytes of the stack that a worker's tasks run on, from 256 KiB to 64 GiB; `None`: the soft
    /// value of `RLIMIT_STACK`, 8 MiB if there is no limit.
    pub stack_size: Option<usize>,
    /// What becomes of what workers write to standard output and standard error.
    pub output: OutputOptions,
    /// Whether chunks go to the workers in turn, in calls that do not set that themselves.
    pub order_tasks: bool,
    /// Whether the pool's calls are recorded, for [`Pool::calls`](crate::Pool::calls) and
    /// [`watched_pools`](crate::watched_pools).
    pub watched: bool,
    /// Whether tasks may not build pools.
    pub daemon: bool,
    /// Whether core dumps of workers and of this process contain shared objects.
    pub dump_shared_memory: bool,
    /// Called in every worker before anything else, in this order.
    pub at_worker_start: Vec<fn()>,
    /// Which log records of workers come to this process's logger; `None`: none.
    #[cfg(feature = "capture-log")]
    pub capture_logs: Option<LogCapture>,
    /// What is recorded of the workers; `None`: nothing.
    pub insights: Option<InsightsOptions>,
    /// The serial number of the first worker, from 1 to 2^47: tests begin shortly before the names
    /// of workers are used again.
    #[doc(hidden)]
    pub first_serial: u64,
    /// The functions that every worker calls at its start and exit, and the type of its state.
    pub life: WorkerLife,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            n_jobs: None,
            start_method: StartMethod::first_compiled(),
            keep_alive: true,
            cpu_ids: CpuIds::none(),
            arena_limit: None,
            max_result_bytes: None,
            allow_fork_with_threads: None,
            shared: Shared::nothing(),
            shared_timeout: None,
            task_timeout: None,
            timeout_grace: Duration::ZERO,
            worker_init_timeout: None,
            worker_exit_timeout: None,
            memory_limit: None,
            max_worker_rss: None,
            stack_size: None,
            output: OutputOptions::default(),
            order_tasks: false,
            watched: false,
            daemon: true,
            dump_shared_memory: false,
            at_worker_start: Vec::new(),
            #[cfg(feature = "capture-log")]
            capture_logs: None,
            insights: None,
            first_serial: 1,
            life: WorkerLife::plain(),
        }
    }
}

/// The caller's promise that `Fork` may fork beside other threads.
#[derive(Debug, Clone, Copy)]
pub struct ForkWithThreads(());

impl ForkWithThreads {
    /// Makes the promise.
    ///
    /// # Safety
    ///
    /// Every lock that another thread may hold at the moment of a fork stays locked in the workers
    /// for ever: that of `stdout`, of the environment, of the panic machinery, of any library.
    /// The caller knows that no task ever needs a lock that was held.
    ///
    /// At the moment of a fork, no other thread has exclusive access to shared memory that a task
    /// can reach: the guard of a shared lock, a slice of `slices_mut`. The workers would have
    /// it, too.
    #[must_use]
    pub const unsafe fn assume_safe() -> Self {
        Self(())
    }
}

impl PoolOptions {
    /// The configuration that the options describe; refuses invalid values.
    pub(super) fn plan(&self) -> Result<PoolConfig, Error> {
        let n_jobs = self.n_jobs.unwrap_or_else(|| self.cpu_ids.suitable_workers());
        let refuse = |text: String| Err(Error::InvalidInput(text));
        if !(1..=pool_ipc::board::MAX_PLACES).contains(&n_jobs) {
            let most = pool_ipc::board::MAX_PLACES;
            return refuse(format!("n_jobs must be from 1 to {most}, got {n_jobs}"));
        }
        if self.arena_limit.is_some_and(|limit| limit < 1 << 20) {
            return refuse("arena_limit must be at least 1 MiB".to_string());
        }
        for (name, limit) in [
            ("shared_timeout", self.shared_timeout),
            ("task_timeout", self.task_timeout),
            ("worker_init_timeout", self.worker_init_timeout),
            ("worker_exit_timeout", self.worker_exit_timeout),
        ] {
            check_limit(name, limit)?;
        }
        if !(1..=1 << 47).contains(&self.first_serial) {
            return refuse(format!(
                "first_serial must be from 1 to 2^47, got {}",
                self.first_serial
            ));
        }
        stack::check(self.stack_size)?;
        let method = self.start_method;
        for (name, what, bytes) in [
            (
                "memory_limit",
                "memory_limit: threads have no memory of their own",
                self.memory_limit,
            ),
            (
                "max_worker_rss",
                "max_worker_rss: threads have no memory of their own",
                self.max_worker_rss,
            ),
        ] {
            match bytes {
                Some(0) => return refuse(format!("{name} must be at least 1, got 0")),
                Some(_) if method == StartMethod::Threads => {
                    return Err(Error::NotSupported { method, what });
                }
                _ => {}
            }
        }
        let cpus = match self.cpu_ids.plan_here(n_jobs) {
            Ok(cpus) => cpus,
            Err(error) => return refuse(format!("cpu_ids: {}", full_text(&error))),
        };
        #[cfg(feature = "capture-log")]
        let capture = match &self.capture_logs {
            Some(capture) => Some(Arc::new(Capture::new(capture, method)?)),
            None => None,
        };
        let insights = match &self.insights {
            Some(options) => Some(Arc::new(Collection::new(options.clone(), n_jobs)?)),
            None => None,
        };
        let output = self.output.plan(method)?;
        let free = pool_ipc::default_limit();
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        Ok(PoolConfig {
            id: NUMBER.fetch_add(1, Ordering::Relaxed),
            method,
            n_jobs,
            cpus,
            arena_limit: self.arena_limit.unwrap_or(free),
            asked_arena: self.arena_limit,
            allow_fork_with_threads: self.allow_fork_with_threads.is_some(),
            borrows: false,
            first: self.at_worker_start.clone(),
            #[cfg(feature = "capture-log")]
            capture,
            insights,
            shared_timeout: self.shared_timeout,
            life: self.life,
            bounds: Bounds {
                daemon: self.daemon,
                dumped: self.dump_shared_memory,
                memory: self.memory_limit,
                resident: self.max_worker_rss,
                stack: self.stack_size,
                init: self.worker_init_timeout,
                exit: self.worker_exit_timeout,
            },
            output,
            keep_alive: self.keep_alive,
            first_serial: self.first_serial,
            exits: Arc::new(Exits::new(self.max_result_bytes.unwrap_or(free))),
        })
    }
}
