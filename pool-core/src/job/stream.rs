//! Jobs whose results are taken one by one; nothing runs before the first one is asked for.

use std::{collections::VecDeque, fmt, task::Poll, time::Instant};

use super::{
    collector::{Collector, Each},
    reorder::Arrivals,
    run::Job,
};
use crate::{
    cancel::CancelToken,
    error::{Error, TaskError},
    stack::with_room,
    task::Form,
};

/// The results that a consumer takes one by one, each with what the function makes of it.
type Buffer<R, V> = Collector<R, Each<fn(u64, R) -> V>>;

/// An iterator over one result per item; goes on after a task's failure and ends after the pool's.
/// If the call is cancelled meanwhile and the results come in input order, items that were read and
/// have not finished yield [`Cause::Cancelled`](crate::error::Cause::Cancelled).
///
/// Dropping it cancels the items that have not run.
pub struct ResultStream<F: Form, I> {
    /// `None` after the end.
    job: Option<Box<Job<F, I>>>,
    sink: Buffer<F::Output, F::Output>,
    ready: VecDeque<Result<F::Output, TaskError>>,
    /// Whether the results of a cancelled call are wanted.
    keeps: bool,
    /// The results of a cancelled call, whose job is gone.
    rest: VecDeque<Result<F::Output, TaskError>>,
}

/// An iterator over the values of a job that ends after the first failure of any kind.
pub struct ValueStream<F: Form, I>(ResultStream<F, I>);

impl<F: Form, I> fmt::Debug for ResultStream<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultStream").field("job", &self.job).finish_non_exhaustive()
    }
}

impl<F: Form, I> fmt::Debug for ValueStream<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Job<F, I> {
    /// The results one by one, in input order or in order of arrival.
    #[must_use]
    pub fn results(mut self, ordered: bool) -> ResultStream<F, I> {
        self.yield_one_by_one();
        ResultStream {
            job: Some(Box::new(self)),
            sink: Collector::new(Each(|_, value| value), Arrivals::new(ordered)),
            ready: VecDeque::new(),
            keeps: ordered,
            rest: VecDeque::new(),
        }
    }

    /// The values one by one, in input order or in order of arrival, up to the first failure.
    #[must_use]
    pub fn stream(self, ordered: bool) -> ValueStream<F, I> {
        ValueStream(ResultStream { keeps: false, ..self.results(ordered) })
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> ResultStream<F, I> {
    /// Whether asking for the next result would not wait for workers.
    pub(crate) fn has_arrived(&mut self) -> bool {
        !self.ready.is_empty() || self.job.as_mut().is_none_or(|job| job.has_arrived())
    }
}

type Outcome<R> = Result<Result<R, TaskError>, Error>;

impl<F: Form, I: Iterator<Item = F::Item>> ResultStream<F, I> {
    /// Ends a cancelled call: keeps the results that there are for `rest`.
    fn end_cancelled(&mut self, mut job: Job<F, I>) -> Result<(), Error> {
        let read = job.rest(&mut self.sink)?;
        self.sink.arrivals.complete(read, |index| Err(TaskError::cancelled(index)));
        self.rest = std::mem::take(&mut self.ready);
        self.rest.extend(self.sink.arrivals.take());
        Ok(())
    }

    /// The next result, or the end: waits for it if `waits`, else returns `Pending` if it is not
    /// there.
    fn advance(&mut self, waits: bool) -> Poll<Option<Outcome<F::Output>>> {
        let mut looked = false;
        loop {
            // Taken out while the user's code may run, so that a panic of it ends the stream.
            let Some(mut job) = self.job.take() else {
                return Poll::Ready(self.rest.pop_front().map(Ok));
            };
            if let Some(result) = self.ready.pop_front() {
                job.yielded(1);
                // Filled first, so that the workers have items while the consumer is busy.
                match job.fill() {
                    Ok(()) => self.job = Some(job),
                    Err(Error::Cancelled) if self.keeps => {
                        if let Err(error) = self.end_cancelled(*job) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                return Poll::Ready(Some(Ok(result)));
            }
            if job.is_over() {
                // Where workers end with their call, that end is waited for, if this may wait.
                let ended = if waits { job.finish() } else { Ok(()) };
                let ended = ended.err().filter(|e| !(self.keeps && matches!(e, Error::Cancelled)));
                return Poll::Ready(ended.map(Err));
            }
            if looked {
                self.job = Some(job);
                return Poll::Pending;
            }
            let sink = &mut self.sink;
            match if waits { job.step(sink) } else { job.pass(true, sink) } {
                Ok(()) => {}
                Err(Error::Cancelled) if self.keeps => {
                    if let Err(error) = self.end_cancelled(*job) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    continue;
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            looked = !waits;
            self.ready.extend(self.sink.arrivals.take());
            self.job = Some(job);
        }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Iterator for ResultStream<F, I> {
    type Item = Outcome<F::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        with_room::<F::Item, F::Output, _>(|| match self.advance(true) {
            Poll::Ready(next) => next,
            Poll::Pending => None, // `advance` has waited
        })
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> ValueStream<F, I> {
    /// The next value if it is there, or the end. Waits for nothing but the input.
    pub(crate) fn poll(&mut self) -> Poll<Option<Result<F::Output, Error>>> {
        self.0.advance(false).map(|next| self.up_to_failure(next))
    }

    /// When a thread has to poll again although nothing arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.0.job.as_ref()?.due()
    }

    /// The token that may end it.
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.0.job.as_ref()?.token()
    }

    fn up_to_failure(
        &mut self,
        next: Option<Outcome<F::Output>>,
    ) -> Option<Result<F::Output, Error>> {
        match next? {
            Ok(Ok(value)) => Some(Ok(value)),
            Ok(Err(task)) => {
                self.0.job = None;
                Some(Err(task.into()))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Iterator for ValueStream<F, I> {
    type Item = Result<F::Output, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        with_room::<F::Item, F::Output, _>(|| {
            let next = self.0.next();
            self.up_to_failure(next)
        })
    }
}
