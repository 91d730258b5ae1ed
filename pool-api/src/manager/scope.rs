//! A manager for the length of a closure.

use pool_ipc::Wire;

use super::{ManagerBuilder, ManagerError, PoolManager};

impl<A: Wire, R: Wire, S: Send + Sync + 'static, W: 'static> ManagerBuilder<A, R, S, W> {
    /// Starts the manager, calls `with`, and ends the manager as its drop does: a daemonic one is
    /// terminated, another one is closed and joined.
    ///
    /// ```
    /// use pool_api::PoolManager;
    ///
    /// let sum = PoolManager::builder(|x: u64| x * x).size(2).scope(|manager| {
    ///     (0..10).try_for_each(|x| manager.put(x)).expect("the manager is open");
    ///     manager.get_all().into_iter().sum::<Result<u64, _>>()
    /// })??;
    /// assert_eq!(sum, 285);
    /// # Ok::<(), pool_api::ManagerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ManagerBuilder::start`]; of a manager that is not daemonic those of
    /// [`PoolManager::join`].
    pub fn scope<T>(self, with: impl FnOnce(&PoolManager<A, R>) -> T) -> Result<T, ManagerError> {
        let manager = self.start()?;
        let value = with(&manager);
        manager.end()?;
        Ok(value)
    }
}
