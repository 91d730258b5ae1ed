//! The lazy iterators.

use std::{marker::PhantomData, time::Duration};

use pool_core::{Form, Job, ResultStream};

use crate::{Error, Result};

/// A call; if it could not be prepared, its error is the first value.
#[derive(Debug)]
pub(crate) enum Start<T> {
    Ready(T),
    Refused(Option<Error>),
}

impl<T> From<Result<T>> for Start<T> {
    fn from(call: Result<T>) -> Self {
        call.map_or_else(|error| Self::Refused(Some(error)), Self::Ready)
    }
}

/// Defines an iterator over a job's results, which are of the type behind the name.
macro_rules! iterators {
    ($($(#[$doc:meta])* $name:ident<F> of $item:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "nothing runs before the first `next`"]
        pub struct $name<'p, F: Form, I> {
            stream: Start<ResultStream<F, I, $item>>,
            pool: PhantomData<&'p ()>,
        }

        impl<F: Form, I: Iterator<Item = F::Item>> $name<'_, F, I> {
            /// Waits for the next value, but at most for `limit`: the `next` of Python's
            /// `imap` with a timeout.
            ///
            /// Zero looks whether the value is there, and `Duration::MAX` waits for ever. A call
            /// sends items and reads its input in here, as in `next`, even with a limit of zero; an
            /// input that blocks is waited for beyond the limit. `None`, at the end, comes without
            /// waiting for workers that end with their call
            /// ([`Builder::keep_alive`](crate::Builder::keep_alive)).
            ///
            /// ```
            /// # let pool = pool_api::WorkerPool::new(2)?;
            /// use std::time::Duration;
            /// use pool_api::Error;
            ///
            /// let mut squares = pool.tasks(0..3u64).imap(|x| x * x);
            /// let mut sum = 0;
            /// while let Some(square) = squares.next_timeout(Duration::from_millis(100)) {
            ///     match square {
            ///         Err(Error::NotReady) => println!("still waiting"),
            ///         square => sum += square?,
            ///     }
            /// }
            /// assert_eq!(sum, 5);
            /// # Ok::<(), Error>(())
            /// ```
            ///
            /// # Errors
            ///
            /// [`Error::NotReady`](crate::Error::NotReady) when the value is not there in time;
            /// this ends nothing, and the value comes later. Otherwise those of `next`.
            pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<$item>> {
                match &mut self.stream {
                    Start::Ready(stream) => stream.next_timeout(limit),
                    Start::Refused(error) => error.take().map(Err),
                }
            }
        }

        impl<F: Form, I: Iterator<Item = F::Item>> Iterator for $name<'_, F, I> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                match &mut self.stream {
                    Start::Ready(stream) => stream.next(),
                    Start::Refused(error) => error.take().map(Err),
                }
            }
        }
    )*};
}

iterators! {
    /// An iterator over values that ends after the first error. Nothing runs before its first
    /// `next`; dropping it cancels what has not run.
    Imap<F> of F::Output;

    /// An iterator over results that goes on after a task's failure and ends after any other error.
    /// Nothing runs before its first `next`; dropping it cancels what has not run.
    ImapResults<F> of F::Output;

    /// An iterator over results in the order in which items were done, each value with its item's
    /// position in the input, from 0. It goes on after a task's failure, whose
    /// [`TaskError::index`](crate::TaskError::index) is the position, and ends after any other
    /// error. Nothing runs before its first `next`; dropping it cancels what has not run.
    ImapUnorderedResults<F> of (u64, F::Output);
}

impl<'p, F: Form, I: Iterator<Item = F::Item>> Imap<'p, F, I> {
    pub(crate) fn new(job: Result<Job<F, I>>, ordered: bool) -> Self {
        Self { stream: job.map(|job| job.stream(ordered)).into(), pool: PhantomData }
    }
}

impl<'p, F: Form, I: Iterator<Item = F::Item>> ImapResults<'p, F, I> {
    pub(crate) fn new(job: Result<Job<F, I>>) -> Self {
        Self { stream: job.map(|job| job.results(true)).into(), pool: PhantomData }
    }
}

impl<'p, F: Form, I: Iterator<Item = F::Item>> ImapUnorderedResults<'p, F, I> {
    pub(crate) fn new(job: Result<Job<F, I>>) -> Self {
        Self { stream: job.map(Job::results_indexed).into(), pool: PhantomData }
    }
}
