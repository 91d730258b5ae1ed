//! What a task sees of the worker that runs it, and what a worker's first function does.

use std::fmt;

/// The worker that runs a task. Fields, so that borrows of both stand side by side:
/// `w.state.predict(w.shared, &row)`.
#[non_exhaustive]
pub struct Worker<'w, S = (), W = ()> {
    /// What the pool shares with every worker.
    pub shared: &'w S,
    /// What this worker keeps from task to task.
    pub state: &'w mut W,
    id: u32,
    cancelled: &'w dyn Fn() -> bool,
}

impl<'w, S, W> Worker<'w, S, W> {
    pub(crate) fn new(
        shared: &'w S,
        state: &'w mut W,
        id: u32,
        cancelled: &'w dyn Fn() -> bool,
    ) -> Self {
        Self { shared, state, id, cancelled }
    }

    /// The worker's id: a place from 0 to `n_jobs - 1`, kept by its replacement.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether nobody wants the result any more: a long task may look now and then, and return.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }
}

/// The worker that calls `worker_init`: it has no state yet.
#[non_exhaustive]
pub struct Starting<'w, S = ()> {
    /// What the pool shares with every worker.
    pub shared: &'w S,
    id: u32,
    overdue: &'w dyn Fn() -> bool,
}

impl<'w, S> Starting<'w, S> {
    pub(crate) fn new(shared: &'w S, id: u32, overdue: &'w dyn Fn() -> bool) -> Self {
        Self { shared, id, overdue }
    }

    /// Whether it has taken longer than the `worker_init_timeout`, and nobody waits for it any
    /// more. A process would have been killed, but a thread can look and return.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        (self.overdue)()
    }

    /// The worker's id: a place from 0 to `n_jobs - 1`, kept by its replacement.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl<S: fmt::Debug> fmt::Debug for Starting<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starting").field("id", &self.id).field("shared", self.shared).finish()
    }
}

impl<S: fmt::Debug, W: fmt::Debug> fmt::Debug for Worker<'_, S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id)
            .field("shared", self.shared)
            .field("state", self.state)
            .finish()
    }
}
