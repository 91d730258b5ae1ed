//! What the caller of `apply_async` holds.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    callbacks::Callback,
    desk::Home,
    entry::{Entry, Watcher},
    group::Notice,
};
use crate::{
    error::Error,
    job::{Awaits, Waiting, is_delivering},
    stack::with_room,
};

/// The result of a call that runs meanwhile.
///
/// It does not borrow the pool and may be sent to other threads; dropping it cancels nothing,
/// unless the call was made with `kill_running`. When the pool is stopped the result stays; when it
/// is dropped or terminated first, what was not finished is [`Error::Terminated`].
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

    /// The call is killed after this time if the handle is dropped before it has ended.
    pub(crate) fn kill_running(mut self, grace: Option<Duration>) -> Self {
        self.kill_running = grace;
        self
    }

    /// What tells the handle from all others of its pool: the number that the error of its call
    /// names ([`TaskError::future`](crate::TaskError::future)).
    ///
    /// It counts the handles of one pool from 0, those on single items and those on maps alike, in
    /// the order in which the calls were made, also beyond a stop of the pool. A call that is
    /// refused has none; where other threads make calls at that moment, its number may be left out.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.entry.number()
    }

    /// Whether the call has ended, well or not. Does not wait.
    #[must_use]
    pub fn ready(&self) -> bool {
        if !self.entry.is_done()
            && let Some(desk) = self.entry.home.desk()
            && desk.check().is_ok()
        {
            desk.look();
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
    /// As [`AsyncResult::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Error> {
        // A limit beyond what a clock can tell is none.
        self.wait_until(Instant::now().checked_add(limit))?;
        Ok(self.entry.is_done())
    }

    /// Whether the call has ended with a value; `None` before it has ended, and when the result was taken.
    #[must_use]
    pub fn successful(&self) -> Option<bool> {
        if self.ready() { self.entry.successful() } else { None }
    }

    /// Waits for the value.
    ///
    /// # Errors
    ///
    /// That of the task or the pool; those of [`AsyncResult::wait`]; [`Error::ResultTaken`] when
    /// [`get_timeout`](AsyncResult::get_timeout) has returned it.
    pub fn get(self) -> Result<R, Error> {
        self.wait()?;
        self.take(None)
    }

    /// Waits for the value, but not longer than `limit`. The value can be had once.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when it is not there in time: then it can be waited for again. Otherwise as [`AsyncResult::get`].
    pub fn get_timeout(&mut self, limit: Duration) -> Result<R, Error> {
        // A limit beyond what a clock can tell is none.
        let until = Instant::now().checked_add(limit);
        self.wait_until(until)?;
        self.take(until)
    }

    /// Takes the call back if no worker has begun it; whether that worked: then it is
    /// [`Error::Cancelled`]. What runs goes on, unless the call was made with `kill_running`: then
    /// this is [`AsyncResult::kill`] with that grace.
    ///
    /// A map that has not ended is always taken back: items that were not begun do not run, those that run see
    /// [`Worker::is_cancelled`](crate::Worker::is_cancelled), and nobody gets their results.
    pub fn cancel(&self) -> bool {
        if let Some(grace) = self.kill_running {
            return self.kill(grace);
        }
        match self.entry.home.desk() {
            Some(desk) if !self.entry.is_done() && desk.check().is_ok() => {
                let withdrawn = desk.withdraw(Arc::as_ptr(&self.entry).cast());
                let cancelled = withdrawn && self.entry.cancel();
                if withdrawn {
                    desk.recount();
                }
                cancelled
            }
            _ => false,
        }
    }

    /// Ends the call, which is [`Error::Cancelled`] at once; whether it had not ended before.
    ///
    /// What was not begun does not run. What runs sees
    /// [`Worker::is_cancelled`](crate::Worker::is_cancelled), and where it still runs after `grace`
    /// (zero: at once) its worker is killed and replaced; it is not tried again, and no other call
    /// loses anything. Threads cannot be killed: they are told only.
    pub fn kill(&self, grace: Duration) -> bool {
        match self.entry.home.desk() {
            Some(desk) if !self.entry.is_done() && !self.is_foreign() => {
                desk.kill(Arc::as_ptr(&self.entry).cast(), grace);
                let killed = self.entry.try_complete(Err(Error::Cancelled), 0);
                desk.recount();
                killed
            }
            _ => false,
        }
    }

    /// Has `callback` called with a copy of the value, if the call ends with one and nobody has taken it before.
    ///
    /// Callbacks of a pool run one after the other, in a thread of its own called `pool-driver` that is there while there are any.
    /// One that blocks holds up other callbacks, but no result; a panic goes no further. While one runs, Fork counts that thread as any other.
    ///
    /// A callback may use its pool, also drop it, but [`stop_and_join`](crate::Pool::stop_and_join) is [`Error::NestedUse`] there: that waits
    /// for callbacks, as dropping the pool does not. One that hands in another call when the pool is already being stopped is not waited for
    /// any longer: that call belongs to the pool's next life. In a forked child no callback is ever
    /// called, nor is one whose copy panics in the value's `Clone`.
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

    /// Has `callback` called with the error, if the call ends with one. Otherwise as [`AsyncResult::callback`].
    pub fn error_callback(&self, callback: impl FnOnce(Error) + Send + 'static) {
        self.watch(Watcher::Callback(Box::new(|outcome| {
            let error = outcome.err()?.again();
            Some(Box::new(move || callback(error)))
        })));
    }

    /// Has the notice given as soon as the call has ended.
    pub(super) fn notice(&self, notice: Notice) {
        self.watch(Watcher::Notice(notice));
    }

    /// Refuses to wait where that could last for ever.
    pub(super) fn check(&self) -> Result<(), Error> {
        // First of all: in a forked child nothing of it is touched, since another thread may have been there.
        match self.entry.home.desk() {
            Some(desk) if !self.entry.is_done() => desk.check()?,
            _ => {}
        }
        let own = || is_delivering(self.entry.address()) || self.entry.is_read_here();
        if !self.entry.is_done() && own() {
            return Err(Error::NestedUse);
        }
        Ok(())
    }

    /// What tells the future from all others.
    pub(super) fn address(&self) -> usize {
        self.entry.address().addr()
    }

    /// Whether it has not ended.
    pub(super) fn is_pending(&self) -> bool {
        !self.entry.is_done()
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.entry.home
    }

    /// Whether nobody ever completes it here: this process was forked from the one that made it.
    fn is_foreign(&self) -> bool {
        let desk = self.entry.home.desk();
        desk.is_some_and(|desk| matches!(desk.check(), Err(Error::ForeignProcess)))
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
        let Some(desk) = self.entry.home.desk() else { return Ok(()) };
        let _waiting = Waiting::begin(Awaits::All, [self.address()])?;
        self.entry.home.waiting.fetch_add(1, Ordering::SeqCst);
        desk.wait(until, &|| self.entry.is_done());
        self.entry.home.waiting.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Awaiting it is [`AsyncResult::get`] for an executor of any kind; the pool's driver thread does the work meanwhile.
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
