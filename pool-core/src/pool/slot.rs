//! The present state of a pool: its backend, and the value that its workers share.

use crate::{
    config::PoolConfig,
    error::Error,
    futures::BackendQueue,
    shared::{Shared, Source},
    start::{Backend, WeakBackend},
    start_method::StartMethod,
    task::SharedType,
};

/// The backend of a pool, with the queues of its futures and the backends before it.
pub(super) struct BackendSlot {
    pub(super) backend: Option<Backend>,
    /// Whether a call has used the present workers.
    pub(super) used: bool,
    pub(super) sharing: Sharing,
    /// Queues for the futures of this backend, and of retired backends with unfinished futures.
    pub(super) queues: Vec<BackendQueue>,
    /// Backends that newer ones have replaced; their unfinished calls keep them alive.
    retired: Vec<WeakBackend>,
}

/// The value that the workers of a backend share.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) kind: SharedType,
    pub(super) source: Source,
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
        self.queues.iter().for_each(|queue| queue.close());
        self.retired.retain(|retired| retired().is_some());
        self.retired.push(backend.downgrade());
        Some(backend)
    }

    /// The queue that takes in calls for the backend.
    pub(super) fn queue_of(&self, backend: &Backend) -> Option<&BackendQueue> {
        self.queues.iter().find(|queue| queue.is_of(backend) && queue.is_open())
    }

    /// The retired backends that have unfinished calls.
    pub(super) fn retired(&self) -> Vec<Backend> {
        self.retired.iter().filter_map(|retired| retired()).collect()
    }
}
