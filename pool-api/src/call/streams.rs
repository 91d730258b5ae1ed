//! The streams of results, for executors.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use pool_core::{AsyncResults, Form, FromItem, Job, Portable, ResultStream, Shape, Shaped};
use pool_ipc::Wire;

use super::Call;
use crate::{Result, imap::Start};

/// How a stream yields the results of its job.
type TakeResults<F, I> = fn(Job<F, I>) -> ResultStream<F, I, <F as Form>::Output>;

/// A [`Stream`] over values or results, for executors of any kind. It ends after the first error,
/// as [`Imap`](crate::Imap) does, or goes on after a task's failure, as
/// [`ImapResults`](crate::ImapResults) does.
///
/// Nothing runs before it is polled. No poll waits for workers: the pool's driver thread works
/// meanwhile, and wakes the task. The input is pulled where the stream is polled, a little ahead as
/// by `imap`, so it need not be `Send` unless the stream is sent; an input that blocks blocks the
/// executor. The stream does not borrow the pool; dropping it cancels what has not run (and kills
/// what does, with [`Call::kill_running`]), and after the pool's end it is
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

impl<I: Iterator, S, W, K: FromItem, H> Call<'_, I, S, W, K, H> {
    /// A stream over the values in input order, the [`Call::imap`](crate::Call::imap) for
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
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> ImapStream<Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.stream(f, |job| job.stream(true))
    }

    /// A stream over the values in the order in which they were done, see
    /// [`Call::imap_stream`](crate::Call::imap_stream).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_unordered_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> ImapStream<Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.stream(f, |job| job.stream(false))
    }

    /// A stream over one result per item, in input order: the
    /// [`Call::imap_results`](crate::Call::imap_results) for executors. It goes on after a task's
    /// failure, and after a cancel to the end of the items that were read; otherwise see
    /// [`Call::imap_stream`](crate::Call::imap_stream).
    ///
    /// # The function
    ///
    #[doc = include_str!("shapes.md")]
    pub fn imap_results_stream<R: Wire /* no captures in `f`: `tasks(items).with(data)` */>(
        self,
        f: H::Fn<I::Item, R>,
    ) -> ImapStream<Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        self.stream(f, |job| job.results(true))
    }

    fn stream<R: Wire>(
        self,
        f: H::Fn<I::Item, R>,
        take: TakeResults<Shaped<K, H, I::Item, R>, I>,
    ) -> ImapStream<Shaped<K, H, I::Item, R>, I>
    where
        H: Shape<K>,
        I::Item: Wire,
    {
        let Self { pool, input, shape, options, .. } = self;
        ImapStream::new(pool.stream(f, shape.into_context(), input, &options, take))
    }
}
