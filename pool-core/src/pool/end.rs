//! The end of a pool's workers, and what they leave behind.
//!
//! Invariant: what was handed in before a stop that waits is done, and no call that comes meanwhile
//! holds the stop up for ever.

use std::time::Duration;

use pool_ipc::Wire;

use super::{Pool, slot::PoolQueue};
use crate::{
    error::Error,
    job::{Awaits, Waiting},
    reentrancy::is_inside,
    start::Backend,
    start_method::StartMethod,
    task::SharedType,
};

/// How long `terminate` waits for a waker, or a type's own code, that goes on after its calls have
/// ended.
const PATIENCE: Duration = Duration::from_secs(2);

impl Pool {
    /// Lets blocking calls of other threads finish, ends lazy ones, lets the workers end what they
    /// run, and waits until they have ended. The pool can be used again; a second call does
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`]; [`Error::NestedUse`] where it would wait for itself: in a task of
    /// threads, in code inside a call, in a callback of a future; [`Error::PoolBroken`] when there
    /// was nobody left to stop; [`Error::WorkerExitFailed`] of a worker that failed at its end, now
    /// or earlier, where no call could be told. The workers have ended all the same.
    pub fn stop_and_join(&self) -> Result<(), Error> {
        self.end(true, Backend::stop)?;
        self.plan.exits.tell()
    }

    /// Kills the workers at once and ends all calls with [`Error::Terminated`]; under Threads
    /// running items are told and waited for. The pool can be used again; a second call does
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Pool::stop_and_join`].
    pub fn terminate(&self) -> Result<(), Error> {
        self.end(false, Backend::terminate)?;
        // A worker that was killed in the middle of its exit has not failed, and what failed before
        // was left behind with the workers. Refused results stay known.
        let _ = self.plan.exits.take_failure();
        Ok(())
    }

    /// What the workers' exits have returned, in the order in which they ended; those that are at
    /// their exit are waited for. It stays until workers start anew: for the first call after the
    /// pool was stopped, and for every call without `keep_alive`. What is missing,
    /// [`Pool::take_exit_failures`] says.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] when they are no `E`; [`Error::ForeignProcess`];
    /// [`Error::NestedUse`] in a task of the pool's own threads.
    pub fn exit_results<E: Wire>(&self) -> Result<Vec<E>, Error> {
        self.refuse_if_foreign()?;
        self.plan.life.check_result(SharedType::of::<E>())?;
        let slot = self.slot()?;
        let (backend, retired) = (slot.backend.as_ref().map(Backend::share), slot.retired());
        drop(slot);
        if backend.iter().chain(&retired).any(Backend::is_mine) {
            return Err(Error::NestedUse);
        }
        backend.iter().chain(&retired).for_each(Backend::wait_for_exiting);
        Ok(self.plan.exits.read())
    }

    /// Why exit results are missing: [`Error::WorkerExitFailed`] of the first exit that failed
    /// where no call was told, or whose result did not decode, and for each worker the first of its
    /// results that was refused
    /// ([`Cause::ExitResultsUnread`](crate::error::Cause::ExitResultsUnread)). They are told by
    /// this: it is empty afterwards, and so in a forked child. Exits under way are waited for by
    /// [`Pool::exit_results`].
    pub fn take_exit_failures(&self) -> Vec<Error> {
        if self.is_foreign() { Vec::new() } else { self.plan.exits.take_all() }
    }

    fn end(&self, waits_for_calls: bool, end: fn(&Backend)) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        let mut slot = self.slot()?;
        let (backend, retired) = (slot.backend.as_ref().map(Backend::share), slot.retired());
        let waits = |backend: &Backend| {
            (waits_for_calls && is_inside(backend.id(), None)) || backend.is_mine()
        };
        if backend.iter().chain(&retired).any(waits) {
            return Err(Error::NestedUse);
        }
        let stopped = backend.iter().chain(&retired).filter(|_| waits_for_calls).map(Backend::id);
        // Nor where what it waits for waits for this thread, through other pools.
        let _waiting = Waiting::begin(Awaits::All, stopped)?;
        let queues = slot.queues.clone();
        // From now on calls get threads of their own, and these no queue any more.
        let threads = self.plan.method == StartMethod::Threads;
        let past = if waits_for_calls && threads { slot.retire() } else { None };
        // Not under the lock: a call that has to end may need it.
        drop(slot);
        if waits_for_calls {
            self.end_desks(&queues, true)?;
            retired.iter().for_each(end);
        } else {
            // The thread of a queue may be in a call that the user's code makes: a waker's, of any
            // length. So the calls end before that thread is waited for, and code that goes on
            // beyond them is left to itself.
            queues.iter().for_each(PoolQueue::terminate);
            retired.iter().chain(&backend).for_each(end);
            self.end_desks(&queues, false)?;
        }
        let Some(backend) = backend else { return Ok(()) };
        match &backend {
            // Calls go on while queues are drained, and futures may have got a new queue.
            Backend::Processes(session) if waits_for_calls => {
                while !session.stop_unless_queue_open() {
                    let late = |queue: &&PoolQueue| queue.holds_up(&backend);
                    let late: Vec<_> = self.slot()?.queues.iter().filter(late).cloned().collect();
                    self.end_desks(&late, true)?;
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
        // Another thread may have given the pool a new one.
        if slot.backend.as_ref().is_some_and(|now| now.id() == backend.id()) {
            slot.used = false;
            // The snapshot that Fork took stays: it is what the next workers come from.
            if self.plan.method != StartMethod::Fork || backend.is_renewable() {
                slot.backend = None;
            }
        }
        Ok(())
    }

    /// Ends the queues and lets the slot forget them. It knows them until then: others who stop the
    /// pool wait for them, too.
    fn end_desks(&self, queues: &[PoolQueue], waits_for_calls: bool) -> Result<(), Error> {
        if waits_for_calls {
            queues.iter().for_each(PoolQueue::drain);
        }
        let limit = (!waits_for_calls).then_some(PATIENCE);
        queues.iter().for_each(|queue| queue.end(limit));
        self.slot()?.queues.retain(|queue| !queues.iter().any(|ended| ended.is(queue)));
        Ok(())
    }
}
