//! The end of a pool's workers, and their exit results.
//!
//! Invariant: a stop that waits completes all calls made before it, and calls made meanwhile do not
//! hold it up for ever.

use std::time::Duration;

use pool_ipc::Wire;

use super::Pool;
use crate::{
    error::Error,
    futures::BackendQueue,
    job::{Awaits, Waiting},
    reentrancy::is_inside,
    start::Backend,
    start_method::StartMethod,
    task::SharedType,
};

/// How long `terminate` waits for a waker, or a type's own code, that still runs after the calls
/// have ended.
const PATIENCE: Duration = Duration::from_secs(2);

impl Pool {
    /// Waits until blocking calls of other threads have finished, ends lazy ones, lets the workers
    /// complete their tasks, and waits until they have ended. The pool can be used again; a second
    /// call does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`]; [`Error::NestedUse`] where it would wait for itself: in a task of
    /// threads, in code inside a call, in a callback of a future; [`Error::PoolBroken`] when the
    /// zygote is gone; [`Error::WorkerExitFailed`] of a worker that failed at its exit, now or
    /// earlier, unless a call has returned that failure. The workers have ended all the same.
    pub fn stop_and_join(&self) -> Result<(), Error> {
        let ended = self.end(true, Backend::stop);
        self.wake_submitters();
        #[cfg(feature = "capture-log")]
        self.flush_log_capture();
        ended?;
        self.plan.exits.report()
    }

    /// Kills the workers at once and ends all calls with [`Error::Terminated`]; under Threads
    /// running items see the cancellation, and are waited for. The pool can be used again; a second
    /// call does nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::stop_and_join`], except [`Error::WorkerExitFailed`].
    pub fn terminate(&self) -> Result<(), Error> {
        let ended = self.end(false, Backend::terminate);
        self.wake_submitters();
        #[cfg(feature = "capture-log")]
        self.flush_log_capture();
        ended?;
        // A worker that was killed during its exit has not failed, and earlier failures are dropped
        // with the workers. Refused results stay known.
        let _ = self.plan.exits.take_failure();
        Ok(())
    }

    /// The results of the workers' exits, in the order in which the workers ended; workers that are
    /// at their exit are waited for. The results stay until workers start anew: at the first call
    /// after the pool was stopped, and at every call without `keep_alive`.
    /// [`Pool::take_exit_failures`] returns why results are missing.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] when the results are not of type `E`; [`Error::ForeignProcess`];
    /// [`Error::NestedUse`] in a task of the pool's own threads.
    pub fn exit_results<E: Wire>(&self) -> Result<Vec<E>, Error> {
        self.refuse_if_foreign()?;
        self.plan.life.check_result(SharedType::of::<E>())?;
        let slot = self.slot()?;
        let (backend, retired) = (slot.backend.clone(), slot.retired());
        drop(slot);
        if backend.iter().chain(&retired).any(Backend::is_mine) {
            return Err(Error::NestedUse);
        }
        backend.iter().chain(&retired).for_each(Backend::wait_for_exiting);
        Ok(self.plan.exits.read())
    }

    /// Why exit results are missing: [`Error::WorkerExitFailed`] of the first exit that failed
    /// without a call to return it, or whose result did not decode, and for each worker the first
    /// of its results that was refused
    /// ([`Cause::ExitResultsUnread`](crate::error::Cause::ExitResultsUnread)). A second call
    /// returns nothing, nor does a call in a forked child. [`Pool::exit_results`] waits for exits
    /// under way.
    pub fn take_exit_failures(&self) -> Vec<Error> {
        if self.is_foreign() { Vec::new() } else { self.plan.exits.take_all() }
    }

    fn end(&self, waits_for_calls: bool, end: fn(&Backend)) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let mut slot = self.slot()?;
        let (backend, retired) = (slot.backend.clone(), slot.retired());
        let waits = |backend: &Backend| {
            (waits_for_calls && is_inside(backend.id(), None)) || backend.is_mine()
        };
        if backend.iter().chain(&retired).any(waits) {
            return Err(Error::NestedUse);
        }
        let stopped = backend.iter().chain(&retired).filter(|_| waits_for_calls).map(Backend::id);
        // Refuses also where the stop would wait for this thread through other pools.
        let _waiting = Waiting::begin(Awaits::All, stopped)?;
        let queues = slot.queues.clone();
        // From now on new calls get fresh threads, and these threads no new queue.
        let threads = self.plan.method == StartMethod::Threads;
        let past = if waits_for_calls && threads { slot.retire() } else { None };
        // Without the lock: a call that has to end may need it.
        drop(slot);
        self.wake_submitters();
        if waits_for_calls {
            self.end_queues(&queues, true)?;
            retired.iter().for_each(end);
        } else {
            // A queue's driver thread may be in user code of any length, such as a waker that makes
            // a call. So the calls end before that thread is waited for, and user code that runs on
            // beyond them is left alone.
            queues.iter().for_each(|queue| queue.terminate());
            retired.iter().chain(&backend).for_each(end);
            self.end_queues(&queues, false)?;
        }
        let Some(backend) = backend else { return Ok(()) };
        match &backend {
            // Calls go on while queues are drained, and a new queue may have been opened.
            Backend::Processes(session) if waits_for_calls => {
                while !session.stop_unless_queue_open() {
                    let late = |queue: &&BackendQueue| queue.is_of(&backend) && queue.holds_up();
                    let late: Vec<_> = self.slot()?.queues.iter().filter(late).cloned().collect();
                    self.end_queues(&late, true)?;
                }
            }
            backend if waits_for_calls => end(backend),
            _ => {}
        }
        drop(past);
        if backend.is_broken() {
            return Err(Error::PoolBroken);
        }
        let mut slot = self.slot()?;
        // Another thread may have opened a new backend.
        if slot.backend.as_ref().is_some_and(|now| now.id() == backend.id()) {
            slot.used = false;
            // The snapshot that Fork took stays: the next workers are forked from it.
            if self.plan.method != StartMethod::Fork || backend.is_renewable() {
                slot.backend = None;
            }
        }
        Ok(())
    }

    /// Ends the queues and removes them from the slot. They stay in the slot until then: other
    /// threads that stop the pool wait for them, too.
    fn end_queues(&self, queues: &[BackendQueue], waits_for_calls: bool) -> Result<(), Error> {
        for queue in queues {
            if waits_for_calls {
                queue.drain();
            }
            queue.end((!waits_for_calls).then_some(PATIENCE));
        }
        self.slot()?.queues.retain(|queue| !queues.iter().any(|ended| ended.is(&**queue)));
        Ok(())
    }

    /// Has submitters look for room once more: in another queue, or since the pool is not being
    /// stopped any longer.
    fn wake_submitters(&self) {
        // In a forked child another thread may have been changing the list.
        if !self.is_foreign() {
            self.budget.wake_submitters();
        }
    }
}
