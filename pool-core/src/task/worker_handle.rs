//! A task's access to its worker, and that of `worker_init`.

use std::fmt;

/// The worker that runs a task. It has fields, so that both can be borrowed at once:
/// `w.state.predict(w.shared, &row)`.
#[non_exhaustive]
pub struct Worker<'w, S = (), W = ()> {
    /// The value that the pool shares with every worker.
    pub shared: &'w S,
    /// The state that this worker keeps from task to task.
    pub state: &'w mut W,
    id: u32,
    cancelled: &'w dyn Fn() -> bool,
    /// Reports steps of the item.
    report: &'w dyn Fn(u64, u64),
}

impl<'w, S, W> Worker<'w, S, W> {
    pub(crate) fn new(
        shared: &'w S,
        state: &'w mut W,
        id: u32,
        (cancelled, report): (&'w dyn Fn() -> bool, &'w dyn Fn(u64, u64)),
    ) -> Self {
        Self { shared, state, id, cancelled, report }
    }

    /// Says how many of the steps of this item are done: they are shown as a line of this worker
    /// below the bar of the call, until the item ends. Costs some nanoseconds and waits for
    /// nothing, so it may be called at each step. Where the call shows no progress, and in
    /// `worker_exit`, it has no effect.
    ///
    /// ```
    /// # use pool_core as pool_api;
    /// fn pages(w: &mut pool_api::Worker<'_>, count: u64) {
    ///     for page in 0..count {
    ///         // … work on the page …
    ///         w.progress(page + 1, count);
    ///     }
    /// }
    /// ```
    pub fn progress(&self, done: u64, total: u64) {
        (self.report)(done, total);
    }

    /// The worker's id, from 0 to `n_jobs - 1`; a worker that replaces this one keeps it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the result is not wanted any more: a long task may check this now and then, and
    /// return.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }
}

/// The worker that calls `worker_init`: it has no state yet.
#[non_exhaustive]
pub struct Starting<'w, S = ()> {
    /// The value that the pool shares with every worker.
    pub shared: &'w S,
    id: u32,
    overdue: &'w dyn Fn() -> bool,
}

impl<'w, S> Starting<'w, S> {
    pub(crate) fn new(shared: &'w S, id: u32, overdue: &'w dyn Fn() -> bool) -> Self {
        Self { shared, id, overdue }
    }

    /// Whether this has taken longer than the `worker_init_timeout`, so that its result is not
    /// wanted any more. A process would have been killed, but a thread can check this and return.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        (self.overdue)()
    }

    /// The worker's id, from 0 to `n_jobs - 1`; a worker that replaces this one keeps it.
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
