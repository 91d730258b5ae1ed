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

    /// As [`Tasks::map`](crate::Tasks::map).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.values(true)
    }

    /// As [`Tasks::map_unordered`](crate::Tasks::map_unordered).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map_unordered<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<R>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.values(false)
    }

    /// As [`Tasks::map_results`](crate::Tasks::map_results).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map_results<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Result<Vec<Result<R, TaskError>>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.outcomes()
    }

    /// As [`Tasks::try_map`](crate::Tasks::try_map).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_map<R: Wire, E: Wire>(
        self,
        f: fn(&C, I::Item) -> Result<R, E>,
    ) -> Result<Vec<R>, TryError<E>>
    where
        I::Item: Wire,
    {
        self.job(f, false)?.attempts(true)
    }

    /// As [`Tasks::imap`](crate::Tasks::imap).
    pub fn imap<R: Wire>(self, f: fn(&C, I::Item) -> R) -> Imap<'p, WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), true)
    }

    /// As [`Tasks::imap_unordered`](crate::Tasks::imap_unordered).
    pub fn imap_unordered<R: Wire>(
        self,
        f: fn(&C, I::Item) -> R,
    ) -> Imap<'p, WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        Imap::new(self.job(f, true), false)
    }

    /// As [`Tasks::imap_results`](crate::Tasks::imap_results).
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
