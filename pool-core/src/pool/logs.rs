//! When captured logs of workers are delivered.

use std::time::Duration;

use super::Pool;
use crate::error::Error;

impl Pool {
    /// Waits until the records that workers have handed over until now were given to the logger;
    /// `false` when that takes longer than `limit`, or when the logger itself calls it. `true`
    /// without capture.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn flush_logs(&self, limit: Duration) -> Result<bool, Error> {
        self.refuse_if_foreign()?;
        Ok(self.settings.capture().is_none_or(|capture| capture.flush(limit)))
    }

    /// Tells workers of the level that the logger has now.
    #[inline]
    pub(super) fn tell_log_levels(&self) {
        // In a forked child another thread may have had the lock.
        if !self.is_foreign()
            && let Some(capture) = self.settings.capture()
        {
            capture.set_levels();
        }
    }

    /// Delivers what workers that have ended have handed over.
    pub(super) fn flush_log_capture(&self) {
        if !self.is_foreign()
            && let Some(capture) = self.settings.capture()
        {
            capture.flush_ended();
        }
    }

    /// Ends the capture, after the workers have ended.
    pub(super) fn end_log_capture(&self) {
        if let Some(capture) = self.settings.capture() {
            capture.end();
        }
    }
}
