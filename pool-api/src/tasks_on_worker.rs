//! The calls whose tasks see the worker that runs them.

use pool_core::{OnWorker, TaskError, TryError, Worker};
use pool_ipc::Wire;

use crate::{Imap, ImapResults, Result, Tasks};

type Function<S, W, A, R> = fn(&mut Worker<'_, S, W>, A) -> R;

/// Each call of the family once more, for functions that take the [`Worker`] beside the item: its id, what the pool shares
/// (`w.shared`), what the worker keeps itself (`w.state`, see [`Builder::worker_init`](crate::Builder::worker_init)), and whether
/// anybody still wants the result.
impl<'p, I: Iterator, S: Send + Sync + 'static, W: 'static> Tasks<'p, I, S, W> {
    /// As [`Tasks::map`], with the worker that runs the task.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::builder().n_jobs(2).shared(10u32).build()?;
    /// let seen = pool.tasks(0..4u32).map_with(|w, x| (w.shared + x, w.id() < 2))?;
    /// assert_eq!(seen[3], (13, true));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Tasks::map`].
    pub fn map_with<R: Wire>(self, f: Function<S, W, I::Item, R>) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.values(true)
    }

    /// As [`Tasks::map_unordered`], with the worker that runs the task.
    ///
    /// # Errors
    ///
    /// As [`Tasks::map`].
    pub fn map_unordered_with<R: Wire>(self, f: Function<S, W, I::Item, R>) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.values(false)
    }

    /// As [`Tasks::map_results`], with the worker that runs the task.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map_results_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Result<Vec<Result<R, TaskError>>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.outcomes()
    }

    /// As [`Tasks::try_map`], with the worker that runs the task.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_map_with<R: Wire, E: Wire>(
        self,
        f: Function<S, W, I::Item, Result<R, E>>,
    ) -> Result<Vec<R>, TryError<E>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, Result<R, E>>>(f, false)?.attempts(true)
    }

    /// As [`Tasks::imap`], with the worker that runs the task.
    pub fn imap_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Imap<'p, OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), true)
    }

    /// As [`Tasks::imap_unordered`], with the worker that runs the task.
    pub fn imap_unordered_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Imap<'p, OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), false)
    }

    /// As [`Tasks::imap_results`], with the worker that runs the task.
    pub fn imap_results_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> ImapResults<'p, OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapResults::new(self.job(f, true))
    }
}
