//! The options of a manager.

use std::fmt;

#[cfg(feature = "capture-log")]
use pool_core::LogCapture;
use pool_core::{InsightsOptions, Worker};
use pool_ipc::Wire;

use super::{
    ManagerError, PoolManager, PoolProcess,
    state::ManagerState,
    workers::{PoolOf, Run},
};
use crate::{Builder, Error, Output, OutputEvent, StartMethod, WorkerPool, usable_cpus};

/// The most workers of a pool.
const MOST_WORKERS: usize = 4096;

/// Options of a [`PoolManager`]; [`ManagerBuilder::build`] checks them.
#[must_use = "a builder does nothing before `build`, `start` or `scope`"]
pub struct ManagerBuilder<A: Wire, R: Wire, S: 'static = (), W: 'static = ()> {
    pool: Builder<S, W>,
    run: Run<A, R, S, W>,
    size: Option<usize>,
    queue_size: Option<usize>,
    ordered: bool,
    daemon: bool,
    #[cfg(feature = "capture-log")]
    capture: Option<LogCapture>,
}

impl<A: Wire, R: Wire> PoolManager<A, R> {
    /// A manager whose workers run `f`, which takes an item.
    pub fn builder(f: fn(A) -> R) -> ManagerBuilder<A, R> {
        ManagerBuilder::new(WorkerPool::builder(), Run::Plain(f))
    }

    /// A manager whose workers run `f`, which takes an item, and has `args` as `w.shared`: they
    /// cross once, not with each item.
    ///
    /// ```
    /// use pool_api::PoolManager;
    ///
    /// let manager = PoolManager::with_static_args(10u64, |w, x: u64| x * *w.shared).start()?;
    /// manager.put(4).expect("the manager is open");
    /// assert_eq!(manager.get()?, 40);
    /// # Ok::<(), pool_api::ManagerError>(())
    /// ```
    pub fn with_static_args<S: Wire + Sync>(
        args: S,
        f: fn(&mut Worker<'_, S, ()>, A) -> R,
    ) -> ManagerBuilder<A, R, S> {
        ManagerBuilder::new(WorkerPool::builder().shared(args), Run::OnWorker(f))
    }

    /// A manager whose workers are of the class `P`, each made from `args`; see [`PoolProcess`].
    pub fn process<P>(args: P::Args) -> ManagerBuilder<A, R, P::Args, P>
    where
        P: PoolProcess<Item = A, Output = R>,
    {
        let pool = WorkerPool::builder().shared(args).worker_init(|w| P::init(w.shared));
        ManagerBuilder::new(pool, Run::OnWorker(|w, item| w.state.run(item)))
    }
}

impl<A: Wire, R: Wire, S: Send + Sync + 'static, W: 'static> ManagerBuilder<A, R, S, W> {
    fn new(pool: Builder<S, W>, run: Run<A, R, S, W>) -> Self {
        Self {
            pool,
            run,
            size: None,
            queue_size: None,
            ordered: false,
            daemon: true,
            #[cfg(feature = "capture-log")]
            capture: None,
        }
    }

    /// How many workers there are, 1 to 4 096; there may be more than CPUs. Default: the usable
    /// CPUs ([`usable_cpus`]).
    pub fn size(mut self, workers: usize) -> Self {
        self.size = Some(workers);
        self
    }

    /// How many items may wait for a worker, at least 1; beyond them
    /// [`put`](PoolManager::put) waits. Default: twice the number of workers.
    pub fn queue_size(mut self, items: usize) -> Self {
        self.queue_size = Some(items);
        self
    }

    /// Whether results come in the order in which the items were put, instead of that in which
    /// their tasks end. Default: `false`.
    ///
    /// Results that come before their turn wait: with large ones,
    /// [`Builder::max_result_bytes`] bounds them.
    pub fn ordered(mut self, on: bool) -> Self {
        self.ordered = on;
        self
    }

    /// Whether the drop of the manager kills the workers and drops what was not taken. `false`: the
    /// drop closes the manager and waits until the workers have finished what was put, and tasks
    /// may have pools and processes of their own; see [`Builder::daemon`]. Default: `true`.
    pub fn daemon(mut self, on: bool) -> Self {
        self.daemon = on;
        self
    }

    /// How workers start; see [`Builder::start_method`].
    pub fn start_method(mut self, method: StartMethod) -> Self {
        self.pool = self.pool.start_method(method);
        self
    }

    /// Captures the log records of this target and of those below it; see
    /// [`Builder::capture_logs`]. May be called several times.
    #[cfg(feature = "capture-log")]
    pub fn logger(mut self, target: impl Into<String>) -> Self {
        let none = || LogCapture::targets::<String>([]);
        self.capture.get_or_insert_with(none).add_target(target);
        self
    }

    /// Captures the log records of these targets, in place of those that were set before; see
    /// [`Builder::capture_logs`].
    #[cfg(feature = "capture-log")]
    pub fn capture_logs(mut self, targets: impl Into<LogCapture>) -> Self {
        self.capture = Some(targets.into());
        self
    }

    /// What becomes of the standard output of workers; see [`Builder::stdout`].
    pub fn stdout(mut self, output: Output) -> Self {
        self.pool = self.pool.stdout(output);
        self
    }

    /// What becomes of the standard error of workers; see [`Builder::stderr`].
    pub fn stderr(mut self, output: Output) -> Self {
        self.pool = self.pool.stderr(output);
        self
    }

    /// Gives what workers write to `function`; see [`Builder::on_output`]. The items of a manager
    /// have no position in an input, so [`OutputEvent::item`] is `None`.
    pub fn on_output(mut self, function: impl Fn(&OutputEvent) + Send + Sync + 'static) -> Self {
        self.pool = self.pool.on_output(function);
        self
    }

    /// Bytes of each captured stream that are kept of an item; see [`Builder::max_output_bytes`].
    pub fn max_output_bytes(mut self, bytes: usize) -> Self {
        self.pool = self.pool.max_output_bytes(bytes);
        self
    }

    /// Records what workers spend their time with; see [`Builder::enable_insights`] and
    /// [`PoolManager::insights`].
    pub fn enable_insights(mut self, options: InsightsOptions) -> Self {
        self.pool = self.pool.enable_insights(options);
        self
    }

    /// Sets further options of the pool behind the manager: limits of time and memory, CPUs, life
    /// spans, and so on. The number of workers and `daemon` are the manager's own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use pool_api::{ManagerError, PoolManager};
    ///
    /// let manager = PoolManager::builder(|millis: u64| {
    ///     std::thread::sleep(Duration::from_millis(millis));
    /// })
    /// .size(1)
    /// .pool_options(|pool| pool.task_timeout(Duration::from_millis(50)))
    /// .start()?;
    /// manager.put(60_000).expect("the manager is open");
    /// assert!(matches!(manager.get(), Err(ManagerError::Failed(_))));
    /// # Ok::<(), ManagerError>(())
    /// ```
    pub fn pool_options(mut self, set: impl FnOnce(Builder<S, W>) -> Builder<S, W>) -> Self {
        self.pool = set(self.pool);
        self
    }

    /// Checks the options. The manager takes items when it was [started](PoolManager::start).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the errors of [`Builder::build`], also for a `size` or a
    /// `queue_size` of 0.
    pub fn build(self) -> Result<PoolManager<A, R>, ManagerError> {
        let Self { pool, run, size, queue_size, ordered, daemon, .. } = self;
        let size = size.unwrap_or_else(usable_cpus);
        let refuse = |text: String| ManagerError::Failed(Error::InvalidInput(text));
        if !(1..=MOST_WORKERS).contains(&size) {
            return Err(refuse(format!("size is 1 to {MOST_WORKERS}, not {size}")));
        }
        let queue_size = queue_size.unwrap_or(2 * size);
        if queue_size == 0 {
            return Err(refuse("queue_size is at least 1, not 0".to_owned()));
        }
        #[cfg(feature = "capture-log")]
        let pool = match &self.capture {
            Some(capture) => pool.capture_logs(capture.clone()),
            None => pool,
        };
        let pool = pool.n_jobs(size).daemon(daemon).build().map_err(ManagerError::Failed)?;
        let workers = Box::new(PoolOf { pool, run });
        let state = ManagerState::new(workers, queue_size.saturating_add(size), ordered);
        Ok(PoolManager::new(
            state,
            daemon,
            #[cfg(feature = "capture-log")]
            self.capture,
        ))
    }

    /// Makes the manager and starts its workers.
    ///
    /// # Errors
    ///
    /// Those of [`ManagerBuilder::build`] and [`PoolManager::start`].
    pub fn start(self) -> Result<PoolManager<A, R>, ManagerError> {
        let manager = self.build()?;
        manager.start()?;
        Ok(manager)
    }
}

impl<A: Wire, R: Wire, S, W> fmt::Debug for ManagerBuilder<A, R, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerBuilder")
            .field("size", &self.size)
            .field("queue_size", &self.queue_size)
            .field("ordered", &self.ordered)
            .field("daemon", &self.daemon)
            .finish_non_exhaustive()
    }
}
