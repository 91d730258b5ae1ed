//! The pool behind a manager, without the types of its workers.

use pool_core::{AsyncResult, Pool, ProgressOption, Refused, StartMethod, Worker};
use pool_ipc::Wire;

use crate::{Result, WorkerPool};

/// What a manager needs of its pool.
pub(super) trait Workers<A, R>: Send + Sync {
    /// Starts all workers, and waits until each can take an item.
    fn start(&self) -> Result<()>;

    /// Hands an item over; [`Error::QueueFull`](crate::Error::QueueFull) while the pool has no
    /// room.
    fn submit(&self, item: A) -> Result<AsyncResult<R>, Box<Refused<A>>>;

    /// Runs all items, and shows that if it is to; values in input order.
    fn map(
        &self,
        items: &mut dyn Iterator<Item = A>,
        progress: Option<ProgressOption>,
    ) -> Result<Vec<R>>;

    /// Lets the workers finish what they have, and ends them.
    fn stop(&self) -> Result<()>;

    /// Sets which logs of the workers are captured.
    #[cfg(feature = "capture-log")]
    fn capture_logs(&self, capture: Option<pool_core::LogCapture>) -> Result<()>;

    /// Kills the workers.
    fn terminate(&self) -> Result<()>;

    /// Whether any worker is there.
    fn any(&self) -> bool;

    /// The pool, if it is one.
    fn pool(&self) -> Option<&Pool> {
        None
    }
}

/// What runs an item.
pub(super) enum Run<A: Wire, R: Wire, S: 'static, W: 'static> {
    Plain(fn(A) -> R),
    OnWorker(fn(&mut Worker<'_, S, W>, A) -> R),
}

impl<A: Wire, R: Wire, S, W> Clone for Run<A, R, S, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Wire, R: Wire, S, W> Copy for Run<A, R, S, W> {}

/// A pool, and what its workers run.
pub(super) struct PoolOf<A: Wire, R: Wire, S: 'static, W: 'static> {
    pub(super) pool: WorkerPool<S, W>,
    pub(super) run: Run<A, R, S, W>,
}

impl<A: Wire, R: Wire, S: Send + Sync + 'static, W: 'static> Workers<A, R> for PoolOf<A, R, S, W> {
    fn start(&self) -> Result<()> {
        self.pool.broadcast(|_| ()).map(drop)
    }

    fn submit(&self, item: A) -> Result<AsyncResult<R>, Box<Refused<A>>> {
        match self.run {
            Run::Plain(f) => self.pool.task(item).try_apply_async(f),
            Run::OnWorker(f) => self.pool.task(item).with_worker().try_apply_async(f),
        }
    }

    fn map(
        &self,
        items: &mut dyn Iterator<Item = A>,
        progress: Option<ProgressOption>,
    ) -> Result<Vec<R>> {
        let tasks = self.pool.tasks(items).shown(progress);
        match self.run {
            Run::Plain(f) => tasks.map(f),
            Run::OnWorker(f) => tasks.with_worker().map(f),
        }
    }

    fn stop(&self) -> Result<()> {
        self.pool.stop_and_join()
    }

    #[cfg(feature = "capture-log")]
    fn capture_logs(&self, capture: Option<pool_core::LogCapture>) -> Result<()> {
        self.pool.set_capture_logs(capture)
    }

    fn terminate(&self) -> Result<()> {
        self.pool.terminate()
    }

    fn pool(&self) -> Option<&Pool> {
        Some(&self.pool.pool)
    }

    fn any(&self) -> bool {
        self.pool.start_method() == StartMethod::Threads || !self.pool.worker_pids().is_empty()
    }
}
