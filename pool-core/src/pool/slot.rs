//! The present state of a pool: its backend, and the value that its workers share.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    config::PoolConfig,
    error::Error,
    futures::ProcessQueue,
    session::Session,
    shared::{Shared, Source},
    start::Backend,
    start_method::StartMethod,
    task::SharedType,
};

/// The backend of a pool, with the queues of its futures and the backends before it.
#[derive(Debug)]
pub(super) struct BackendSlot {
    pub(super) backend: Option<Backend>,
    /// Whether a call has used the present workers.
    pub(super) used: bool,
    pub(super) sharing: Sharing,
    /// Queues for the futures of this backend, and of retired backends with unfinished futures.
    pub(super) queues: Vec<PoolQueue>,
    /// Backends that newer ones have replaced; their unfinished calls keep them alive.
    retired: Vec<Retired>,
}

/// The value that the workers of a backend share.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) kind: SharedType,
    pub(super) source: Source,
}

/// The queue for the futures of one backend.
#[derive(Debug, Clone)]
pub(super) enum PoolQueue {
    Processes(Arc<ProcessQueue>),
    #[cfg(feature = "threads")]
    Threads(Arc<crate::futures::ThreadQueue>),
}

#[derive(Debug)]
enum Retired {
    Processes(Weak<Session>),
    #[cfg(feature = "threads")]
    Threads(Weak<crate::threads::ThreadBackend>),
}

impl Sharing {
    pub(super) fn new(shared: Shared, plan: &PoolConfig) -> Result<Self, Error> {
        let kind = shared.kind();
        plan.life.check_shared(kind)?;
        let source = shared.prepare(plan.method)?;
        if plan.method != StartMethod::Threads {
            source.config(None)?; // refuses a function that no process would find
        }
        Ok(Self { kind, source })
    }

    /// Refuses a function that takes a shared value of another type.
    pub(super) fn check(&self, wanted: Option<SharedType>) -> Result<(), Error> {
        match wanted {
            Some(wanted) if wanted.id != self.kind.id => Err(Error::InvalidInput(format!(
                "the function takes a worker that shares `{}`, but this pool shares `{}`",
                wanted.name, self.kind.name
            ))),
            _ => Ok(()),
        }
    }
}

impl BackendSlot {
    pub(super) fn new(backend: Option<Backend>, sharing: Sharing) -> Self {
        Self { backend, used: false, sharing, queues: Vec::new(), retired: Vec::new() }
    }

    /// Makes the next call begin with a fresh backend. The old one finishes its calls; dropping it
    /// may wait for that.
    pub(super) fn retire(&mut self) -> Option<Backend> {
        let backend = self.backend.take()?;
        backend.retire();
        self.used = false;
        self.queues.iter().for_each(PoolQueue::close);
        self.retired.retain(|backend| backend.upgrade().is_some());
        self.retired.push(match &backend {
            Backend::Processes(session) => Retired::Processes(Arc::downgrade(session)),
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => Retired::Threads(Arc::downgrade(backend)),
        });
        Some(backend)
    }

    /// The retired backends that have unfinished calls.
    pub(super) fn retired(&self) -> Vec<Backend> {
        self.retired.iter().filter_map(Retired::upgrade).collect()
    }
}

impl Retired {
    fn upgrade(&self) -> Option<Backend> {
        match self {
            Self::Processes(session) => session.upgrade().map(Backend::Processes),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.upgrade().map(Backend::Threads),
        }
    }
}

impl PoolQueue {
    /// Whether it takes in calls for the backend.
    pub(super) fn serves(&self, backend: &Backend) -> bool {
        match (self, backend) {
            (Self::Processes(queue), Backend::Processes(session)) => {
                queue.is_of(session) && queue.is_open()
            }
            #[cfg(feature = "threads")]
            (Self::Threads(queue), Backend::Threads(backend)) => {
                queue.is_of(backend) && queue.is_open()
            }
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Whether every call that it took in has ended.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Processes(queue) => queue.is_over(),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => queue.is_over(),
        }
    }

    /// Whether a thread that stops the backend has to drain this queue.
    pub(super) fn holds_up(&self, backend: &Backend) -> bool {
        match (self, backend) {
            (Self::Processes(queue), Backend::Processes(session)) => {
                queue.is_of(session) && queue.has_job()
            }
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Whether both are the same queue.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Processes(one), Self::Processes(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "threads")]
            (Self::Threads(one), Self::Threads(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Takes nothing in any more.
    fn close(&self) {
        match self {
            Self::Processes(queue) => queue.close(),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => queue.close(),
        }
    }

    /// Closes the queue, and waits until all its calls are answered.
    pub(super) fn drain(&self) {
        match self {
            Self::Processes(queue) => queue.drain(),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => queue.drain(),
        }
    }

    /// Called before the calling thread waits for the end of a stop: if it runs a callback, that
    /// stop does not wait for the callback.
    pub(super) fn resign(&self) {
        match self {
            Self::Processes(queue) => queue.resign(),
            // Callbacks of threads wait for no stop: their calls get fresh threads.
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }

    /// Takes nothing in any more; calls without an answer end with [`Error::Terminated`].
    pub(super) fn terminate(&self) {
        match self {
            Self::Processes(queue) => queue.terminate(),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => queue.terminate(),
        }
    }

    /// Terminates the queue, and waits for its driver thread, at most for `limit`.
    pub(super) fn end(&self, limit: Option<Duration>) {
        match self {
            Self::Processes(queue) => queue.end(limit),
            #[cfg(feature = "threads")]
            Self::Threads(queue) => queue.end(limit),
        }
    }
}
