//! The manager.

use std::{
    fmt,
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

#[cfg(feature = "capture-log")]
use pool_core::LogCapture;
use pool_core::{IntoProgress, Pool, ProgressOption};
use pool_ipc::Wire;

use super::{
    error::ManagerError,
    feeder::{Feeder, feed},
    state::{ManagerState, Stage},
};
use crate::Error;

/// A pool of workers that is fed with single items and asked for single results.
///
/// [`put`](PoolManager::put) hands an item over and waits while too many wait for a worker;
/// [`get`](PoolManager::get) takes one result. All calls take `&self`: threads may put and get side
/// by side. A worker that dies costs the item in its hands, whose `get` returns the error, and is
/// replaced.
///
/// At most [`queue_size`](super::ManagerBuilder::queue_size) items wait for a worker, at most
/// 65 536 items have been put whose results were not taken, and no item is taken while results
/// that were not taken have more than [`max_result_bytes`](crate::Builder::max_result_bytes): a
/// program that only puts waits there until another thread gets.
///
/// ```
/// use pool_api::{ManagerError, PoolManager};
///
/// let manager = PoolManager::builder(|word: String| word.len()).size(2).ordered(true).start()?;
/// for word in ["tea", "cake"] {
///     manager.put(word.to_owned()).map_err(ManagerError::without_item)?;
/// }
/// assert_eq!(manager.get()?, 3);
/// assert_eq!(manager.get()?, 4);
/// manager.join()?;
/// # Ok::<(), ManagerError>(())
/// ```
#[must_use = "the drop of a manager ends its workers"]
pub struct PoolManager<A: Wire, R: Wire> {
    state: Arc<ManagerState<A, R>>,
    feeder: Mutex<Option<Feeder<A>>>,
    daemon: bool,
    /// Which logs of workers are captured.
    #[cfg(feature = "capture-log")]
    pub(super) capture: Mutex<Option<LogCapture>>,
}

impl<A: Wire, R: Wire> PoolManager<A, R> {
    pub(super) fn new(
        state: ManagerState<A, R>,
        daemon: bool,
        #[cfg(feature = "capture-log")] capture: Option<LogCapture>,
    ) -> Self {
        Self {
            state: Arc::new(state),
            feeder: Mutex::new(None),
            daemon,
            #[cfg(feature = "capture-log")]
            capture: Mutex::new(capture),
        }
    }

    /// Starts the workers, and waits until each of them can take an item.
    ///
    /// # Errors
    ///
    /// [`ManagerError::AlreadyStarted`]; [`ManagerError::Closed`] after the end;
    /// [`ManagerError::WorkersGone`] where another thread terminates it meanwhile; and
    /// [`ManagerError::Failed`] where the workers do not start: then it can be tried again.
    pub fn start(&self) -> Result<(), ManagerError> {
        self.check()?;
        let feeder = self.feeder(); // two starts at once: one after the other
        match self.state.stage() {
            Stage::New => {}
            Stage::Started => return Err(ManagerError::AlreadyStarted),
            _ => return Err(ManagerError::Closed(())),
        }
        self.state.workers.start().map_err(ManagerError::Failed)?;
        self.state.advance(Stage::Started);
        drop(feeder);
        if self.state.stage() == Stage::Terminated {
            self.state.terminate()?; // another thread did, maybe before there were workers
            return Err(ManagerError::WorkersGone);
        }
        Ok(())
    }

    /// Puts an item; waits while there is no room for it.
    ///
    /// # Errors
    ///
    /// [`ManagerError::NotStarted`], [`ManagerError::Closed`], and [`ManagerError::Refused`] for an
    /// item that the pool does not take; the item comes back.
    pub fn put(&self, item: A) -> Result<(), ManagerError<A>> {
        self.state.put(item, None)
    }

    /// Puts an item if there is room for it.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Full`], and those of [`PoolManager::put`]; the item comes back.
    pub fn try_put(&self, item: A) -> Result<(), ManagerError<A>> {
        self.state.put(item, Some(Instant::now()))
    }

    /// Puts an item; waits for room, but not longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Full`], and those of [`PoolManager::put`]; the item comes back.
    pub fn put_timeout(&self, item: A, limit: Duration) -> Result<(), ManagerError<A>> {
        // A limit beyond the range of the clock is none.
        self.state.put(item, Instant::now().checked_add(limit))
    }

    /// Puts the items one after the other in a thread of its own, called `pool-feeder`, and returns
    /// at once. The thread ends after the last item, at the first refused one, or when the manager
    /// is closed; if it is waiting for its iterator then, it ends at the iterator's next item.
    ///
    /// ```
    /// use pool_api::PoolManager;
    ///
    /// let manager = PoolManager::builder(|x: u64| x + 1).size(2).queue_size(1).start()?;
    /// manager.put_async(0..100).expect("nothing is put so yet");
    /// assert_eq!(manager.get_all().len(), 100);
    /// manager.join_async().expect("all were put");
    /// # Ok::<(), pool_api::ManagerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ManagerError::FeederRunning`] until [`join_async`](PoolManager::join_async) has returned
    /// for the earlier call; [`ManagerError::NotStarted`],
    /// [`ManagerError::Closed`]; [`ManagerError::Failed`] where there is no thread to be had.
    pub fn put_async<I>(&self, items: I) -> Result<(), ManagerError>
    where
        I: IntoIterator<Item = A, IntoIter: Send + 'static>,
    {
        self.check()?;
        let mut feeder = self.feeder();
        self.state.check_open(())?;
        // The thread that another thread waits for in `join_async` still puts.
        if feeder.is_some() || self.state.is_feeding.load(SeqCst) {
            return Err(ManagerError::FeederRunning);
        }
        let items = items.into_iter();
        self.state.is_feeding.store(true, SeqCst);
        *feeder = Some(feed(&self.state, items).map_err(|source| {
            ManagerError::Failed(Error::Resources {
                what: "starting the thread that puts items",
                reason: None,
                source: Some(Arc::new(source)),
            })
        })?);
        Ok(())
    }

    /// Waits until the items of [`put_async`](PoolManager::put_async) were put; returns at once
    /// where there are none.
    ///
    /// # Errors
    ///
    /// That of the first item that was not taken, with the item; those behind it are lost with
    /// their iterator.
    ///
    /// # Panics
    ///
    /// When the iterator has panicked.
    pub fn join_async(&self) -> Result<(), ManagerError<A>> {
        // In a forked child the thread is not there, and never ends.
        self.state.unread.check().map_err(ManagerError::Failed)?;
        // Other threads may call this meanwhile, or put.
        let Some(feeder) = self.feeder().take() else { return Ok(()) };
        feeder.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes one result, and waits for it: the next in the order of the puts if the manager is
    /// [`ordered`](super::ManagerBuilder::ordered), that of the task that ended first otherwise.
    /// It does not wait for an item that another thread has yet to [`put`](PoolManager::put): that
    /// is [`ManagerError::NothingOutstanding`] at once. Items of
    /// [`put_async`](PoolManager::put_async) are waited for.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] is the answer for an item whose task failed (its text counts the
    /// puts as futures, from 0: [`TaskError::future`](crate::TaskError::future));
    /// [`ManagerError::NothingOutstanding`] where there is nothing to wait for,
    /// [`ManagerError::WorkersGone`] after [`terminate`](PoolManager::terminate),
    /// [`ManagerError::NotStarted`].
    pub fn get(&self) -> Result<R, ManagerError> {
        self.state.get(None)?.map_err(ManagerError::Failed)
    }

    /// Takes one result, if there is one.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Empty`], and those of [`PoolManager::get`].
    pub fn try_get(&self) -> Result<R, ManagerError> {
        self.state.get(Some(Instant::now()))?.map_err(ManagerError::Failed)
    }

    /// Takes one result; waits for it, but not longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Empty`], and those of [`PoolManager::get`].
    pub fn get_timeout(&self, limit: Duration) -> Result<R, ManagerError> {
        // A limit beyond the range of the clock is none.
        self.state.get(Instant::now().checked_add(limit))?.map_err(ManagerError::Failed)
    }

    /// Waits for all results and returns them, in the order of [`get`](PoolManager::get), with
    /// those of items that [`put_async`](PoolManager::put_async) has not put yet. Where no further
    /// result can come, as after [`terminate`](PoolManager::terminate), the last element says why.
    pub fn get_all(&self) -> Vec<Result<R, ManagerError>> {
        let mut all = Vec::new();
        loop {
            match self.state.get(None) {
                Ok(answer) => all.push(answer.map_err(ManagerError::Failed)),
                Err(ManagerError::NothingOutstanding) => return all,
                Err(why) => {
                    all.push(Err(why));
                    return all;
                }
            }
        }
    }

    /// Runs all items; values in input order. Results of items that were put stay where they are.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the first failure; [`ManagerError::NotStarted`],
    /// [`ManagerError::Closed`].
    pub fn map(&self, items: impl IntoIterator<Item = A>) -> Result<Vec<R>, ManagerError> {
        self.map_shown(&mut items.into_iter(), None)
    }

    /// Runs all items like [`map`](PoolManager::map), and shows how far that is: `true` or a `Bar`
    /// (with the feature `progress`), or [`LogLines`](crate::progress::LogLines), as
    /// [`Call::progress`](crate::Call::progress) takes them.
    ///
    /// ```
    /// use pool_api::{PoolManager, progress::LogLines};
    ///
    /// let manager = PoolManager::builder(|x: u64| x + 1).size(2).start()?;
    /// let lines = LogLines::new().message("numbers");
    /// assert_eq!(manager.map_with_progress(0..3, lines)?, [1, 2, 3]);
    /// # Ok::<(), pool_api::ManagerError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`map`](PoolManager::map); [`ManagerError::Failed`] with
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for an option that is out of range.
    pub fn map_with_progress(
        &self,
        items: impl IntoIterator<Item = A>,
        progress: impl IntoProgress,
    ) -> Result<Vec<R>, ManagerError> {
        self.map_shown(&mut items.into_iter(), progress.into_progress())
    }

    fn map_shown(
        &self,
        items: &mut dyn Iterator<Item = A>,
        progress: Option<ProgressOption>,
    ) -> Result<Vec<R>, ManagerError> {
        self.check()?;
        self.state.check_open(())?;
        let values = self.state.workers.map(items, progress);
        if self.state.stage() >= Stage::Joined {
            // A map that begins beside the end of the workers has others start.
            self.state.workers.stop().map_err(ManagerError::Failed)?;
        }
        values.map_err(ManagerError::Failed)
    }

    /// Takes back the items that no worker has begun, and drops them; returns how many there were.
    /// No result comes for them. Items that [`put_async`](PoolManager::put_async) has not put yet
    /// are not touched.
    pub fn clear_tasks(&self) -> usize {
        if self.check().is_err() { 0 } else { self.state.unread.cancel() }
    }

    /// Whether the manager was started and any of its workers is there.
    pub fn is_alive(&self) -> bool {
        self.check().is_ok()
            && matches!(self.state.stage(), Stage::Started | Stage::Closed)
            && self.state.workers.any()
    }

    /// Takes no further items, and ends the thread of [`put_async`](PoolManager::put_async). What
    /// was put is finished, and can be taken. A second call does nothing.
    pub fn close(&self) {
        if self.check().is_ok() {
            self.state.close();
        }
    }

    /// Closes the manager, and waits until the workers have finished what was put, and have ended.
    /// The results can still be taken. Items that [`put_async`](PoolManager::put_async) has not put
    /// yet are dropped: call [`join_async`](PoolManager::join_async) first.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the errors of
    /// [`WorkerPool::stop_and_join`](crate::WorkerPool::stop_and_join);
    /// [`ManagerError::WorkersGone`] after [`terminate`](PoolManager::terminate).
    pub fn join(&self) -> Result<(), ManagerError> {
        self.check()?;
        if self.state.stage() == Stage::Terminated {
            return Err(ManagerError::WorkersGone);
        }
        self.close();
        self.state.workers.stop().map_err(ManagerError::Failed)?;
        self.state.advance(Stage::Joined);
        match self.state.stage() {
            Stage::Terminated => Err(ManagerError::WorkersGone),
            _ => Ok(()),
        }
    }

    /// Kills the workers at once, and drops items and results that were not taken; under Threads
    /// running tasks are told, and the call waits for them.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Failed`] with the errors of
    /// [`WorkerPool::terminate`](crate::WorkerPool::terminate).
    pub fn terminate(&self) -> Result<(), ManagerError> {
        self.state.terminate()
    }

    /// Refuses in a forked child, where other threads may have held the locks.
    fn check(&self) -> Result<(), ManagerError> {
        self.state.unread.check().map_err(ManagerError::Failed)
    }

    /// The pool behind it, unless this is a forked child.
    pub(super) fn pool(&self) -> Result<&Pool, ManagerError> {
        self.check()?;
        let pool = self.state.workers.pool();
        pool.ok_or(ManagerError::Failed(Error::ForeignProcess))
    }

    /// Ends the manager as its drop does.
    pub(super) fn end(&self) -> Result<(), ManagerError> {
        match self.state.stage() {
            Stage::Joined | Stage::Terminated => Ok(()),
            _ if self.daemon => self.terminate(),
            _ => self.join(),
        }
    }

    /// Holds a start up while it lives; [`ManagerError::AlreadyStarted`] where there was one.
    #[cfg(feature = "capture-log")]
    pub(super) fn before_start(&self) -> Result<MutexGuard<'_, Option<Feeder<A>>>, ManagerError> {
        self.check()?;
        let feeder = self.feeder();
        match self.state.stage() {
            Stage::New => Ok(feeder),
            _ => Err(ManagerError::AlreadyStarted),
        }
    }

    #[cfg(feature = "capture-log")]
    pub(super) fn set_capture_logs(&self, capture: Option<LogCapture>) -> Result<(), ManagerError> {
        self.state.workers.capture_logs(capture).map_err(ManagerError::Failed)
    }

    fn feeder(&self) -> MutexGuard<'_, Option<Feeder<A>>> {
        self.feeder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Wire, R: Wire> Drop for PoolManager<A, R> {
    fn drop(&mut self) {
        if self.check().is_err() {
            return;
        }
        self.state.close();
        // The pool's own drop ends its workers, too, where this is refused.
        let _ = self.end();
        // A result's own drop may panic.
        self.state.unread.clear();
    }
}

impl<A: Wire, R: Wire> fmt::Debug for PoolManager<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolManager")
            .field("stage", &self.state.stage())
            .field("unread", &self.check().ok().map(|()| self.state.unread.counts()))
            .finish_non_exhaustive()
    }
}
