//! What the workers of a manager spend their time with.

use std::path::Path;

use pool_core::{Insights, WorkerActivity};
use pool_ipc::Wire;

use super::{ManagerError, PoolManager};

impl<A: Wire, R: Wire> PoolManager<A, R> {
    /// What the workers have spent their time with until now; see
    /// [`WorkerPool::insights`](crate::WorkerPool::insights). Empty without
    /// [`enable_insights`](super::ManagerBuilder::enable_insights), and in a forked child.
    ///
    /// ```
    /// use pool_api::{InsightsOptions, ManagerError, PoolManager};
    ///
    /// let manager = PoolManager::builder(|x: u64| x * x)
    ///     .size(2)
    ///     .enable_insights(InsightsOptions::new())
    ///     .start()?;
    /// manager.put(4).expect("the manager is open");
    /// assert_eq!(manager.get()?, 16);
    /// manager.join()?;
    /// assert_eq!(manager.insights().n_completed_tasks.len(), 2);
    /// # Ok::<(), ManagerError>(())
    /// ```
    #[must_use]
    pub fn insights(&self) -> Insights {
        self.pool().map(|pool| pool.insights()).unwrap_or_default()
    }

    /// What each worker is at now; see
    /// [`WorkerPool::worker_activity`](crate::WorkerPool::worker_activity).
    #[must_use]
    pub fn worker_activity(&self) -> Vec<WorkerActivity> {
        self.pool().map(|pool| pool.worker_activity()).unwrap_or_default()
    }

    /// Writes a trace of the workers; see
    /// [`WorkerPool::write_trace`](crate::WorkerPool::write_trace).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the errors of that method.
    pub fn write_trace(&self, path: impl AsRef<Path>) -> Result<(), ManagerError> {
        self.pool()?.write_trace(path.as_ref()).map_err(ManagerError::Failed)
    }

    /// Writes a picture of the workers; see
    /// [`WorkerPool::write_svg`](crate::WorkerPool::write_svg).
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the errors of that method.
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), ManagerError> {
        self.pool()?.write_svg(path.as_ref()).map_err(ManagerError::Failed)
    }
}
