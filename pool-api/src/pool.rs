//! The pool.
//!
//! A comment between type parameters is for users: of a method whose closure captures the compiler
//! shows just the line with its name.

use std::{marker::PhantomData, panic::Location, path::Path};

use pool_core::{
    AsyncResult, CallSnapshot, Insights, JobOptions, Plain, PlainForm, Pool, Refused, StartMethod,
    TryError, WatchedPool, WorkerActivity, move_with_room,
};
use pool_ipc::Wire;

use crate::{Builder, Call, Error, Imap, OneItem, Result, builder::Types};

/// A pool of workers.
///
/// All calls that run tasks take `&self`, and the pool is `Send + Sync`: several threads may use it
/// at once, a `map` may run beside an unfinished `imap`. Dropping it kills the workers.
///
/// ```
/// use pool_api::WorkerPool;
///
/// let pool = WorkerPool::new(2)?;
/// let squares = pool.map(0..100u64, |x| x * x)?;
/// assert_eq!(squares[9], 81);
/// # Ok::<(), pool_api::Error>(())
/// ```
///
/// A task gets its data by its item, or by a context (see [`Call::with`]): a closure with captures
/// does not compile.
///
/// ```compile_fail,E0308
/// # let pool = pool_api::WorkerPool::new(2)?;
/// let factor = 3;
/// pool.map(0..100u64, |x| x * factor)?;
/// # Ok::<(), pool_api::Error>(())
/// ```
#[derive(Debug)]
pub struct WorkerPool<S = (), W = (), E = ()> {
    pub(crate) pool: Pool,
    types: Types<S, W, E>,
}

impl WorkerPool {
    /// A pool of `n_jobs` workers, with the default of every other option.
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`].
    pub fn new(n_jobs: usize) -> Result<Self> {
        Self::builder().n_jobs(n_jobs).build()
    }

    /// A pool of as many workers as this process has usable CPUs
    /// ([`usable_cpus`](crate::usable_cpus)), with the default of every other option.
    ///
    /// ```
    /// use pool_api::{WorkerPool, usable_cpus};
    ///
    /// let pool = WorkerPool::with_usable_cpus()?;
    /// assert_eq!(pool.n_jobs(), usable_cpus());
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Builder::build`].
    pub fn with_usable_cpus() -> Result<Self> {
        Self::builder().build()
    }

    /// Begins a pool with options.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl<S, W, E> WorkerPool<S, W, E> {
    pub(crate) fn from_pool(pool: Pool) -> Self {
        Self { pool, types: PhantomData }
    }

    /// Prepares one call over `items`, to be set up further.
    #[track_caller]
    pub fn tasks<I: IntoIterator>(&self, items: I) -> Call<'_, I::IntoIter, S, W> {
        Call::new(&self.pool, items.into_iter(), Plain, Location::caller())
    }

    fn tasks_at<I: IntoIterator>(
        &self,
        items: I,
        caller: &'static Location<'static>,
    ) -> Call<'_, I::IntoIter, S, W> {
        Call::new(&self.pool, items.into_iter(), Plain, caller)
    }

    /// Prepares one call of a single item, to be set up further.
    #[track_caller]
    pub fn task<A: Wire>(&self, item: A) -> Call<'_, OneItem<A>, S, W> {
        let item = move_with_room!(<A, ()>(item => item) => OneItem::new(item));
        Call::new(&self.pool, item, Plain, Location::caller())
    }

    /// Runs `f` on every item; values in input order.
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool.
    #[track_caller]
    pub fn map<I, R /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> Result<Vec<R>>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).map(f)
        })
    }

    /// Runs `f` on every item; values in the order in which they were done.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::map`].
    #[track_caller]
    pub fn map_unordered<I, R /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> Result<Vec<R>>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).map_unordered(f)
        })
    }

    /// Runs `f`, which may fail with an error of its own, on every item; values in input order. See
    /// [`Call::try_map`].
    ///
    /// # Errors
    ///
    /// The errors of [`Call::try_map`].
    #[track_caller]
    pub fn try_map<I, R, X /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> Result<R, X>,
    ) -> Result<Vec<R>, TryError<X>>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
        X: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).try_map(f)
        })
    }

    /// An iterator over the values in input order; the input is read only a little ahead.
    #[track_caller]
    pub fn imap<I, R /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> Imap<'_, PlainForm<I::Item, R>, I::IntoIter>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).imap(f)
        })
    }

    /// An iterator over the values in the order in which they were done; the input is read only a
    /// little ahead.
    #[track_caller]
    pub fn imap_unordered<I, R /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> Imap<'_, PlainForm<I::Item, R>, I::IntoIter>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).imap_unordered(f)
        })
    }

    /// Runs `f` on one item and waits for the value.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::map`].
    pub fn apply<A: Wire, R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        &self,
        item: A,
        f: fn(A) -> R,
    ) -> Result<R> {
        move_with_room!(<A, R>(item => item) => {
            self.pool.value::<PlainForm<A, R>>(f, (), item, &JobOptions::default())
        })
    }

    /// Hands one item to the workers and returns; the caller waits for the value with the handle,
    /// anywhere and at any time.
    ///
    /// Each call is a task of its own; they begin in the order in which they were made. At most 4
    /// 096 wait to be begun: beyond them the call works for the pool until there is room. Handles
    /// do not borrow the pool and outlive it with their results; the first call under a start
    /// method of processes starts the pool's driver thread, called `pool-driver`.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let handles = (1..4u64).map(|x| pool.apply_async(x, |x| x * x)).collect::<Result<Vec<_>, _>>()?;
    /// pool.stop_and_join()?;
    /// let squares: u64 = handles.into_iter().map(|handle| handle.get()).sum::<Result<_, _>>()?;
    /// assert_eq!(squares, 14);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Refused`], with the item, in a box, so that frames have no room for it: an item that
    /// cannot be encoded, a pool that cannot be used,
    /// [`Error::ResultsUnread`](crate::Error::ResultsUnread) beyond [`Builder::max_result_bytes`].
    /// The handle reports later errors.
    pub fn apply_async<A: Wire, R: Wire /* no captures in `f`: `task(item).with(data)` */>(
        &self,
        item: A,
        f: fn(A) -> R,
    ) -> Result<AsyncResult<R>, Box<Refused<A>>> {
        move_with_room!(<A, ()>(item => item) => {
            self.pool.apply_async::<PlainForm<A, R>>(item, f, &JobOptions::default())
        })
    }

    /// Hands a whole map to the workers and returns; the caller waits with the handle for all
    /// values, in input order.
    ///
    /// It is [`Call::map_async`] without options.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let squares = pool.map_async(0..100u64, |x| x * x)?;
    /// let lengths = pool.map_async(["a", "word"].map(String::from), |word| word.len())?;
    /// assert_eq!(lengths.get()?, [1, 4]);
    /// assert_eq!(squares.get()?[9], 81);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`Call::map_async`].
    #[track_caller]
    pub fn map_async<I, R /* no captures in `f`: `tasks(items).with(data)` */>(
        &self,
        items: I,
        f: fn(I::Item) -> R,
    ) -> Result<AsyncResult<Vec<R>>, Refused<Vec<I::Item>>>
    where
        I: IntoIterator<Item: Wire>,
        R: Wire,
    {
        move_with_room!(<I, I::IntoIter>(items => items; at = Location::caller()) => {
            self.tasks_at(items, at).map_async(f)
        })
    }

    /// The results of [`Builder::worker_exit`], in the order in which the workers ended; the call
    /// waits for workers that are at their exit.
    ///
    /// The list stays until workers start anew: for the first call after
    /// [`WorkerPool::stop_and_join`], and for every call without `keep_alive`; so after such a call
    /// it is that call's. A result that does not decode is missing here and is the error of the
    /// next [`WorkerPool::stop_and_join`], as is one that was refused since all of them take more
    /// than [`Builder::max_result_bytes`]: the list is whole where
    /// [`WorkerPool::take_exit_failures`] is empty. Empty in a forked child, and in a task of the
    /// pool's own threads.
    #[must_use]
    pub fn exit_results(&self) -> Vec<E>
    where
        E: Wire,
    {
        // Without a `worker_exit` there are none, whatever their type.
        self.pool.exit_results().unwrap_or_default()
    }

    /// Why [`WorkerPool::exit_results`] lacks results: an
    /// [`Error::WorkerExitFailed`](crate::Error::WorkerExitFailed) for the first exit that failed
    /// and was reported by no call, or whose result does not decode, and one for each worker of
    /// which results were refused, with
    /// [`Cause::ExitResultsUnread`](crate::Cause::ExitResultsUnread). The pool keeps them until
    /// this function returns them, or [`WorkerPool::stop_and_join`] one after the other.
    /// [`WorkerPool::terminate`] drops the failed exit, and keeps the refusals.
    ///
    /// ```
    /// use pool_api::{Cause, Error, WorkerPool};
    ///
    /// let pool = WorkerPool::builder()
    ///     .n_jobs(1)
    ///     .worker_lifespan(1)
    ///     .max_result_bytes(1 << 20)
    ///     .worker_exit(|_| vec![1u8; 300_000])
    ///     .build()?;
    /// pool.tasks(0..9u8).chunk_size(1).map(|x| x)?;
    /// assert_eq!(pool.exit_results().len(), 3);
    /// let missing = pool.take_exit_failures();
    /// let Error::WorkerExitFailed { worker: 0, cause } = &missing[0] else {
    ///     panic!("{missing:?}")
    /// };
    /// assert!(matches!(cause, Cause::ExitResultsUnread { limit: 1_048_576, .. }));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[must_use]
    pub fn take_exit_failures(&self) -> Vec<Error> {
        self.pool.take_exit_failures()
    }

    /// The calls that go on, and the last 100 that have ended: the latest first. Empty where calls
    /// are not recorded: see [`Builder::watched`]. Calls of one item (`apply` and its sisters) are
    /// recorded only with a [`cancel_token`](crate::Call::cancel_token) or with progress.
    ///
    /// ```
    /// let pool = pool_api::WorkerPool::builder().n_jobs(2).watched(true).build()?;
    /// pool.map(0..100u64, |x| x + 1)?;
    /// let call = &pool.calls()[0];
    /// assert_eq!((call.form, call.done, call.total), ("map", 100, Some(100)));
    /// assert_eq!(call.caller.unwrap().file(), file!());
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[must_use]
    pub fn calls(&self) -> Vec<CallSnapshot> {
        self.pool.calls()
    }

    /// Cancels the call with this [`number`](crate::CallSnapshot::number); `false` if it does not
    /// go on. A call that was given a [`cancel_token`](crate::Call::cancel_token) is cancelled by
    /// that, with all others that have it.
    ///
    /// ```
    /// use pool_api::Error;
    ///
    /// let pool = pool_api::WorkerPool::builder().n_jobs(2).watched(true).build()?;
    /// std::thread::scope(|scope| {
    ///     let endless = scope.spawn(|| pool.map(0u64.., |x| x));
    ///     while !pool.calls().first().is_some_and(|call| pool.cancel_call(call.number)) {
    ///         std::thread::yield_now();
    ///     }
    ///     assert!(matches!(endless.join().unwrap(), Err(Error::Cancelled)));
    /// });
    /// assert!(!pool.cancel_call(0));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn cancel_call(&self, number: u64) -> bool {
        self.pool.watch().cancel(number)
    }

    /// The pool, seen from outside, as [`watched_pools`](crate::watched_pools) lists it: its calls,
    /// and how to cancel one. It can be given to other threads and does not keep the pool alive.
    #[must_use]
    pub fn watch(&self) -> WatchedPool {
        self.pool.watch()
    }

    /// How many workers there are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.pool.n_jobs()
    }

    /// How workers start.
    #[must_use]
    pub fn start_method(&self) -> StartMethod {
        self.pool.start_method()
    }

    /// The process ids of the workers that run now, in order of their ids; none before the first
    /// call and under Threads. A worker that is just ending may still be among them.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        self.pool.worker_pids()
    }

    /// What the workers have spent their time with until now: their times, the longest tasks, the
    /// distribution of task times. It may be asked for at any time, also while an
    /// [`imap`](Self::imap) is under way. Empty without [`Builder::enable_insights`], and in a
    /// forked child.
    ///
    /// ```
    /// use pool_api::{InsightsOptions, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
    /// let mut squares = pool.imap(0..100u64, |x| x * x);
    /// assert_eq!(squares.next().transpose()?, Some(0));
    /// assert!(!pool.insights().is_empty());
    /// drop(squares);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[must_use]
    pub fn insights(&self) -> Insights {
        self.pool.insights()
    }

    /// What each worker is at now, and since when, in order of their ids. Empty without
    /// [`Builder::enable_insights`], and in a forked child.
    ///
    /// ```
    /// use pool_api::{Activity, InsightsOptions, WorkerPool};
    ///
    /// let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
    /// pool.map(0..100u64, |x| x * x)?;
    /// pool.stop_and_join()?;
    /// assert!(pool.worker_activity().iter().all(|worker| worker.stage == Activity::Ended));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    #[must_use]
    pub fn worker_activity(&self) -> Vec<WorkerActivity> {
        self.pool.worker_activity()
    }

    /// Writes what each worker was at from when to when, until now: a file of events that
    /// [Perfetto](https://ui.perfetto.dev) and `chrome://tracing` open. Each worker has a row with
    /// its start-up, init, waits, tasks and exit; the death of a worker and the one that replaces
    /// it stand in the same row. Times count from the start of the first worker.
    ///
    /// There is a bound on what is recorded ([`InsightsOptions::trace_records`]); what is left out
    /// is counted at the end of the file.
    ///
    /// ```
    /// use pool_api::{InsightsOptions, WorkerPool};
    ///
    /// # let folder = std::env::temp_dir().join(format!("trace-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let pool = WorkerPool::builder().n_jobs(2).enable_insights(InsightsOptions::new()).build()?;
    /// pool.map(0..100u64, |x| x * x)?;
    /// pool.write_trace(folder.join("pool.json"))?;
    /// pool.write_svg(folder.join("pool.svg"))?;
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] without [`Builder::enable_insights`], [`Error::ForeignProcess`] in a
    /// forked child, [`Error::Resources`] where the file cannot be written.
    ///
    /// [`InsightsOptions::trace_records`]: crate::InsightsOptions::trace_records
    pub fn write_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        self.pool.write_trace(path.as_ref())
    }

    /// Writes a picture of the workers, until now: the time line of [`write_trace`], the part of
    /// the workers that works over time, how long tasks took, and the longest of them. It is one
    /// SVG document with light and dark colours.
    ///
    /// # Errors
    ///
    /// The errors of [`write_trace`].
    ///
    /// [`write_trace`]: Self::write_trace
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        self.pool.write_svg(path.as_ref())
    }

    /// Lets blocking calls of other threads finish, ends unfinished iterators, lets the workers
    /// finish their tasks, and waits until they have ended. The pool can be used again; a second
    /// call does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`](crate::Error::ForeignProcess);
    /// [`Error::NestedUse`](crate::Error::NestedUse) where it would wait for itself, as in a
    /// callback of the pool; [`Error::PoolBroken`](crate::Error::PoolBroken) when there was no
    /// process left to stop; [`Error::WorkerExitFailed`](crate::Error::WorkerExitFailed) where a
    /// worker's exit failed and no call reported it: the workers have ended all the same.
    pub fn stop_and_join(&self) -> Result<()> {
        self.pool.stop_and_join()
    }

    /// Kills the workers at once and ends all calls with
    /// [`Error::Terminated`](crate::Error::Terminated); under Threads running items are told, and
    /// the call waits for them. The pool can be used again; a second call does nothing.
    ///
    /// # Errors
    ///
    /// The errors of [`WorkerPool::stop_and_join`].
    pub fn terminate(&self) -> Result<()> {
        self.pool.terminate()
    }
}
