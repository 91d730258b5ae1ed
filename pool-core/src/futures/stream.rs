//! Results for executors: polled one by one, without blocking the thread.
//!
//! The consumer pulls the input and takes what has arrived, in `poll_next`; in between the driver
//! thread keeps results arriving, and wakes the consumer.

use std::{
    fmt,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    background::Task,
    queue::{AsyncQueue, QueueShared},
};
use crate::{
    cancel::CancelToken,
    error::Error,
    job::{Job, ResultStream},
    mutex::lock,
    panic::quietly,
    reentrancy::{Brought, InCall, Inside, Within},
    stack::with_room,
    task::Form,
};

/// A stream over the results of a job: a [`ResultStream`] for executors. It has the method that
/// `futures_core::Stream` requires, without depending on that crate.
///
/// It does not borrow the pool. Dropping it cancels items that have not run, and with
/// `kill_running` kills running ones.
pub struct AsyncResults<F: Form, I, V> {
    /// `None` after the end.
    results: Option<Box<ResultStream<F, I, V>>>,
    waker_slot: Arc<WakerSlot>,
    number: u64,
    /// It was killed, which the next poll reports.
    killed: bool,
}

/// What the consumer shares with the queue while it waits.
struct WakerSlot {
    queue_shared: Arc<QueueShared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waker: Option<Waker>,
    due: Option<Instant>,
    token: Option<CancelToken>,
    /// Why the queue has ended the stream.
    ended: Option<Error>,
}

impl dyn AsyncQueue {
    /// A stream over the results of the job, as `take` yields them.
    ///
    /// # Errors
    ///
    /// The input, when the queue takes nothing in any more.
    pub(crate) fn stream<F: Form, I: Iterator<Item = F::Item>, V>(
        &self,
        mut job: Job<F, I>,
        take: fn(Job<F, I>) -> ResultStream<F, I, V>,
    ) -> Result<AsyncResults<F, I, V>, I> {
        let queue_shared = self.queue_shared();
        let number = job.go_to_background(queue_shared.job, queue_shared.progress_notifier());
        let waker_slot =
            Arc::new(WakerSlot { queue_shared: queue_shared.clone(), state: Mutex::default() });
        if !queue_shared.background.add(number, waker_slot.clone()) {
            return Err(job.into_items());
        }
        Ok(AsyncResults { results: Some(Box::new(take(job))), waker_slot, number, killed: false })
    }
}

impl<F: Form, I: Iterator<Item = F::Item>, V> AsyncResults<F, I, V> {
    /// Ends the call; the next poll returns [`Error::Cancelled`], if the stream had not ended.
    ///
    /// Items that were not begun do not run. Running items see
    /// [`Worker::is_cancelled`](crate::task::Worker::is_cancelled), and the workers of items that
    /// still run after `grace` (zero: at once) are killed and replaced. Threads cannot be killed:
    /// they only see the cancellation.
    pub fn kill(&mut self, grace: Duration) {
        let queue = self.waker_slot.queue_shared.queue();
        if let Some(queue) =
            queue.filter(|queue| !matches!(queue.check(), Err(Error::ForeignProcess)))
            && let Some(results) = self.results.take()
        {
            queue.kill_at_end(self.number, grace);
            self.killed = true;
            drop(results);
            self.waker_slot.advance();
        }
    }

    /// The next result if it is there, or the end; otherwise the task is woken when to poll again.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<V, Error>>> {
        with_room::<F::Item, F::Output, _>(|| self.poll_here(context))
    }

    fn poll_here(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<V, Error>>> {
        if std::mem::take(&mut self.killed) {
            return Poll::Ready(Some(Err(Error::Cancelled)));
        }
        // Taken out while the user's code may run, so that a panic of it ends the stream.
        let Some(mut results) = self.results.take() else { return Poll::Ready(None) };
        if let Some(why) = lock(&self.waker_slot.state).ended.take() {
            return Poll::Ready(Some(Err(why)));
        }
        let mut next = results.poll();
        if next.is_pending() {
            let (due, token) = (results.due(), results.token().cloned());
            // A driver thread that sleeps does not know these.
            let unknown =
                due.is_some() || (token.is_some() && self.waker_slot.queue_shared.job.is_none());
            let queue = self.waker_slot.wait(context.waker(), due, token);
            // Results may have arrived before the waker was registered.
            next = results.poll();
            match (&next, queue) {
                (Poll::Ready(_), _) => drop(self.waker_slot.leave()),
                (Poll::Pending, Some(queue)) => {
                    if unknown {
                        queue.recount();
                    }
                    self.waker_slot.queue_shared.driver.unpark();
                }
                (Poll::Pending, None) => return Poll::Ready(Some(Err(Error::Terminated))),
            }
        }
        if !matches!(next, Poll::Ready(None)) {
            self.results = Some(results);
        }
        next
    }
}

impl WakerSlot {
    /// Registers the waker; returns the queue that works for the consumer, if it still exists.
    fn wait(
        &self,
        waker: &Waker,
        due: Option<Instant>,
        token: Option<CancelToken>,
    ) -> Option<Arc<dyn AsyncQueue>> {
        let waker = waker.clone(); // the user's code
        let mut state = lock(&self.state);
        if state.waker.is_none() {
            self.queue_shared.watched.fetch_add(1, Ordering::SeqCst);
        }
        let before = state.waker.replace(waker);
        (state.due, state.token) = (due, token);
        drop(state);
        drop(before);
        self.queue_shared.queue()
    }

    /// The consumer does not wait any more; returns its waker.
    fn leave(&self) -> Option<Waker> {
        let waker = lock(&self.state).waker.take();
        if waker.is_some() {
            self.queue_shared.watched.fetch_sub(1, Ordering::SeqCst);
        }
        waker
    }
}

impl Task for WakerSlot {
    fn advance(&self) -> bool {
        if let Some(waker) = self.leave() {
            quietly(|| waker.wake());
        }
        false
    }

    fn due(&self) -> Option<Instant> {
        let state = lock(&self.state);
        state.waker.as_ref()?;
        let pulled = state.token.as_ref().is_some_and(CancelToken::is_cancelled);
        if pulled { Some(Instant::now()) } else { state.due }
    }

    fn token(&self) -> Option<CancelToken> {
        let state = lock(&self.state);
        state.waker.as_ref().and(state.token.clone())
    }

    fn stop(&self) -> bool {
        false
    }

    fn end(&self, why: Error) {
        lock(&self.state).ended.get_or_insert(why);
        self.advance();
    }

    fn address(&self) -> *const () {
        std::ptr::null()
    }

    fn enter_delivery(&self) -> (Brought, InCall) {
        (Within::default().bring(), InCall::enter(self.queue_shared.backend, Inside::Delivery))
    }

    fn is_map(&self) -> bool {
        false
    }
}

impl<F: Form, I, V> Drop for AsyncResults<F, I, V> {
    fn drop(&mut self) {
        // In a forked child another thread may have been changing the queue.
        let Some(queue) = self.waker_slot.queue_shared.queue() else { return };
        if !matches!(queue.check(), Err(Error::ForeignProcess)) {
            drop(self.waker_slot.queue_shared.background.remove(self.number));
            if self.waker_slot.leave().is_some() {
                // The driver thread does not work for this stream any longer.
                queue.recount();
            }
        }
    }
}

impl<F: Form, I, V> fmt::Debug for AsyncResults<F, I, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResults").field("results", &self.results).finish_non_exhaustive()
    }
}
