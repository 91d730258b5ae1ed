//! One call whose tasks get a context.

use pool_core::{Job, JobOptions, Pool, TaskError, TryError, WithContext};
use pool_ipc::Wire;

use crate::{Imap, ImapResults, Result};

type JobWith<C, I, R> = Job<WithContext<C, <I as Iterator>::Item, R>, I>;

/// One call over some items with a context, see [`Tasks::with`](crate::Tasks::with).
#[derive(Debug)]
#[must_use = "nothing runs before the function is given"]
pub struct TasksWith<'p, I, C> {
    pub(crate) pool: &'p Pool,
    pub(crate) items: I,
    pub(crate) options: JobOptions,
    pub(crate) context: C,
}

impl<'p, I: Iterator, C: Wire + Sync> TasksWith<'p, I, C> {
    fn job<R: Wire>(self, f: fn(&C, I::Item) -> R, lazy: bool) -> Result<JobWith<C, I, R>>
    where
        I::Item: Wire,
    {
        self.pool.job(f, self.context, self.items, &self.options, lazy)
    }

    /// Runs `f` on every item, with the context; values in input order, see
    /// [`Tasks::map`](crate::Tasks::map).
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::map`](crate::Tasks::map).
    pub fn map<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.values(true)
    }

    /// Runs `f` on every item, with the context; values in the order in which they were done.
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::map`](crate::Tasks::map).
    pub fn map_unordered<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.values(false)
    }

    /// Runs `f` on every item, with the context; one result per item, in input order, see
    /// [`Tasks::map_results`](crate::Tasks::map_results).
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::map_results`](crate::Tasks::map_results).
    pub fn map_results<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<Result<R, TaskError>>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.outcomes()
    }

    /// Runs `f` on every item, with the context; the values in input order, or the first error of a
    /// task, typed, see [`Tasks::try_map`](crate::Tasks::try_map).
    ///
    /// # Errors
    ///
    /// The errors of [`Tasks::try_map`](crate::Tasks::try_map).
    pub fn try_map<R: Wire, E: Wire>(
        self,
        f: fn(&C, I::Item) -> Result<R, E>,
    ) -> Result<Vec<R>, TryError<E>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.attempts(true)
    }

    /// An iterator over the values in input order; `f` takes the context beside the item.
    pub fn imap<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Imap<'p, WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), true)
    }

    /// An iterator over the values in the order in which they were done; `f` takes the context
    /// beside the item.
    pub fn imap_unordered<R: Wire>(
        self,
        f: fn(&C, I::Item) -> R,
    ) -> Imap<'p, WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), false)
    }

    /// An iterator over one result per item, in input order; `f` takes the context beside the item;
    /// see [`Tasks::imap_results`](crate::Tasks::imap_results).
    pub fn imap_results<R: Wire>(
        self,
        f: fn(&C, I::Item) -> R,
    ) -> ImapResults<'p, WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapResults::new(self.job(f, true))
    }
}
