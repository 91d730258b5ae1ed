//! Jobs that run to their end in one call.

use pool_ipc::{Wire, WireFault, rkyv::Archive};

use super::{
    reorder::Arrivals,
    run::{Job, Sink},
    transport::Transport,
};
use crate::{
    error::{Cause, Error, TaskError},
    reentrancy::{InCall, Inside},
    session::ResultBatch,
    stack::with_room,
    task::Form,
};

pub(crate) fn bad_result(worker: u32, index: u64, fault: WireFault) -> TaskError {
    TaskError::new(index, worker, Cause::of_result(fault), 1)
}

/// Collects values; the first failure ends the job.
pub(super) struct Values<R> {
    pub(super) arrivals: Arrivals<R>,
    pub(super) failed: Option<TaskError>,
}

impl<F: Form> Sink<F> for Values<F::Output> {
    fn batch(&mut self, batch: &ResultBatch, transport: &mut Transport<F>) -> usize {
        let failed = &mut self.failed;
        self.arrivals.add(batch.first, |out| {
            transport.decode(
                batch,
                out,
                |value| value,
                |index, fault| {
                    failed.get_or_insert_with(|| bad_result(batch.worker(), index, fault));
                    None
                },
            );
        });
        batch.count
    }

    fn values(&mut self, first: u64, values: Vec<F::Output>) -> usize {
        let count = values.len();
        self.arrivals.add(first, |out| out.extend(values));
        count
    }

    fn failed(&mut self, error: TaskError) -> Result<usize, Error> {
        Err(error.into())
    }
}

/// Collects one result per item.
pub(super) struct Outcomes<R> {
    pub(super) arrivals: Arrivals<Result<R, TaskError>>,
}

impl<R> Outcomes<R> {
    /// Fills in [`Cause::Cancelled`] for those of the `end` items read that have not finished.
    pub(super) fn cancel(&mut self, end: u64) {
        self.arrivals.complete(end, |index| Err(TaskError::cancelled(index)));
    }

    fn add_all<F: Form<Output = R>>(&mut self, batch: &ResultBatch, transport: &mut Transport<F>) {
        self.arrivals.add(batch.first, |out| {
            transport.decode(batch, out, Ok, |index, fault| {
                Some(Err(bad_result(batch.worker(), index, fault)))
            });
        });
    }
}

impl<F: Form> Sink<F> for Outcomes<F::Output> {
    fn batch(&mut self, batch: &ResultBatch, transport: &mut Transport<F>) -> usize {
        self.add_all(batch, transport);
        batch.count
    }

    fn values(&mut self, first: u64, values: Vec<F::Output>) -> usize {
        let count = values.len();
        self.arrivals.add(first, |out| out.extend(values.into_iter().map(Ok)));
        count
    }

    fn failed(&mut self, error: TaskError) -> Result<usize, Error> {
        self.arrivals.add(error.index, |out| out.push(Err(error)));
        Ok(1)
    }
}

/// Reads every result in place.
struct Views<G> {
    read: G,
    failed: Option<TaskError>,
}

impl<F: Form, G: FnMut(u64, &<F::Output as Archive>::Archived)> Sink<F> for Views<G> {
    fn batch(&mut self, batch: &ResultBatch, _: &mut Transport<F>) -> usize {
        let (reader, _) = batch.reader::<F::Output>();
        for index in 0..batch.count {
            let position = batch.first + index as u64;
            let read = reader.view(index, |archived| (self.read)(position, archived));
            if let Err(fault) = read {
                self.failed.get_or_insert_with(|| bad_result(batch.worker(), position, fault));
            }
        }
        batch.count
    }

    fn values(&mut self, first: u64, values: Vec<F::Output>) -> usize {
        let count = values.len();
        for (position, value) in (first..).zip(values) {
            let bytes = pool_ipc::to_bytes(&value);
            match bytes.as_deref().map(pool_ipc::view_bytes::<F::Output>) {
                Ok(Ok(archived)) => (self.read)(position, archived),
                Ok(Err(fault)) | Err(&fault) => {
                    self.failed.get_or_insert_with(|| bad_result(0, position, fault));
                }
            }
        }
        count
    }

    fn failed(&mut self, error: TaskError) -> Result<usize, Error> {
        Err(error.into())
    }
}

impl<F: Form, I: Iterator<Item = F::Item>> Job<F, I> {
    /// Runs the job; the values in input order, or in order of arrival.
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool.
    pub fn values(self, ordered: bool) -> Result<Vec<F::Output>, Error> {
        with_room::<F::Item, F::Output, _>(move || self.values_here(ordered))
    }

    fn values_here(mut self, ordered: bool) -> Result<Vec<F::Output>, Error> {
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::Call);
        let mut sink = Values { arrivals: Arrivals::new(ordered), failed: None };
        sink.arrivals.expect(self.known_len());
        while !self.is_over() {
            self.step(&mut sink)?;
            if let Some(error) = sink.failed.take() {
                return Err(error.into());
            }
        }
        self.finish()?;
        Ok(sink.arrivals.take())
    }

    /// Runs the job; one result per item, in input order. If the call is cancelled meanwhile, one
    /// per item that was read: those of unfinished items are [`Cause::Cancelled`].
    ///
    /// # Errors
    ///
    /// The first failure of the pool; failures of tasks are among the results.
    pub fn outcomes(self) -> Result<Vec<Result<F::Output, TaskError>>, Error> {
        with_room::<F::Item, F::Output, _>(move || self.outcomes_here())
    }

    fn outcomes_here(mut self) -> Result<Vec<Result<F::Output, TaskError>>, Error> {
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::Call);
        let mut sink = Outcomes { arrivals: Arrivals::new(true) };
        while !self.is_over() {
            match self.step(&mut sink) {
                Err(Error::Cancelled) => {
                    let read = self.rest(&mut sink)?;
                    sink.cancel(read);
                    return Ok(sink.arrivals.take());
                }
                step => step?,
            }
        }
        match self.finish() {
            // All results are there.
            Ok(()) | Err(Error::Cancelled) => Ok(sink.arrivals.take()),
            Err(error) => Err(error),
        }
    }

    /// Runs the job; `read` gets each result's position and archive, in place, in order of arrival.
    ///
    /// # Errors
    ///
    /// The first failure, of a task or of the pool.
    pub fn views<G>(self, read: G) -> Result<(), Error>
    where
        F::Output: Wire,
        G: FnMut(u64, &<F::Output as Archive>::Archived),
    {
        with_room::<F::Item, F::Output, _>(move || self.views_here(read))
    }

    fn views_here<G>(mut self, read: G) -> Result<(), Error>
    where
        F::Output: Wire,
        G: FnMut(u64, &<F::Output as Archive>::Archived),
    {
        self.one_at_a_time();
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::View);
        let mut sink = Views { read, failed: None };
        while !self.is_over() {
            self.step(&mut sink)?;
            if let Some(error) = sink.failed.take() {
                return Err(error.into());
            }
        }
        self.finish()
    }
}
