//! What a pool logs through the `log` facade, with the feature `log`; without it, nothing.
//!
//! Invariant: a logger is the user's code. It is called in the process that has the pool, with none
//! of the pool's locks held, by the thread that found out what there is to log; never in a zygote
//! or a worker. Its panics go no further: that thread may be on the way out of a call that tasks
//! borrow from.

#[cfg(feature = "log")]
use crate::panic::quietly;
use crate::{error::ExitStatus, ids::WorkerId};

/// One log line.
#[derive(Debug)]
#[cfg_attr(not(feature = "log"), allow(dead_code))]
pub(crate) enum Entry {
    /// A setting has changed that takes fresh workers.
    Anew { reason: &'static str },
    /// A worker process has died by itself, and was replaced.
    Died { worker: WorkerId, status: ExitStatus },
    /// A worker process was killed because something took too long.
    TimedOut { worker: WorkerId, what: &'static str },
    /// A worker process was killed with an item of a call that was cancelled.
    Killed { worker: WorkerId },
    /// There was no room for a worker's exit result.
    Refused { worker: WorkerId },
    /// A worker process has ended at the end of its life.
    Lived { worker: WorkerId },
}

/// Lines that have not been logged yet.
#[derive(Debug, Default)]
pub(crate) struct DeferredLog {
    #[cfg(feature = "log")]
    entries: Vec<Entry>,
}

#[cfg(feature = "log")]
impl DeferredLog {
    /// Notes a line, to be logged when no lock is held.
    pub(crate) fn note(&mut self, entry: Entry) {
        if entry.level() <= log::max_level() {
            self.entries.push(entry);
        }
    }

    /// Takes the lines, to be logged by [`DeferredLog::write`].
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Takes in the lines of another deferred log, to be logged later.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
    }

    #[inline]
    pub(crate) fn write(self) {
        for entry in self.entries {
            entry.write();
        }
    }
}

#[cfg(not(feature = "log"))]
impl DeferredLog {
    #[inline]
    pub(crate) fn note(&mut self, _: Entry) {}

    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        Self::default()
    }

    pub(crate) fn append(&mut self, _: Self) {}

    #[inline]
    pub(crate) fn write(self) {}
}

impl Entry {
    /// Logs it now: no lock is held.
    #[cfg(feature = "log")]
    pub(crate) fn write(self) {
        quietly(|| self.write_line());
    }

    #[cfg(feature = "log")]
    fn write_line(self) {
        let level = self.level();
        match self {
            Self::Anew { reason } => {
                log::log!(target: TARGET, level, "{reason}: the next call gets fresh workers");
            }
            Self::Died { worker, status } => {
                log::log!(target: TARGET, level, "worker {worker} {status}; it is replaced");
            }
            Self::TimedOut { worker, what } => {
                log::log!(target: TARGET, level, "worker {worker} was killed: {what} took too long");
            }
            Self::Killed { worker } => {
                log::log!(target: TARGET, level, "worker {worker} was killed: its call was cancelled");
            }
            Self::Refused { worker } => {
                log::log!(target: TARGET, level, "the exit result of worker {worker} was not kept: all of them take more than max_result_bytes");
            }
            Self::Lived { worker } => {
                log::log!(target: TARGET, level, "worker {worker} has lived its time; a fresh one has its place");
            }
        }
    }

    #[cfg(not(feature = "log"))]
    pub(crate) fn write(self) {}

    #[cfg(feature = "log")]
    fn level(&self) -> log::Level {
        match self {
            Self::Anew { .. } | Self::Killed { .. } => log::Level::Info,
            Self::Died { .. } | Self::TimedOut { .. } | Self::Refused { .. } => log::Level::Warn,
            Self::Lived { .. } => log::Level::Debug,
        }
    }
}

#[cfg(feature = "log")]
const TARGET: &str = "pool";
