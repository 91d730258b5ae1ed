//! Calls over many items whose results the caller waits for.

use pool_core::{FromItem, Job, Owned, Plain, Shape, Shaped, TaskError, TryError};
use pool_ipc::{Wire, rkyv::Archive};

use super::Call;
use crate::{Imap, ImapResults, ImapUnorderedResults, Result};

/// The job of a call on the items of `I`.
type ItemsJob<K, H, I, R> = Job<Shaped<K, H, <I as Iterator>::Item, R>, I>;

impl<'p, I: Iterator, S, W, K: FromItem, H> Call<'p, I, S, W, K, H> {
    fn job<R: Wire>(self, f: H::Fn<I::Item, R>, lazy: bool) -> Result<ItemsJob<K, H, I, R>>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        let context = self.shape.into_context();
        self.pool.job(f, context, self.input, &self.options, lazy)
    }

    /// Runs `f` on every item; values in input order.
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn map<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Result<Vec<R>>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.job::<R>(f, false)?.values(true)
    }

    /// Runs `f` on every item; values in the order in which they were done.
    ///
    /// # Errors
    ///
    /// The errors of [`map`](#method.map).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn map_unordered<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Result<Vec<R>>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.job::<R>(f, false)?.values(false)
    }

    /// Runs `f` on every item; one result per item, in input order. A call that is cancelled
    /// meanwhile is `Ok`: each item that was read and has not finished is an error with
    /// [`Cause::Cancelled`](crate::Cause::Cancelled), and nothing more is read.
    ///
    /// # Errors
    ///
    /// Failures of the pool; those of tasks are among the results.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn map_results<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Result<Vec<Result<R, TaskError>>>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.job::<R>(f, false)?.outcomes()
    }

    /// Runs `f` on every item; the values in input order, or the first error of a task, typed.
    /// Items that have not begun then do not run any more.
    ///
    /// ```
    /// use pool_api::TryError;
    ///
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let parse = |text: String| text.parse::<u64>().map_err(|_| text);
    /// let words = ["1", "2", "three"].map(String::from);
    /// assert_eq!(pool.tasks(words[..2].to_vec()).try_map(parse).unwrap(), [1, 2]);
    /// match pool.tasks(words).try_map(parse) {
    ///     Err(TryError::Task { index: 2, error }) => assert_eq!(error, "three"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryError::Task`] with the error that arrived first, [`TryError::Pool`] for the errors of
    /// [`map`](#method.map).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn try_map<R: Wire, E: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, Result<R, E>>,
    ) -> Result<Vec<R>, TryError<E>>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.job::<Result<R, E>>(f, false)?.try_collect(true)
    }

    /// An iterator over the values in input order; the input is read only a little ahead.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Imap<'p, Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), true)
    }

    /// An iterator over the values in the order in which they were done; the input is read only a
    /// little ahead.
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_unordered<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> Imap<'p, Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), false)
    }

    /// Runs `f` lazily and yields one result per item in input order. Goes on after a task's
    /// failure, and after a cancel to the end of the items that were read, like
    /// [`map_results`](#method.map_results).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_results<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> ImapResults<'p, Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        ImapResults::new(self.job(f, true))
    }

    /// Runs `f` lazily and yields one result per item in the order in which items were done: a
    /// value with its item's position in the input, or the task's failure, which knows it. Goes on
    /// after a task's failure, and after a cancel to the end of the items that were read, like
    /// [`imap_results`](Call::imap_results).
    ///
    /// ```
    /// use pool_api::Error;
    ///
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// for result in pool.tasks(-2..3i64).imap_unordered_results(|x| 12 / x) {
    ///     match result {
    ///         Ok((index, value)) => assert_eq!(value * (index as i64 - 2), 12),
    ///         Err(Error::Task(task)) => assert_eq!(task.index(), 2),
    ///         Err(error) => return Err(error),
    ///     }
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_unordered_results<
        R: Wire, /* no captures in `f`: `tasks(items).with(data)` */
    >(
        self,
        f: H::Fn<I::Item, R>,
    ) -> ImapUnorderedResults<'p, Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        ImapUnorderedResults::new(self.job(f, true))
    }

    /// Runs `f` on every item and hands each result to `read` in place, with its position in the
    /// input, as they come. This trusts the workers' memory safety: a worker whose native code
    /// scribbles over its results while they are read can make `read` see anything. While it runs,
    /// this thread cannot build a pool of Fork or call `map_scoped`
    /// ([`Error::ForkWhileBorrowed`](crate::Error::ForkWhileBorrowed)).
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let mut lens = [0; 3];
    /// pool.tasks(0..3usize).for_each_view(|n| vec![1.5; n], |index, v| lens[index] = v.len())?;
    /// assert_eq!(lens, [0, 1, 2]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`map`](#method.map).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn for_each_view<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
        mut read: impl FnMut(usize, &<R as Archive>::Archived),
    ) -> Result<()>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        let job = self.job::<R>(f, false)?;
        job.views(|index, archived| read(index as usize, archived))
    }
}

impl<I: Iterator, S, W> Call<'_, I, S, W, Owned, Plain> {
    /// Runs a closure with captures, borrows included. Only Fork (which forks afresh for the call)
    /// and Threads can; the others refuse it. Returns, even with an error or a panic, only when no
    /// task of it runs any more.
    ///
    /// Under Fork the captures must name nothing that a fork does not copy, and the pool cannot see
    /// it: no `JoinHandle` of a thread, not even of one that has ended, no ring or queue that the
    /// kernel shares with a descriptor, no foreign memory that is mapped `MAP_SHARED`.
    ///
    /// # Errors
    ///
    /// The errors of [`map`](#method.map); [`Error::NotSupported`](crate::Error::NotSupported)
    /// under Spawn and ForkServer.
    pub fn map_scoped<R: Wire>(self, f: impl Fn(I::Item) -> R + Sync) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.pool.map_scoped(self.input, &f, &self.options)
    }
}
