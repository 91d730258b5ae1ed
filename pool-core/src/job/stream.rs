//! Jobs whose results are taken one by one; nothing runs before the first one is asked for.

use std::{
    collections::VecDeque,
    fmt,
    task::Poll,
    time::{Duration, Instant},
};

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

/// An iterator over the results of a job, which ends after a failure of the pool.
///
/// Dropping it cancels the items that have not run.
pub struct ResultStream<F: Form, I, V> {
    /// `None` after the end.
    job: Option<Box<Job<F, I>>>,
    sink: Buffer<F::Output, V>,
    ready: VecDeque<Result<V, TaskError>>,
    /// Whether it goes on after a task's failure, and keeps the results of a cancelled call.
    goes_on: bool,
    /// The results of a cancelled call, whose job is gone.
    rest: VecDeque<Result<V, TaskError>>,
}

impl<F: Form, I, V> fmt::Debug for ResultStream<F, I, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultStream").field("job", &self.job).finish_non_exhaustive()
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Job<F, I> {
    /// One result per item, in input order or in order of arrival; goes on after a task's failure.
    /// If the call is cancelled meanwhile, items that were read and have not finished yield
    /// [`Cause::Cancelled`](crate::error::Cause::Cancelled).
    #[must_use]
    pub fn results(self, ordered: bool) -> ResultStream<F, I, F::Output> {
        let form = if ordered { "imap_results" } else { "imap_unordered_results" };
        self.one_by_one(form, true, |_, value| value, Arrivals::new(ordered).noting())
    }

    /// One result per item, in order of arrival, each value with its item's position in the input;
    /// otherwise as [`Job::results`].
    #[must_use]
    pub fn results_indexed(self) -> ResultStream<F, I, (u64, F::Output)> {
        let (form, arrivals) = ("imap_unordered_results", Arrivals::new(false).noting());
        self.one_by_one(form, true, |index, value| (index, value), arrivals)
    }

    /// The values, in input order or in order of arrival, up to the first failure of any kind.
    #[must_use]
    pub fn stream(self, ordered: bool) -> ResultStream<F, I, F::Output> {
        let form = if ordered { "imap" } else { "imap_unordered" };
        self.one_by_one(form, false, |_, value| value, Arrivals::new(ordered))
    }

    fn one_by_one<V>(
        mut self,
        form: &'static str,
        goes_on: bool,
        make: fn(u64, F::Output) -> V,
        arrivals: Arrivals<Result<V, TaskError>>,
    ) -> ResultStream<F, I, V> {
        self.call_it(form);
        self.progress().yield_one_by_one();
        ResultStream {
            job: Some(Box::new(self)),
            sink: Collector::new(Each(make), arrivals),
            ready: VecDeque::new(),
            goes_on,
            rest: VecDeque::new(),
        }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>, V> ResultStream<F, I, V> {
    /// Waits for the next result, but not longer than `limit`. Zero: looks whether it is there.
    /// It may send items, and pulls the input for that, which is not part of the limit.
    ///
    /// Where workers end with their call, [`Iterator::next`] waits for that when there is no other
    /// result, and this does so only without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`] when it is not there in time: then it can be waited for again. Otherwise
    /// those of [`Iterator::next`].
    pub fn next_timeout(&mut self, limit: Duration) -> Option<Result<V, Error>> {
        // A limit beyond the range of the clock is none.
        let until = Instant::now().checked_add(limit);
        with_room::<F::Item, F::Output, _>(|| match self.advance(true, until) {
            Poll::Ready(next) => next,
            Poll::Pending => Some(Err(Error::NotReady)),
        })
    }

    /// The next result if it is there, or the end. Waits for nothing but the input.
    pub(crate) fn poll(&mut self) -> Poll<Option<Result<V, Error>>> {
        self.advance(false, None)
    }

    /// When a thread has to poll again although nothing arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.job.as_ref()?.due()
    }

    /// The token that may end it.
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.job.as_ref()?.token()
    }

    /// Ends a cancelled call: keeps the results that there are for `rest`.
    fn end_cancelled(&mut self, mut job: Job<F, I>) -> Result<(), Error> {
        let read = job.rest(&mut self.sink)?;
        self.sink.arrivals.fill_gaps(read, |index| Err(TaskError::cancelled(index)));
        self.rest = std::mem::take(&mut self.ready);
        self.rest.extend(self.sink.arrivals.take());
        Ok(())
    }

    /// The next result, or the end: waits for it if `waits`, but not longer than `until`; `Pending`
    /// if it is not there then.
    fn advance(&mut self, waits: bool, until: Option<Instant>) -> Poll<Option<Result<V, Error>>> {
        let mut polled = false;
        loop {
            // Taken out while the user's code may run, so that a panic of it ends the stream.
            let Some(mut job) = self.job.take() else {
                return Poll::Ready(self.rest.pop_front().map(|result| Ok(result?)));
            };
            if let Some(result) = self.ready.pop_front() {
                if let Err(error) = &result
                    && !self.goes_on
                {
                    job.progress().watch().stopped(error);
                    return Poll::Ready(Some(result.map_err(Error::from)));
                }
                job.progress().yielded(1);
                // Filled first, so that the workers have items while the consumer is busy.
                match job.fill(until) {
                    Ok(()) => self.job = Some(job),
                    Err(Error::Cancelled) if self.goes_on => {
                        if let Err(error) = self.end_cancelled(*job) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                return Poll::Ready(Some(result.map_err(Error::from)));
            }
            if job.is_over() {
                // Where workers end with their call, that end is waited for, if there is no limit.
                let ended = if waits && until.is_none() { job.finish() } else { Ok(()) };
                let kept = |error: &Error| self.goes_on && matches!(error, Error::Cancelled);
                return Poll::Ready(ended.err().filter(|error| !kept(error)).map(Err));
            }
            if polled {
                self.job = Some(job);
                return Poll::Pending;
            }
            let sink = &mut self.sink;
            // The last look is one at everything, after the time is over.
            polled = !waits || until.is_some_and(|until| until <= Instant::now());
            match if polled { job.pass(true, sink) } else { job.step(until, sink) } {
                Ok(()) => {}
                Err(Error::Cancelled) if self.goes_on => {
                    if let Err(error) = self.end_cancelled(*job) {
                        return Poll::Ready(Some(Err(error)));
                    }
                    continue;
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            self.ready.extend(self.sink.arrivals.take());
            self.job = Some(job);
        }
    }
}

impl<F: Form, I: Iterator<Item = F::Item>, V> Iterator for ResultStream<F, I, V> {
    type Item = Result<V, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        with_room::<F::Item, F::Output, _>(|| match self.advance(true, None) {
            Poll::Ready(next) => next,
            Poll::Pending => None, // `advance` has waited
        })
    }
}
