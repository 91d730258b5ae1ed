//! The calls whose tasks see the worker that runs them.

use pool_core::{OnWorker, TaskError, TryError, Worker};
use pool_ipc::Wire;

use crate::{Imap, ImapResults, Result, Tasks};

type Function<S, W, A, R> = fn(&mut Worker<'_, S, W>, A) -> R;

/// The calls of the family for functions that take the [`Worker`] beside the item: it has the
/// worker's id, the value that the pool shares (`w.shared`), the worker's state (`w.state`, see
/// [`Builder::worker_init`](crate::Builder::worker_init)), and whether the result is still wanted.
/// Runs `f` on every item, with the worker; values in input order, see [`Tasks::map`].
impl<'p, I: Iterator, S: Send + Sync + 'static, W: 'static> Tasks<'p, I, S, W> {
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
    /// The errors of [`Tasks::map`].
    pub fn map_with<R: Wire>(self, f: Function<S, W, I::Item, R>) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.values(true)
    }

    /// Runs `f` on every item, with the worker; values in the order in which they were done.
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::map`].
    pub fn map_unordered_with<R: Wire>(self, f: Function<S, W, I::Item, R>) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.values(false)
    }

    /// Runs `f` on every item, with the worker; one result per item, in input order, see
    /// [`Tasks::map_results`].
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::map_results`].
    pub fn map_results_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Result<Vec<Result<R, TaskError>>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, R>>(f, false)?.outcomes()
    }

    /// Runs `f` on every item, with the worker; the values in input order, or the first error of a
    /// task, typed, see [`Tasks::try_map`].
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::try_map`].
    pub fn try_map_with<R: Wire, E: Wire>(
        self,
        f: Function<S, W, I::Item, Result<R, E>>,
    ) -> Result<Vec<R>, TryError<E>>
    where
        I::Item: Wire,
    {
        self.job::<OnWorker<S, W, I::Item, Result<R, E>>>(f, false)?.attempts(true)
    }

    /// An iterator over the values in input order; `f` takes the worker beside the item.
    pub fn imap_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Imap<'p, OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), true)
    }

    /// An iterator over the values in the order in which they were done; `f` takes the worker
    /// beside the item.
    pub fn imap_unordered_with<R: Wire>(
        self,
        f: Function<S, W, I::Item, R>,
    ) -> Imap<'p, OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), false)
    }

    /// An iterator over one result per item, in input order; `f` takes the worker beside the item;
    /// see [`Tasks::imap_results`].
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
