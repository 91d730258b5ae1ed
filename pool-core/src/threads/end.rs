//! The end of the threads of a backend: in order, or without the user's code.
//!
//! Invariant: the threads are told to end once, by the first end; a thread that waits for them
//! waits neither for itself nor for an exit that is over its limit.

use std::{
    mem,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use super::backend::{GOES_ON, KILLED, ORDERLY, ThreadBackend};
use crate::{
    error::{Cause, Error},
    ids::WorkerId,
    mutex::lock,
    reentrancy::is_within_task_of,
};

/// How long a thread that stops a backend waits for claims, each of which takes some microseconds.
const CLAIMS_END: Duration = Duration::from_secs(5);

impl ThreadBackend {
    /// Waits for blocking calls of other threads, ends lazy ones, and joins the threads.
    pub(crate) fn stop(&self) {
        if self.is_foreign() {
            return;
        }
        self.claims.wait(CLAIMS_END);
        for job in self.jobs() {
            if job.lazy {
                job.terminate();
            } else {
                job.wait_for_end();
            }
        }
        self.end_orderly();
        self.join();
    }

    /// Ends the threads after they have run what is in the channel.
    fn end_orderly(&self) {
        let _ = self.end.compare_exchange(GOES_ON, ORDERLY, Ordering::SeqCst, Ordering::SeqCst);
        lock(&self.work_queue).take();
    }

    /// Ends the threads in order if no call uses them; whether they do end.
    fn end_if_idle(&self) -> bool {
        let mut work_queue = lock(&self.work_queue);
        let idle = self.is_idle();
        if idle {
            let _ = self.end.compare_exchange(GOES_ON, ORDERLY, Ordering::SeqCst, Ordering::SeqCst);
            work_queue.take();
        }
        idle
    }

    /// Ends the threads with a complete call, if each call has a backend of its own; of several
    /// calls, with the last one.
    ///
    /// # Errors
    ///
    /// [`Error::WorkerExitFailed`].
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.keeps_alive() || self.is_foreign() || !self.end_if_idle() {
            return Ok(());
        }
        self.join();
        self.exits.take_failure()
    }

    /// Ends the threads like [`ThreadBackend::finish`], but without waiting, after the call's job
    /// has ended.
    pub(crate) fn end_without_waiting(&self) {
        if !self.keeps_alive() && !self.is_foreign() {
            self.end_if_idle();
        }
    }

    /// Waits for threads that were told to end.
    pub(crate) fn wait_for_exiting(&self) {
        if !self.is_foreign() && self.end.load(Ordering::SeqCst) != GOES_ON {
            self.join();
        }
    }

    /// Cancels running items, ends all calls, and joins the threads.
    pub(crate) fn terminate(&self) {
        if self.is_foreign() {
            return;
        }
        self.end.store(KILLED, Ordering::SeqCst);
        self.jobs().iter().for_each(|job| job.terminate());
        self.join();
    }

    fn join(&self) {
        lock(&self.work_queue).take();
        let threads = mem::take(&mut *lock(&self.threads));
        for (worker, thread) in (0..).map(WorkerId::new).zip(threads) {
            // A thread of the backend that drops the pool cannot wait for itself, nor for the
            // thread whose task it works for in another backend.
            let id = thread.thread().id();
            if id == std::thread::current().id() || is_within_task_of(id) {
                continue;
            }
            match self.exiting.wait(worker) {
                Ok(()) => drop(thread.join()),
                // A thread that takes too long at its exit goes on by itself.
                Err(Some(limit)) => self.exits.fail(worker, Cause::Timeout { limit }),
                Err(None) => {}
            }
        }
    }
}

impl Drop for ThreadBackend {
    fn drop(&mut self) {
        if self.is_foreign() {
            // Another thread may have been changing any of this when the process was forked.
            mem::forget(self.work_queue.clone());
            mem::forget(mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner)));
            mem::forget(mem::take(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner)));
            return;
        }
        let goes_on = self.end.load(Ordering::SeqCst) == GOES_ON;
        if goes_on && !*self.retired.get_mut() {
            return self.terminate();
        }
        self.end_orderly();
        self.join();
    }
}
