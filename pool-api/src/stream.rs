//! The streams of results, for executors.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use pool_core::{AsyncResults, Form, OnWorker, Plain, Portable, WithContext, Worker};
use pool_ipc::Wire;

use crate::{Result, Tasks, TasksWith, imap::Start};

/// A [`Stream`] over values or results, for executors of any kind. It ends after the first error,
/// as [`Imap`](crate::Imap) does, or goes on after a task's failure, as
/// [`ImapResults`](crate::ImapResults) does.
///
/// Nothing runs before it is polled. No poll waits for workers: the pool's driver thread works
/// meanwhile, and wakes the task. The input is pulled where the stream is polled, a little ahead as
/// by `imap`, so it need not be `Send` unless the stream is sent; an input that blocks blocks the
/// executor. The stream does not borrow the pool; dropping it cancels what has not run (and kills
/// what does, with [`Tasks::kill_running`]), and after the pool's end it is
/// [`Error::Terminated`](crate::Error::Terminated).
#[derive(Debug)]
#[must_use = "nothing runs before it is polled"]
pub struct ImapStream<F: Form, I> {
    results: Start<AsyncResults<F, I, F::Output>>,
}

impl<F: Portable, I: Iterator<Item = F::Item>> ImapStream<F, I> {
    fn new(results: Result<AsyncResults<F, I, F::Output>>) -> Self {
        Self { results: results.into() }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> ImapStream<F, I> {
    /// Ends the call; the next poll returns [`Error::Cancelled`](crate::Error::Cancelled), if the
    /// stream had not ended. Items that run are told, and killed with their workers after `grace`
    /// as by [`CancelToken::kill`](crate::CancelToken::kill).
    pub fn kill(&mut self, grace: Duration) {
        if let Start::Ready(results) = &mut self.results {
            results.kill(grace);
        }
    }
}

// Neither the input nor the values are ever pinned.
impl<F: Form, I> Unpin for ImapStream<F, I> {}

impl<F: Form, I: Iterator<Item = F::Item>> Stream for ImapStream<F, I> {
    type Item = Result<F::Output>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.results {
            Start::Ready(results) => results.poll_next(context),
            Start::Refused(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}

impl<I: Iterator, S, W> Tasks<'_, I, S, W> {
    /// A stream over the values in input order, the [`Tasks::imap`](crate::Tasks::imap) for
    /// executors (feature `async`).
    ///
    /// ```
    /// # use std::{future::poll_fn, pin::Pin, sync::Arc, task::{Context, Poll, Wake, Waker}, thread};
    /// use futures_core::Stream;
    /// # struct Unpark(thread::Thread);
    /// # impl Wake for Unpark { fn wake(self: Arc<Self>) { self.0.unpark() } }
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let (mut future, waker) = (std::pin::pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    /// #     loop {
    /// #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
    /// #             Poll::Ready(output) => return output,
    /// #             Poll::Pending => thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// let pool = pool_api::WorkerPool::new(2)?;
    /// let mut squares = pool.tasks(0..100u64).imap_stream(|x| x * x);
    /// let sum = block_on(async {
    ///     let mut sum = 0;
    ///     // Or `while let Some(square) = squares.next().await`, with `futures::StreamExt`.
    ///     while let Some(square) = poll_fn(|cx| Pin::new(&mut squares).poll_next(cx)).await {
    ///         sum += square?;
    ///     }
    ///     Ok::<u64, pool_api::Error>(sum)
    /// })?;
    /// assert_eq!(sum, 328_350);
    /// # Ok::<(), pool_api::Error>(())
    /// ```
    pub fn imap_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: fn(I::Item) -> R,
    ) -> ImapStream<Plain<I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapStream::new(self.pool.stream(f, (), self.items, &self.options, |job| job.stream(true)))
    }
}

impl<I: Iterator, S: Send + Sync + 'static, W: 'static> Tasks<'_, I, S, W> {
    /// A stream over the values in input order; `f` takes the worker beside the item. See
    /// [`Tasks::imap_stream`](crate::Tasks::imap_stream).
    pub fn imap_stream_with<R: Wire>(
        self,
        f: fn(&mut Worker<'_, S, W>, I::Item) -> R,
    ) -> ImapStream<OnWorker<S, W, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapStream::new(self.pool.stream(f, (), self.items, &self.options, |job| job.stream(true)))
    }
}

impl<I: Iterator, C: Wire + Sync> TasksWith<'_, I, C> {
    /// A stream over the values in input order; `f` takes the context beside the item. See
    /// [`Tasks::imap_stream`](crate::Tasks::imap_stream).
    pub fn imap_stream<R: Wire>(
        self,
        f: fn(&C, I::Item) -> R,
    ) -> ImapStream<WithContext<C, I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapStream::new(
            self.pool.stream(f, self.context, self.items, &self.options, |job| job.stream(true)),
        )
    }
}

impl<I: Iterator, S, W> Tasks<'_, I, S, W> {
    /// A stream over the values in the order in which they were done, see
    /// [`Tasks::imap_stream`](crate::Tasks::imap_stream).
    pub fn imap_unordered_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: fn(I::Item) -> R,
    ) -> ImapStream<Plain<I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapStream::new(self.pool.stream(f, (), self.items, &self.options, |job| job.stream(false)))
    }

    /// A stream over one result per item, in input order: the
    /// [`Tasks::imap_results`](crate::Tasks::imap_results) for executors. It goes on after a task's
    /// failure, and after a cancel to the end of the items that were read; otherwise see
    /// [`Tasks::imap_stream`](crate::Tasks::imap_stream).
    pub fn imap_results_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: fn(I::Item) -> R,
    ) -> ImapStream<Plain<I::Item, R>, I>
    where
        I::Item: Wire,
    {
        ImapStream::new(self.pool.stream(f, (), self.items, &self.options, |job| job.results(true)))
    }
}
