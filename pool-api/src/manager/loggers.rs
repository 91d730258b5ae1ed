//! The targets whose logs a manager captures, until it is started.

use std::sync::PoisonError;

use pool_core::LogCapture;
use pool_ipc::Wire;

use super::{error::ManagerError, manager::PoolManager};

impl<A: Wire, R: Wire> PoolManager<A, R> {
    /// Captures the log records of this target, too, and of those below it; see
    /// [`Builder::capture_logs`](crate::Builder::capture_logs). A record goes to the logger of the
    /// program if its target or the nearest ancestor of that which counts was added; other targets
    /// are left alone. Adding one twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`ManagerError::AlreadyStarted`] once the manager was started;
    /// [`ManagerError::Failed`] with the errors of `capture_logs`, and nothing has changed then.
    pub fn add_logger(&self, target: impl Into<String>) -> Result<(), ManagerError> {
        let none = || LogCapture::targets::<String>([]);
        self.change(|capture| {
            capture.get_or_insert_with(none).add_target(target);
            Ok(())
        })
    }

    /// Takes a target back that was given to [`add_logger`](PoolManager::add_logger) or to the
    /// builder.
    ///
    /// # Errors
    ///
    /// [`ManagerError::UnknownLogger`] for one that is not there, by exactly this name;
    /// [`ManagerError::AlreadyStarted`] once the manager was started.
    pub fn remove_logger(&self, target: &str) -> Result<(), ManagerError> {
        self.change(|capture| {
            if !capture.as_mut().is_some_and(|capture| capture.remove_target(target)) {
                return Err(ManagerError::UnknownLogger(target.to_owned()));
            }
            capture.take_if(|capture| capture.is_empty());
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Option<LogCapture>) -> Result<(), ManagerError>,
    ) -> Result<(), ManagerError> {
        let _no_start = self.before_start()?;
        let mut present = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = present.clone();
        change(&mut changed)?;
        if changed != *present {
            self.set_capture_logs(changed.clone())?;
            *present = changed;
        }
        Ok(())
    }
}
