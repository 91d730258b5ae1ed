//! The options about logs of workers.

use std::time::Duration;

use pool_core::LogCapture;

use super::Builder;
use crate::{Result, WorkerPool};

impl<S, W, E> Builder<S, W, E> {
    /// Brings what workers log through the `log` crate to the logger of this process, with all that
    /// a record has, and with the key-values `worker` (its id), `pid` and `time_unix_nanos` (when
    /// it was made). `targets`: [`LogCapture::all`], or the names of targets, which stand for what
    /// is below them, too. Records of other targets stay in the worker, as all do without it.
    ///
    /// The records of one worker come in their order. What a worker has handed over is not lost,
    /// whatever ends the worker; it is delivered by a thread of the pool, and at the latest when
    /// the workers were stopped: [`WorkerPool::stop_and_join`], [`WorkerPool::terminate`] and the
    /// drop of the pool wait for that up to 5 seconds, [`WorkerPool::flush_logs`] as long as you
    /// like. Where the logger is slower than a worker until
    /// [`buffer_bytes`](LogCapture::buffer_bytes) are full, the worker waits for it, 100 ms at
    /// most, and then records are lost, which a record of the target `pool` says and counts.
    ///
    /// The level of this process ([`log::max_level`](https://docs.rs/log)) holds in workers, also
    /// where it changes later; the filters of the logger apply here.
    ///
    /// Under [`StartMethod::Threads`](crate::StartMethod::Threads) records go to the logger by
    /// themselves, and this option changes nothing. Under
    /// [`StartMethod::Fork`](crate::StartMethod::Fork) workers inherit the logger of the program,
    /// so it has to be one of [`logging`](crate::logging): otherwise `build()` is
    /// [`Error::OtherLogger`](crate::Error::OtherLogger). A program that has none gets an empty
    /// one then, which [`logging::install`](crate::logging::install) fills.
    ///
    /// ```
    /// use pool_api::{
    ///     WorkerPool,
    ///     logging::{self, LogCapture},
    /// };
    ///
    /// logging::log_to_stderr(log::LevelFilter::Info)?;
    /// let pool = WorkerPool::builder().n_jobs(2).capture_logs(LogCapture::all()).build()?;
    /// pool.map(0..4u32, |n| log::info!("item {n}"))?;
    /// pool.stop_and_join()?; // all lines are out
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capture_logs(mut self, targets: impl Into<LogCapture>) -> Self {
        self.options.capture_logs = Some(targets.into());
        self
    }
}

impl<S, W, E> WorkerPool<S, W, E> {
    /// Waits until the records that workers have handed over until now were given to the logger;
    /// `false` when that takes longer than `limit`, or when the logger itself calls it. A pool that
    /// does not capture has none: `true`.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`](crate::Error::ForeignProcess).
    pub fn flush_logs(&self, limit: Duration) -> Result<bool> {
        self.pool.flush_logs(limit)
    }

    /// Sets [`Builder::capture_logs`], or ends the capture with `None`. Takes fresh workers.
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`], and nothing is set then;
    /// [`Error::NestedUse`](crate::Error::NestedUse) in a task of the pool's own threads.
    pub fn set_capture_logs(&self, targets: impl Into<Option<LogCapture>>) -> Result<()> {
        self.pool.set_capture_logs(targets.into())
    }
}
