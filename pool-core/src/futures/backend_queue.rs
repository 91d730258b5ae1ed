//! The queue of one backend, of processes or of threads.
//!
//! Invariant: the kinds differ only in how a call of one item gets to its workers (`submit.rs`);
//! all else goes by [`AsyncQueue`].

use std::{ops::Deref, sync::Arc};

#[cfg(feature = "threads")]
use super::threads::ThreadQueue;
use super::{
    handle::AsyncResult,
    processes::ProcessQueue,
    queue::{AsyncQueue, Budget, Room, Terms, Unaccepted},
    submit::submit,
};
use crate::{
    compact::Compact,
    error::Error,
    shared::SharedValue,
    start::{Backend, BackendClaim},
    task::Portable,
};

/// The queue of one backend.
#[derive(Debug, Clone)]
pub(crate) enum BackendQueue {
    Processes(Arc<ProcessQueue>),
    #[cfg(feature = "threads")]
    Threads(Arc<ThreadQueue>),
}

impl BackendQueue {
    /// A queue of the backend, which has `workers` workers; `None` while the pool is being stopped.
    ///
    /// # Errors
    ///
    /// [`Error::PoolBroken`].
    pub(crate) fn open(
        backend: &Backend,
        workers: usize,
        budget: Arc<Budget>,
    ) -> Result<Option<Self>, Error> {
        Ok(match backend {
            Backend::Processes(session) => {
                ProcessQueue::open(session.clone(), workers, budget)?.map(Self::Processes)
            }
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => Some(Self::Threads(ThreadQueue::open(backend, budget))),
        })
    }

    /// The backend, with a claim that keeps its threads from ending until it is released, soon;
    /// `None` where the threads have ended.
    pub(crate) fn claim(&self) -> Option<(Backend, BackendClaim)> {
        let backend = match self {
            Self::Processes(queue) => Backend::Processes(queue.session().clone()),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => Backend::Threads(queue.backend.upgrade()?),
        };
        let claim = backend.claim_unless_over()?;
        Some((backend, claim))
    }

    /// Takes a call of one item in. With [`Room::Wait`] this waits while too many calls wait to be
    /// begun. `shared`: the value that a task in a thread sees.
    pub(crate) fn submit<F: Portable<Context = ()>>(
        &self,
        item: Compact<F::Item>,
        function: F::Function,
        shared: Option<SharedValue>,
        terms: Terms,
        room: Room,
    ) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
        match self {
            Self::Processes(queue) => submit::<F, _>(queue, item, function, shared, terms, room),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => submit::<F, _>(queue, item, function, shared, terms, room),
        }
    }
}

impl Deref for BackendQueue {
    type Target = dyn AsyncQueue;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Processes(queue) => &**queue,
            #[cfg(feature = "threads")]
            Self::Threads(queue) => &**queue,
        }
    }
}
