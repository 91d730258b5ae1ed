//! Takes the outcomes of items out of what arrives: has results decoded (`process_transport.rs`),
//! and puts them into order.
//!
//! Invariant: of each item that has ended one outcome is kept, up to the first one that ends the
//! job.

use pool_ipc::{Wire, WireFault};

use super::{process_transport::RawTransport, reorder::Arrivals, run::Sink};
use crate::{
    error::{Cause, Error, TaskError},
    ids::{ItemIndex, WorkerId},
    session::ResultBatch,
};

/// (Out of line, so that the loop over good results stays small.)
#[cold]
#[inline(never)]
pub(crate) fn bad_result(worker: WorkerId, index: ItemIndex, fault: WireFault) -> TaskError {
    TaskError::new(index, worker, Cause::of_result(fault), 1)
}

/// What a caller keeps of an item's outcome.
pub(super) trait Keep<R> {
    type Kept;
    /// Why the job ends.
    type Stop;

    /// What is kept of the item at `index`.
    ///
    /// # Errors
    ///
    /// The job ends with it.
    fn keep(
        &self,
        index: ItemIndex,
        outcome: Result<R, TaskError>,
    ) -> Result<Self::Kept, Self::Stop>;

    /// Appends what is kept of the items from position `first` on; `stopped` gets the first reason
    /// why the job ends.
    fn keep_all(
        &self,
        first: ItemIndex,
        values: Vec<R>,
        out: &mut Vec<Self::Kept>,
        stopped: &mut Option<Self::Stop>,
    ) {
        let kept = |(index, value)| kept(self, stopped, index, Ok(value));
        out.extend(first.onwards().zip(values).filter_map(kept));
    }
}

/// Keeps values; the first failure ends the job.
pub(super) struct Values;

impl<R> Keep<R> for Values {
    type Kept = R;
    type Stop = Error;

    #[inline]
    fn keep(&self, _: ItemIndex, outcome: Result<R, TaskError>) -> Result<R, Error> {
        Ok(outcome?)
    }

    fn keep_all(&self, _: ItemIndex, values: Vec<R>, out: &mut Vec<R>, _: &mut Option<Error>) {
        out.extend(values); // (at once)
    }
}

/// Keeps one result per item, with what the function makes of an item's index and its value.
pub(super) struct Each<M>(pub(super) M);

impl<R, T, M: Fn(u64, R) -> T> Keep<R> for Each<M> {
    type Kept = Result<T, TaskError>;
    type Stop = Error;

    #[inline]
    fn keep(&self, index: ItemIndex, outcome: Result<R, TaskError>) -> Result<Self::Kept, Error> {
        Ok(outcome.map(|value| (self.0)(index.number(), value)))
    }
}

/// Collects what is kept of each item's outcome.
pub(super) struct Collector<R, K: Keep<R>> {
    keep: K,
    pub(super) arrivals: Arrivals<K::Kept>,
    stopped: Option<K::Stop>,
}

impl<R, K: Keep<R>> Collector<R, K> {
    pub(super) fn new(keep: K, arrivals: Arrivals<K::Kept>) -> Self {
        Self { keep, arrivals, stopped: None }
    }
}

/// What is kept of an outcome; `None`: it ends the job.
#[inline]
fn kept<R, K: Keep<R> + ?Sized>(
    keep: &K,
    stopped: &mut Option<K::Stop>,
    index: ItemIndex,
    outcome: Result<R, TaskError>,
) -> Option<K::Kept> {
    match keep.keep(index, outcome) {
        Ok(kept) => Some(kept),
        Err(stop) => {
            stopped.get_or_insert(stop);
            None
        }
    }
}

impl<R: Wire, K: Keep<R>> Sink<R> for Collector<R, K> {
    type Stop = K::Stop;

    fn batch(&mut self, batch: &ResultBatch, raw: &mut RawTransport) {
        let Self { keep, arrivals, stopped } = self;
        arrivals.add(batch.first, |out| {
            raw.decode(batch, out, |index, value| {
                let outcome = value.map_err(|fault| bad_result(batch.worker(), index, fault));
                kept(keep, stopped, index, outcome)
            });
        });
    }

    fn values(&mut self, first: ItemIndex, values: Vec<R>) {
        let Self { keep, arrivals, stopped } = self;
        arrivals.add(first, |out| keep.keep_all(first, values, out, stopped));
    }

    fn failed(&mut self, error: TaskError) {
        let Self { keep, arrivals, stopped } = self;
        let index = error.index;
        arrivals.add(index, |out| out.extend(kept(keep, stopped, index, Err(error))));
    }

    fn take_stop(&mut self) -> Option<K::Stop> {
        self.stopped.take()
    }
}
