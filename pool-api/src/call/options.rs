//! The options of a call, each of which stands once.

use std::time::Duration;

use pool_core::{CancelToken, FromPart, IntoProgress, Progress, ProgressOption};
use pool_shm::Element;

use super::{Call, OneItem, Parts};
use crate::cutting::cutting_options;

/// Input of many items, which go to the workers in chunks.
#[diagnostic::on_unimplemented(
    message = "this call has no chunks",
    label = "this option belongs to `tasks(items)`, `slices(&array, n)` and `slices_mut`"
)]
#[doc(hidden)]
pub trait Chunked {}

/// Input that may be read in part.
#[diagnostic::on_unimplemented(
    message = "this call has no input iterator to cut",
    label = "this option belongs to `tasks(items)`"
)]
#[doc(hidden)]
pub trait Iterated {}

/// Input that may be for one worker alone.
#[diagnostic::on_unimplemented(
    message = "this call runs on every worker",
    label = "this option belongs to `tasks(items)`, `slices(&array, n)` and `task(item)`"
)]
#[doc(hidden)]
pub trait Located {}

impl<I: Iterator> Iterated for I {}
impl<I: Iterator> Chunked for I {}
impl<I: Iterator> Located for I {}
impl<K: FromPart, T: Element> Chunked for Parts<'_, K, T> {}
impl<K: FromPart, T: Element> Located for Parts<'_, K, T> {}
impl<A> Located for OneItem<A> {}

impl<I, S, W, K, H> Call<'_, I, S, W, K, H> {
    cutting_options! {
        /// Without both it is as many as take about 200 µs.
        ///
        /// While other calls wait for a worker, a worker that has had a chunk for a millisecond
        /// leaves the items that it has not begun to the next free worker, unless it is the only
        /// one that may run them ([`Call::order_tasks`], [`Call::on_worker`]). Results do not
        /// depend on it.
        chunk_size where I: Chunked;
        n_splits where I: Chunked;
        iterable_len where I: Iterated;
    }

    /// Most items that are read and not yet handed on; a chunk is always let through when there are
    /// none. Without it two chunks per worker, at most 4096 items; `map` and its sisters have no
    /// such limit of items, and at least 128 chunks as long as a chunk has at most 64 items.
    pub fn max_tasks_active(mut self, items: usize) -> Self
    where
        I: Chunked,
    {
        self.options.max_tasks_active = Some(items);
        self
    }

    /// How long one item may take, from when it is begun until its result is stored; without it the
    /// limit of [`Builder::task_timeout`](crate::Builder::task_timeout).
    ///
    /// An item that takes longer fails with [`Cause::Timeout`](crate::Cause::Timeout), whether or
    /// not a thread waits for it just then. Its worker is killed and replaced, and no other item is
    /// lost by that. Threads cannot be killed: under Threads the item fails for its caller in the
    /// same time, its task sees [`Worker::is_cancelled`](crate::Worker::is_cancelled), and the
    /// thread is busy until it returns (and [`Call::map_scoped`] waits for it). Where all of a
    /// pool is stopped for a while (Ctrl-Z), items that ran then have their time once more.
    ///
    /// ```no_run
    /// use std::{thread::sleep, time::Duration};
    /// use pool_api::{Cause, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let limit = Duration::from_millis(200);
    /// let naps = [1, 10_000, 2].map(Duration::from_millis);
    /// let results = pool.tasks(naps).task_timeout(limit).map_results(sleep)?;
    /// assert!(results[0].is_ok() && results[2].is_ok());
    /// let overdue = results[1].as_ref().unwrap_err();
    /// assert_eq!((overdue.index(), overdue.cause()), (1, &Cause::Timeout { limit }));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.options.task_timeout = Some(limit);
        self
    }

    /// How long an item that is over its [`task_timeout`](Call::task_timeout) may go on before its
    /// worker is killed; without it the grace of
    /// [`Builder::timeout_grace`](crate::Builder::timeout_grace). Without a limit it has no effect.
    ///
    /// At the limit the task sees [`Worker::is_cancelled`](crate::Worker::is_cancelled). If it
    /// returns within the grace, its item fails, whatever its value, with
    /// [`Cause::Timeout`](crate::Cause::Timeout) and its worker lives on, with its state. A thread
    /// is told at the limit anyway, and nothing kills it.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use pool_api::Worker;
    ///
    /// let pool = pool_api::WorkerPool::new(2)?;
    /// let tasks = pool.tasks(0..4u32).task_timeout(Duration::from_secs(1)).timeout_grace(Duration::from_secs(5));
    /// let results = tasks.with_worker().map_results(|w: &mut Worker<'_>, n| while n == 3 && !w.is_cancelled() {})?;
    /// assert!(results[2].is_ok() && results[3].is_err());
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn timeout_grace(mut self, grace: Duration) -> Self {
        self.options.timeout_grace = Some(grace);
        self
    }

    /// How often an item is tried again after its worker died while running it, by itself or
    /// because the item was over its time limit; 0 without it. Items that the worker had not begun
    /// go to another worker anyway. A panic is no death and is not tried again; nothing dies under
    /// Threads, and a thread keeps an item that is over its limit. For parts of an array
    /// see [`slices_mut`](crate::WorkerPool::slices_mut).
    ///
    /// ```no_run
    /// use pool_api::{Error, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// match pool.tasks(0..10u32).retry(3).map(|n| if n == 7 { std::process::abort() } else { n }) {
    ///     Err(Error::Task(task)) => assert_eq!((task.index(), task.tries()), (7, 4)),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn retry(mut self, times: u32) -> Self {
        self.options.retries = times;
        self
    }

    /// Lets other threads and signal handlers end this call: once the token is pulled, items that
    /// have not begun are taken back, running items see
    /// [`Worker::is_cancelled`](crate::Worker::is_cancelled), and the call is
    /// [`Error::Cancelled`](crate::Error::Cancelled) (but [`map_results`](#method.map_results) and
    /// [`imap_results`](Call::imap_results) return the outcome of each item). One token may be
    /// given to many calls; one that was pulled before refuses the call before anything starts. An
    /// iterator notices it when it is asked for its next value, and no call does while it waits in
    /// its own input. [`CancelToken::kill`] also kills items that go on running.
    ///
    /// ```
    /// use pool_api::{CancelToken, Error, WorkerPool};
    ///
    /// let pool = WorkerPool::new(2)?;
    /// let token = CancelToken::new()?;
    /// let pulls = token.clone();
    /// let other = std::thread::spawn(move || pulls.cancel());
    /// let endless = pool.tasks(0u64..).cancel_token(&token).map(|x| x + 1);
    /// assert!(matches!(endless, Err(Error::Cancelled)));
    /// # other.join().unwrap();
    /// # Ok::<(), Error>(())
    /// ```
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.options.cancel = Some(token.clone());
        self
    }

    /// Shows how far the call is: `true` or a `Bar` (both with the feature `progress`), or
    /// [`LogLines`](crate::progress::LogLines). `true` shows a bar where standard error is a
    /// terminal, and nothing elsewhere. The end is shown before the call returns. An option of the
    /// bar or the lines that is out of range refuses the call before anything starts:
    /// [`Error::InvalidInput`](crate::Error::InvalidInput). Of several, the last one counts.
    ///
    /// An iterator, a stream or a future is shown from its first item on, and as far as results
    /// have come: an iterator goes on only while it is asked for them.
    ///
    /// ```
    /// use pool_api::progress::LogLines;
    ///
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let squares = pool.tasks(0..1000u64).progress(LogLines::new().message("squares")).map(|x| x * x)?;
    /// # assert_eq!(squares[30], 900);
    /// # #[cfg(feature = "progress")]
    /// pool.tasks(0..1000u64).progress(true).map(|x| x * x)?;
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn progress(self, progress: impl IntoProgress) -> Self {
        self.shown(progress.into_progress())
    }

    /// Shows how far the call is, if there is an option for that.
    pub(crate) fn shown(mut self, progress: Option<ProgressOption>) -> Self {
        self.options.progress = progress;
        self
    }

    /// Shows how far the call is by an own [`Progress`](crate::progress::Progress), as
    /// [`progress`](Call::progress) does.
    ///
    /// ```
    /// use std::sync::mpsc::{Sender, channel};
    /// use pool_api::progress::{Outcome, Progress};
    ///
    /// struct Sends(Sender<u64>);
    ///
    /// impl Progress for Sends {
    ///     fn begin(&mut self, _total: Option<u64>) {}
    ///     fn advance(&mut self, done: u64, _failed: u64) {
    ///         let _ = self.0.send(done);
    ///     }
    ///     fn end(&mut self, _outcome: &Outcome) {}
    /// }
    ///
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let (sender, receiver) = channel();
    /// pool.tasks(0..1000u64).progress_with(Sends(sender)).map(|x| x * x)?;
    /// assert_eq!(receiver.iter().last(), Some(1000));
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn progress_with(mut self, progress: impl Progress) -> Self {
        self.options.progress = Some(ProgressOption::new(progress));
        self
    }

    /// Kills items that still run when the call ends early: when it is cancelled, by its token or
    /// its handle, its first failure ends it, or it is dropped (an iterator or a stream, a handle,
    /// a future that `tokio::time::timeout` gives up). Without this the items are told and run on,
    /// and keep their workers busy as long as they like.
    ///
    /// The workers of items that have not ended after `grace` are killed and replaced, as at a time
    /// limit; zero kills them at once. No other call loses anything.
    /// [`CancelToken::kill`](crate::CancelToken::kill) decides it when the token is pulled; of both
    /// the shorter grace counts. Threads cannot be killed: under Threads items are told only.
    ///
    /// ```no_run
    /// use std::{thread::sleep, time::Duration};
    ///
    /// let pool = pool_api::WorkerPool::new(2)?;
    /// let naps = [1, 1_000_000].map(Duration::from_millis);
    /// let mut done = pool.tasks(naps).kill_running(Duration::ZERO).imap(sleep);
    /// assert!(done.next().is_some());
    /// drop(done); // and the worker of the long nap is killed
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn kill_running(mut self, grace: Duration) -> Self {
        self.options.kill_running = Some(grace);
        self
    }

    /// Whether chunk k goes to worker k modulo their number, whether or not that one is free;
    /// without it as set by [`Builder::order_tasks`](crate::Builder::order_tasks). If a worker
    /// dies, the rest of its chunk goes to the next worker with that id. A worker with a long task
    /// holds the whole call up.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// let ids = pool.tasks(0..5u32).order_tasks(true).chunk_size(2).with_worker().map(|w, _| w.id())?;
    /// assert_eq!(ids, [0, 0, 1, 1, 0]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn order_tasks(mut self, on: bool) -> Self
    where
        I: Chunked,
    {
        self.options.order_tasks = Some(on);
        self
    }

    /// Runs all items on the worker with this id and no other; a worker that is replaced meanwhile
    /// keeps its id. An id that the pool does not have refuses the call before anything starts.
    ///
    /// ```
    /// # let pool = pool_api::WorkerPool::new(2)?;
    /// assert_eq!(pool.tasks(0..3u32).on_worker(1).with_worker().map(|w, x| (w.id(), x))?, [(1, 0), (1, 1), (1, 2)]);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn on_worker(mut self, id: u32) -> Self
    where
        I: Located,
    {
        self.options.worker = Some(id);
        self
    }
}
