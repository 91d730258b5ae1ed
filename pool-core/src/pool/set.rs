//! Settings that may change between two calls, and the fresh workers that some of them require.
//!
//! Invariant: calls that began before keep their workers; a setting that is refused changes
//! nothing.

#[cfg(feature = "capture-log")]
use std::sync::Arc;
use std::{
    mem,
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    Pool,
    slot::{BackendSlot, Sharing},
};
#[cfg(feature = "capture-log")]
use crate::capture::{Capture, LogCapture};
use crate::{
    deferred_log::Entry,
    error::Error,
    job::check_limit,
    os::nanos,
    shared::Shared,
    start::{Backend, start_of},
    start_method::StartMethod,
};

/// Retires the backend like [`BackendSlot::retire`], but refuses in a task of that backend.
fn retire(slot: &mut BackendSlot) -> Result<Option<Backend>, Error> {
    if slot.backend.as_ref().is_some_and(Backend::is_mine) {
        return Err(Error::NestedUse);
    }
    Ok(slot.retire())
}

impl Pool {
    /// Sets whether workers live on from call to call. The present workers stay until a call has
    /// ended.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn set_keep_alive(&self, on: bool) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let mut slot = self.slot()?;
        let before = self.settings.keep_alive.swap(on, Relaxed);
        let mut ended = None;
        if on && !before && mem::take(&mut slot.used) && self.plan.method == StartMethod::Threads {
            // The present threads have ended with their call, or will.
            ended = slot.retire();
        } else if let Some(backend) = &slot.backend {
            backend.set_keep_alive(on);
        }
        drop(slot);
        drop(ended); // which may wait
        Ok(())
    }

    /// Sets whether later calls over several items hand their chunks to the workers in turn, if the
    /// calls do not set that themselves.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`].
    pub fn set_order_tasks(&self, on: bool) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        self.settings.order_tasks.store(on, Relaxed);
        Ok(())
    }

    /// Sets how long one item may take in calls that do not set it themselves; `None`: no limit.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a limit of zero; [`Error::ForeignProcess`].
    pub fn set_task_timeout(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        check_limit("task_timeout", limit)?;
        self.settings.task_timeout.store(limit.map_or(0, nanos), Relaxed);
        Ok(())
    }

    /// Sets after how many tasks a worker's life ends; `None`: no number of tasks ends it. The next
    /// call gets fresh workers.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::refresh_snapshot`]; then nothing is set.
    pub fn set_worker_lifespan(&self, tasks: Option<NonZeroU64>) -> Result<(), Error> {
        self.set(&self.settings.lifespan, "worker_lifespan", tasks.map_or(0, NonZeroU64::get))
    }

    /// Sets how long `worker_init` may take; `None`: no limit. The next call gets fresh workers.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::refresh_snapshot`], and [`Error::InvalidInput`] for a limit of zero; then
    /// nothing is set.
    pub fn set_worker_init_timeout(&self, limit: Option<Duration>) -> Result<(), Error> {
        check_limit("worker_init_timeout", limit)?;
        let nanos = limit.map_or(0, nanos);
        self.set(&self.settings.init_timeout, "worker_init_timeout", nanos)
    }

    /// Sets how long `worker_exit` may take; `None`: no limit. The next call gets fresh workers.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::set_worker_init_timeout`].
    pub fn set_worker_exit_timeout(&self, limit: Option<Duration>) -> Result<(), Error> {
        check_limit("worker_exit_timeout", limit)?;
        let nanos = limit.map_or(0, nanos);
        self.set(&self.settings.exit_timeout, "worker_exit_timeout", nanos)
    }

    /// Sets which log records of workers are captured; `None`: none. The next call gets fresh
    /// workers.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::refresh_snapshot`], and those of the options; then nothing is set.
    #[cfg(feature = "capture-log")]
    pub fn set_capture_logs(&self, capture: Option<LogCapture>) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let new = match &capture {
            Some(capture) => Some(Arc::new(Capture::new(capture, self.plan.method)?)),
            None => None,
        };
        let old = self.settings.capture();
        self.begin_anew("capture_logs", |slot| {
            let retired = retire(slot)?;
            self.settings.set_capture(new);
            Ok(retired)
        })?;
        // The workers that were captured before have ended, unless calls have them.
        old.inspect(|old| old.end());
        Ok(())
    }

    fn set(&self, setting: &AtomicU64, name: &'static str, value: u64) -> Result<(), Error> {
        if setting.load(Relaxed) == value {
            return self.refuse_if_foreign();
        }
        self.begin_anew(name, |slot| {
            let retired = retire(slot)?;
            setting.store(value, Relaxed);
            Ok(retired)
        })
    }

    /// Takes a new snapshot of this process, from which the workers of later calls are forked.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] except under Fork. Those of [`Pool::build`]: the process must have
    /// one thread and borrow no shared memory; otherwise everything stays as it is.
    /// [`Error::WorkerExitFailed`] if an old worker failed at its exit: the snapshot is new all the
    /// same.
    pub fn refresh_snapshot(&self) -> Result<(), Error> {
        let method = self.plan.method;
        if method != StartMethod::Fork {
            let what = "refresh_snapshot: its workers do not come from a snapshot";
            return Err(Error::NotSupported { method, what });
        }
        self.begin_anew("refresh_snapshot", retire)
    }

    /// Replaces the value that the workers share, by one of the same type or another.
    ///
    /// Calls that began before keep the old value and their workers; later ones get fresh workers,
    /// under Threads just the new value. Fork takes a new snapshot at once.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::build`]: then the old value stays, except if a process could not be forked.
    /// [`Error::WorkerExitFailed`] if an old worker failed at its exit: the value is new all the
    /// same.
    pub fn share(&self, shared: Shared) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let threads = self.plan.method == StartMethod::Threads;
        let mut old = Some(Sharing::new(shared, &self.plan)?);
        self.begin_anew("set_shared", |slot| {
            old = old.take().map(|new| mem::replace(&mut slot.sharing, new));
            Ok(if threads { None } else { slot.retire() })
        })
        // The old value is dropped here, without the lock.
    }

    /// Makes the next call begin with fresh workers: `change` retires the present ones. Retired
    /// workers that no call uses any more end in order.
    fn begin_anew(
        &self,
        reason: &'static str,
        change: impl FnOnce(&mut BackendSlot) -> Result<Option<Backend>, Error>,
    ) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let start = start_of(self.plan.method)?;
        if start.is_eager() {
            start.check(&self.plan)?;
        }
        let mut slot = self.slot()?;
        let retired = change(&mut slot)?;
        let queues: Vec<_> = match &retired {
            Some(_) => slot.queues.extract_if(.., |queue| queue.is_over()).collect(),
            None => Vec::new(),
        };
        drop(slot);
        // Without the lock, since this may take long; before the fork, whose snapshot would contain
        // the queues.
        queues.iter().for_each(|queue| queue.end(None));
        drop(queues);
        let anew = retired.is_some();
        if let Some(backend) = retired {
            Entry::Anew { reason }.write();
            self.end_retired(&backend);
        }
        if start.is_eager() {
            let (_paused, mut slot) = self.slot_for_backend()?;
            self.open_backend(&mut slot)?;
        }
        // After everything that may fail: a failure that is taken from `exits` has to be returned.
        if anew { self.plan.exits.report() } else { Ok(()) }
    }

    /// Stops a retired backend in order if no call uses it and its workers have something to end.
    pub(super) fn end_retired(&self, backend: &Backend) {
        // A process has more to end than its exit function: it leaves barriers, for example.
        let leaves = self.plan.life.has_exit() || matches!(backend, Backend::Processes(_));
        if leaves && backend.is_idle() {
            backend.stop();
        }
    }
}
