//! A call of one item that waits for room without a thread.
//!
//! Invariant: until it is ready, the item lies in the future; a future that is dropped before has
//! handed nothing in.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{Pool, futures::give_back};
use crate::{
    compact::Compact,
    error::Error,
    futures::{AsyncResult, Refused, Room, Submitters},
    job::JobOptions,
    stack::with_room,
    task::Portable,
};

/// The outcome of a submitted call: its handle, or its item.
type Submitted<A, R> = Result<AsyncResult<R>, Box<Refused<A>>>;

/// A call that is handed in when there is room for it: see [`Pool::submit`].
#[must_use = "the call is handed in when this is polled"]
pub struct Submit<'p, F: Portable<Context = ()>> {
    pool: &'p Pool,
    /// `None` once it is ready.
    item: Option<Compact<F::Item>>,
    function: F::Function,
    options: JobOptions,
    /// Its number among the submitters that wait for room.
    number: Option<u64>,
}

impl Pool {
    /// Hands a call to the workers like [`Pool::apply_async`] when there is room for it, for
    /// executors: the future waits without blocking the thread that polls it. Nothing is handed in
    /// before the first poll, nor when the future is dropped before it is ready.
    ///
    /// Submitters are let in in the order in which they have begun to wait. While another thread
    /// stops the pool they wait for the end of that. The first call of a pool may start the
    /// workers, and makes what they share, in the poll.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::apply_async`]; the item comes back.
    ///
    /// # Panics
    ///
    /// When it is polled after it was ready.
    pub fn submit<F: Portable<Context = ()>>(
        &self,
        item: impl Into<Compact<F::Item>>,
        function: F::Function,
        options: &JobOptions,
    ) -> Submit<'_, F> {
        let (item, options) = (Some(item.into()), options.clone());
        Submit { pool: self, item, function, options, number: None }
    }
}

impl<'p, F: Portable<Context = ()>> Submit<'p, F> {
    fn poll_here(&mut self, waker: &Waker) -> Poll<Submitted<F::Item, F::Output>> {
        let mut item = self.item.take().expect("it is not polled after it was ready");
        let submitters = self.submitters();
        let mut room = Room::Refuse;
        if let Some(number) = self.number
            && !self.pool.is_foreign()
            && !submitters.renew(number, waker)
        {
            (self.number, room) = (None, Room::LetIn);
        }
        loop {
            let refused = match self.pool.hand_in::<F>(item, self.function, &self.options, room) {
                Ok(handle) => {
                    self.leave();
                    return Poll::Ready(Ok(handle));
                }
                Err(refused) => refused,
            };
            if !matches!(refused.error, Error::QueueFull) {
                if room == Room::LetIn {
                    submitters.let_in(1); // in its place
                }
                self.leave();
                return Poll::Ready(Err(give_back(refused)));
            }
            item = refused.item;
            if self.number.is_some() {
                self.item = Some(item);
                return Poll::Pending;
            }
            // Room that appears from now on is told; there may be some since it was looked for.
            (self.number, room) = (Some(submitters.enter(waker)), Room::Refuse);
        }
    }

    fn submitters(&self) -> &'p Submitters {
        self.pool.budget.submitters(self.options.cancel.is_some())
    }

    fn leave(&mut self) {
        // In a forked child another thread may have been changing the list.
        if let Some(number) = mem::take(&mut self.number)
            && !self.pool.is_foreign()
        {
            self.submitters().leave(number);
        }
    }
}

impl<F: Portable<Context = ()>> Future for Submit<'_, F> {
    type Output = Submitted<F::Item, F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        with_room::<F::Item, (), _>(|| self.poll_here(context.waker()))
    }
}

// The item is never pinned.
impl<F: Portable<Context = ()>> Unpin for Submit<'_, F> {}

impl<F: Portable<Context = ()>> Drop for Submit<'_, F> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<F: Portable<Context = ()>> fmt::Debug for Submit<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("waits", &self.number.is_some()).finish_non_exhaustive()
    }
}
