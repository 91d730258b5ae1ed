//! A job that runs to its end without a caller: bit by bit, in any thread that works at the queue.

use std::time::Instant;

use pool_ipc::{Encoder, Wire, batch};

use super::{
    collector::{Collector, Values},
    process_transport::RawTransport,
    reorder::Arrivals,
    run::{Job, Sink},
};
use crate::{
    cancel::CancelToken,
    error::{Error, TaskError},
    ids::ItemIndex,
    reentrancy::{InCall, Inside},
    session::ResultBatch,
    stack::with_room,
    task::Form,
};

/// A map that runs in the background and collects its values.
pub(crate) struct BackgroundJob<F: Form, I> {
    job: Job<F, I>,
    sink: Weighed<F::Output>,
}

/// Values in input order, and the bytes that they count as.
struct Weighed<R> {
    values: Collector<R, Values>,
    bytes: u64,
    /// Whether values that are not encoded are measured.
    exact: bool,
}

/// Values, and the bytes that they count as.
pub(crate) type Counted<R> = (Vec<R>, u64);

/// Bytes that a value counts as which is not encoded; `exact`: as many as if it were.
pub(crate) fn weight_of<R: Wire>(value: &R, exact: bool) -> u64 {
    let bytes = if exact && !batch::is_fixed::<R>() {
        batch::len_of_one(value, &mut Encoder::new()).unwrap_or(0)
    } else {
        size_of::<R>()
    };
    bytes as u64
}

impl<R: Wire> Sink<R> for Weighed<R> {
    type Stop = Error;

    fn batch(&mut self, batch: &ResultBatch, raw: &mut RawTransport) {
        let (reader, _) = batch.reader::<R>();
        let extent = |index| reader.extent(index).unwrap_or((0, 0));
        let last = batch.count.saturating_sub(1);
        self.bytes += extent(last).1.saturating_sub(extent(0).0) as u64;
        self.values.batch(batch, raw);
    }

    fn values(&mut self, first: ItemIndex, values: Vec<R>) {
        self.bytes += values.iter().map(|value| weight_of(value, self.exact)).sum::<u64>();
        self.values.values(first, values);
    }

    fn failed(&mut self, error: TaskError) {
        self.values.failed(error);
    }

    fn take_stop(&mut self) -> Option<Error> {
        self.values.take_stop()
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> BackgroundJob<F, I> {
    /// `exact`: values that are not encoded are measured as if they were.
    pub(crate) fn new(job: Job<F, I>, exact: bool) -> Self {
        let mut values = Collector::new(Values, Arrivals::new(true));
        values.arrivals.expect(job.known_len());
        Self { job, sink: Weighed { values, bytes: 0, exact } }
    }

    /// Goes as far as it can without waiting. After the last item: the values, and the bytes that
    /// they count as.
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool: the job is over.
    pub(crate) fn advance(&mut self) -> Result<Option<Counted<F::Output>>, Error> {
        with_room::<F::Item, F::Output, _>(|| self.go_on_here())
    }

    fn go_on_here(&mut self) -> Result<Option<Counted<F::Output>>, Error> {
        let _inside = InCall::enter(self.job.backend(), Inside::Call);
        let passed = self.job.pass(false, &mut self.sink);
        if let Some(error) = self.sink.take_stop() {
            self.job.progress().watch().stopped(&error);
            return Err(error);
        }
        passed?;
        Ok(self.job.is_over().then(|| (self.sink.values.arrivals.take(), self.sink.bytes)))
    }

    /// When a thread has to look at it although nothing arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.job.due()
    }

    /// The token that may end it.
    pub(crate) fn token(&self) -> Option<&CancelToken> {
        self.job.token()
    }

    /// The input of a job that has not begun.
    pub(crate) fn into_items(self) -> I {
        self.job.into_items()
    }
}
