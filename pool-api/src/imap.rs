//! The lazy iterators.

use std::marker::PhantomData;

use pool_core::{Form, Job, ResultStream, ValueStream, with_room};

use crate::{Error, Result};

/// An iterator over values that ends after the first error. Nothing runs before its first `next`;
/// dropping it cancels what has not run.
#[derive(Debug)]
#[must_use = "nothing runs before the first `next`"]
pub struct Imap<'p, F: Form, I> {
    stream: Start<ValueStream<F, I>>,
    pool: PhantomData<&'p ()>,
}

/// An iterator over results that goes on after a task's failure and ends after any other error.
/// Nothing runs before its first `next`; dropping it cancels what has not run.
#[derive(Debug)]
#[must_use = "nothing runs before the first `next`"]
pub struct ImapResults<'p, F: Form, I> {
    stream: Start<ResultStream<F, I>>,
    pool: PhantomData<&'p ()>,
}

/// A call; if it could not be prepared, its error is the first value.
#[derive(Debug)]
enum Start<T> {
    Ready(T),
    Refused(Option<Error>),
}

impl<'p, F: Form, I: Iterator<Item = F::Item>> Imap<'p, F, I> {
    pub(crate) fn new(job: Result<Job<F, I>>, ordered: bool) -> Self {
        let stream = match job {
            Ok(job) => Start::Ready(job.stream(ordered)),
            Err(error) => Start::Refused(Some(error)),
        };
        Self { stream, pool: PhantomData }
    }
}

impl<'p, F: Form, I: Iterator<Item = F::Item>> ImapResults<'p, F, I> {
    pub(crate) fn new(job: Result<Job<F, I>>) -> Self {
        let stream = match job {
            Ok(job) => Start::Ready(job.results(true)),
            Err(error) => Start::Refused(Some(error)),
        };
        Self { stream, pool: PhantomData }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Iterator for Imap<'_, F, I> {
    type Item = Result<F::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.stream {
            Start::Ready(stream) => stream.next(),
            Start::Refused(error) => error.take().map(Err),
        }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Iterator for ImapResults<'_, F, I> {
    type Item = Result<F::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.stream {
            Start::Ready(stream) => with_room::<F::Item, F::Output, _>(|| {
                Some(stream.next()?.and_then(|result| Ok(result?)))
            }),
            Start::Refused(error) => error.take().map(Err),
        }
    }
}
