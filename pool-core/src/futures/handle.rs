//! The handle that `apply_async` returns.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    callbacks::Callback,
    notices::Notice,
    queue::QueueShared,
    shared_state::{Entry, Watcher},
};
use crate::{
    error::Error,
    job::{Awaits, Waiting},
    reentrancy::is_delivering,
    stack::with_room,
};

/// The result of a call that runs in the background.
///
/// It does not borrow the pool and may be sent to other threads; dropping it cancels nothing,
/// unless the call was made with `kill_running`. The result stays when the pool is stopped; a call
/// that is unfinished when the pool is dropped or terminated ends with [`Error::Terminated`].
#[must_use = "the call runs anyway, but what became of it is only known here"]
pub struct AsyncResult<R> {
    entry: Arc<Entry<R>>,
    /// After how long the call is killed if this is dropped first.
    kill_running: Option<Duration>,
}

impl<R> AsyncResult<R> {
    pub(super) fn new(entry: Arc<Entry<R>>) -> Self {
        Self { entry, kill_running: None }
    }

    /// A second handle on the same call.
    pub(super) fn share(&self) -> Self {
        Self { entry: self.entry.clone(), kill_running: None }
    }

    /// Has the call killed after this time if the handle is dropped before the call has ended.
    pub(crate) fn kill_running(mut self, grace: Option<Duration>) -> Self {
        self.kill_running = grace;
        self
    }

    /// What tells the handle from all others of its pool: the number that the error of its call
    /// names ([`TaskError::future`](crate::TaskError::future)).
    ///
    /// It counts the handles of one pool from 0, those on single items and those on maps alike, in
    /// the order in which the calls were made, also beyond a stop of the pool. A call that is
    /// refused may take a number, which no handle has then.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.entry.id().number()
    }

    /// Whether the call has ended, well or not. Does not wait.
    #[must_use]
    pub fn ready(&self) -> bool {
        if !self.entry.is_done()
            && let Some(queue) = self.entry.queue_shared.queue()
            && queue.check().is_ok()
        {
            queue.poll();
        }
        self.entry.is_done()
    }

    /// Waits until the call has ended, well or not.
    ///
    /// # Errors
    ///
    /// [`Error::NestedUse`] where waiting could last for ever (in a task of the same pool of
    /// threads, in a callback that reads results in place, in a result's own code (its
    /// `Deserialize`, or its `Clone` for a callback) for that result itself),
    /// [`Error::ForeignProcess`] in a forked child.
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_until(None)
    }

    /// Waits until the call has ended, but not longer than `limit`; whether it has.
    ///
    /// # Errors
    ///
    /// Those of [`AsyncResult::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Error> {
        // A limit beyond the range of the clock is none.
        self.wait_until(Instant::now().checked_add(limit))?;
        Ok(self.entry.is_done())
    }

    /// Whether the call has ended with a value; `None` before it has ended, and when the result was
    /// taken.
    #[must_use]
    pub fn successful(&self) -> Option<bool> {
        if self.ready() { self.entry.successful() } else { None }
    }

    /// Waits for the value.
    ///
    /// # Errors
    ///
    /// The failure of the task or of the pool; those of [`AsyncResult::wait`];
    /// [`Error::ResultTaken`] when [`get_timeout`](AsyncResult::get_timeout) has returned the
    /// value.
    pub fn get(self) -> Result<R, Error> {
        self.wait()?;
        self.take(None)
    }

    /// Waits for the value, but not longer than `limit`. The value can be taken once.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when it is not there in time: then it can be waited for again. Otherwise
    /// those of [`AsyncResult::get`].
    pub fn get_timeout(&mut self, limit: Duration) -> Result<R, Error> {
        // A limit beyond the range of the clock is none.
        let until = Instant::now().checked_add(limit);
        self.wait_until(until)?;
        self.take(until)
    }

    /// Takes the call back if no worker has begun it; whether that worked: then its result is
    /// [`Error::Cancelled`]. A running call goes on, unless it was made with `kill_running`: then
    /// this is [`AsyncResult::kill`] with that grace.
    ///
    /// A map that has not ended is always taken back: items that were not begun do not run, running
    /// items see [`Worker::is_cancelled`](crate::task::Worker::is_cancelled), and their results are
    /// dropped.
    pub fn cancel(&self) -> bool {
        if let Some(grace) = self.kill_running {
            return self.kill(grace);
        }
        match self.entry.queue_shared.queue() {
            Some(queue) if !self.entry.is_done() && queue.check().is_ok() => {
                let withdrawn = queue.withdraw(Arc::as_ptr(&self.entry).cast());
                let cancelled = withdrawn && self.entry.cancel();
                if withdrawn {
                    queue.recount();
                }
                cancelled
            }
            _ => false,
        }
    }

    /// Ends the call, whose result is [`Error::Cancelled`] at once; whether it had not ended
    /// before.
    ///
    /// Items that were not begun do not run. Running items see
    /// [`Worker::is_cancelled`](crate::task::Worker::is_cancelled), and the worker of an item that
    /// still runs after `grace` (zero: at once) is killed and replaced; the item is not tried
    /// again, and no other call loses anything. Threads cannot be killed: they only see the
    /// cancellation.
    pub fn kill(&self, grace: Duration) -> bool {
        match self.entry.queue_shared.queue() {
            Some(queue) if !self.entry.is_done() && !self.is_foreign() => {
                queue.kill(Arc::as_ptr(&self.entry).cast(), grace);
                let killed = self.entry.try_complete(Err(Error::Cancelled), 0);
                queue.recount();
                killed
            }
            _ => false,
        }
    }

    /// Has `callback` called with a copy of the value, if the call ends with one and it has not
    /// been taken before.
    ///
    /// Callbacks of a pool run one after the other, in a thread of their own called `pool-driver`
    /// that exists while there are any. A callback that blocks holds up other callbacks, but no
    /// result; a panic goes no further. While a callback runs, Fork counts that thread like any
    /// other.
    ///
    /// A callback may use its pool, also drop it, but
    /// [`stop_and_join`](crate::pool::Pool::stop_and_join) is [`Error::NestedUse`] there: it waits
    /// for callbacks, as dropping the pool does not. A callback that hands in another call while
    /// the pool is being stopped is not waited for any longer: that call belongs to the pool's next
    /// start. In a forked child no callback is ever called; nor is a callback whose copy panics in
    /// the value's `Clone`.
    pub fn callback(&self, callback: impl FnOnce(R) + Send + 'static)
    where
        R: Clone + Send + 'static,
    {
        self.watch(Watcher::Callback(Box::new(|outcome| {
            let value = outcome.ok()?;
            with_room::<R, (), _>(|| {
                let value = value.clone();
                Some(Box::new(move || callback(value)) as Callback)
            })
        })));
    }

    /// Has `callback` called with the error, if the call ends with one. Otherwise as
    /// [`AsyncResult::callback`].
    pub fn error_callback(&self, callback: impl FnOnce(Error) + Send + 'static) {
        self.watch(Watcher::Callback(Box::new(|outcome| {
            let error = outcome.err()?.clone();
            Some(Box::new(move || callback(error)))
        })));
    }

    /// Has the notice sent as soon as the call has ended.
    pub(super) fn notice(&self, notice: Notice) {
        self.watch(Watcher::Notice(notice));
    }

    /// Refuses to wait where that could last for ever.
    pub(super) fn check(&self) -> Result<(), Error> {
        // Checked first: in a forked child nothing of the future may be touched, since another
        // thread may have been changing it.
        match self.entry.queue_shared.queue() {
            Some(queue) if !self.entry.is_done() => queue.check()?,
            _ => {}
        }
        let own = || is_delivering(self.entry.address()) || self.entry.is_read_here();
        if !self.entry.is_done() && own() {
            return Err(Error::NestedUse);
        }
        Ok(())
    }

    /// The future's identity.
    pub(super) fn address(&self) -> usize {
        self.entry.address().addr()
    }

    /// Whether it has not ended.
    pub(super) fn is_pending(&self) -> bool {
        !self.entry.is_done()
    }

    pub(super) fn queue_shared(&self) -> &Arc<QueueShared> {
        &self.entry.queue_shared
    }

    /// Whether this process was forked from the one that made the future, so that it is never
    /// completed here.
    fn is_foreign(&self) -> bool {
        let queue = self.entry.queue_shared.queue();
        queue.is_some_and(|queue| matches!(queue.check(), Err(Error::ForeignProcess)))
    }

    fn watch(&self, watcher: Watcher<R>) {
        if !self.is_foreign() {
            self.entry.watch(watcher);
        }
    }

    fn take(&self, until: Option<Instant>) -> Result<R, Error> {
        with_room::<(), R, _>(|| match self.entry.take(until) {
            Some(Ok(value)) => Ok(value.into_inner()),
            Some(Err(error)) => Err(error),
            None => Err(Error::NotReady),
        })
    }

    fn wait_until(&self, until: Option<Instant>) -> Result<(), Error> {
        if self.entry.is_done() {
            return Ok(());
        }
        self.check()?;
        let Some(queue) = self.entry.queue_shared.queue() else { return Ok(()) };
        let _waiting = Waiting::begin(Awaits::All, [self.address()])?;
        self.entry.queue_shared.wait(&*queue, until, &|| self.entry.is_done());
        Ok(())
    }
}

/// Awaiting the future is [`AsyncResult::get`] for an executor of any kind; the pool's driver
/// thread does the work meanwhile.
impl<R> Future for AsyncResult<R> {
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.entry.is_done() {
            self.check()?;
            // A future that has ended meanwhile wakes at once.
            self.entry.watch(Watcher::Waker(context.waker().clone()));
        }
        if self.entry.is_done() { Poll::Ready(self.take(None)) } else { Poll::Pending }
    }
}

impl<R> Drop for AsyncResult<R> {
    fn drop(&mut self) {
        if let Some(grace) = self.kill_running {
            self.kill(grace);
        }
    }
}

impl<R> fmt::Debug for AsyncResult<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult")
            .field("number", &self.number())
            .field("ready", &self.entry.is_done())
            .finish_non_exhaustive()
    }
}
