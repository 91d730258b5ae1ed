//! Jobs that run to their end in one call.

use pool_ipc::{Wire, rkyv::Archive};

use super::{
    collector::{Collector, Each, Values, bad_result},
    process_transport::RawTransport,
    reorder::Arrivals,
    run::{Job, Sink},
};
use crate::{
    error::{Error, TaskError},
    ids::{ItemIndex, WorkerId},
    reentrancy::{InCall, Inside},
    session::ResultBatch,
    stack::with_room,
    task::Form,
};

/// Reads every result in place.
struct Views<G> {
    read: G,
    failed: Option<TaskError>,
}

impl<R: Wire, G: FnMut(u64, &R::Archived)> Sink<R> for Views<G> {
    type Stop = Error;

    fn batch(&mut self, batch: &ResultBatch, _: &mut RawTransport) {
        let (reader, _) = batch.reader::<R>();
        for index in 0..batch.count {
            let position = batch.first.after(index);
            let read = reader.view(index, |archived| (self.read)(position.number(), archived));
            if let Err(fault) = read {
                self.failed.get_or_insert_with(|| bad_result(batch.worker(), position, fault));
            }
        }
    }

    fn values(&mut self, first: ItemIndex, values: Vec<R>) {
        for (position, value) in first.onwards().zip(values) {
            let bytes = pool_ipc::to_bytes(&value);
            match bytes.as_deref().map(pool_ipc::view_bytes::<R>) {
                Ok(Ok(archived)) => (self.read)(position.number(), archived),
                Ok(Err(fault)) | Err(&fault) => {
                    self.failed.get_or_insert_with(|| bad_result(WorkerId::FIRST, position, fault));
                }
            }
        }
    }

    fn failed(&mut self, error: TaskError) {
        self.failed.get_or_insert(error);
    }

    fn take_stop(&mut self) -> Option<Error> {
        self.failed.take().map(Error::from)
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
        self.call_it(if ordered { "map" } else { "map_unordered" });
        let mut sink = Collector::new(Values, Arrivals::new(ordered));
        sink.arrivals.expect(self.known_len());
        self.run_to_end(&mut sink)?;
        Ok(sink.arrivals.take())
    }

    /// Runs the job; one result per item, in input order. If the call is cancelled meanwhile, one
    /// per item that was read: those of unfinished items are
    /// [`Cause::Cancelled`](crate::error::Cause::Cancelled).
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
        self.call_it("map_results");
        let mut sink = Collector::new(Each(|_, value| value), Arrivals::new(true));
        while !self.is_over() {
            match self.step(None, &mut sink) {
                Err(Error::Cancelled) => {
                    let read = self.rest(&mut sink)?;
                    sink.arrivals.fill_gaps(read, |index| Err(TaskError::cancelled(index)));
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
        self.call_it("for_each_view");
        self.progress().one_at_a_time();
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::View);
        let mut sink = Views { read, failed: None };
        self.run_to_end(&mut sink)
    }
}
