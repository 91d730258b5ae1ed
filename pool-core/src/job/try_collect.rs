//! Jobs whose tasks return a `Result`: the first typed error ends them.

use std::fmt;

use pool_ipc::Wire;

use super::{
    collector::{Collector, Keep},
    reorder::Arrivals,
    run::Job,
    watch::Explained,
};
use crate::{
    calls::Outcome,
    error::{Error, TaskError},
    ids::ItemIndex,
    reentrancy::{InCall, Inside},
    stack::with_room,
    task::Form,
};

/// Why a call has ended whose tasks return errors of a type `E`.
///
/// These two variants are all, also in later versions. Its `Debug` is that of [`Error`]: the text,
/// with the backtrace of a panic below it.
pub enum TryError<E> {
    /// A task returned an error of its own. The pool is usable.
    Task {
        /// The item's position in the input, from 0.
        index: u64,
        /// The task's error.
        error: E,
    },
    /// A task panicked or lost its worker, or the pool failed.
    Pool(Error),
}

impl<E> From<Error> for TryError<E> {
    fn from(error: Error) -> Self {
        Self::Pool(error)
    }
}

impl<E: fmt::Display> fmt::Display for TryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task { index, error } => write!(f, "task {index}: {error}"),
            Self::Pool(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for TryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task { index, error } => write!(f, "task {index}: {error:?}"),
            Self::Pool(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for TryError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // An `E` need not be an error type; its text is in this error's.
            Self::Task { .. } => None,
            Self::Pool(error) => error.source(),
        }
    }
}

impl<E> Explained for TryError<E> {
    fn outcome(&self) -> Outcome {
        match self {
            // An `E` need not have a text.
            Self::Task { index, .. } => Outcome::Failed(format!("item {index} returned an error")),
            Self::Pool(error) => error.outcome(),
        }
    }
}

/// Keeps the values of tasks that return a `Result`; the first failure of any kind ends the job.
pub(super) struct TryValues;

impl<R, E> Keep<Result<R, E>> for TryValues {
    type Kept = R;
    type Stop = TryError<E>;

    #[inline]
    fn keep(
        &self,
        index: ItemIndex,
        outcome: Result<Result<R, E>, TaskError>,
    ) -> Result<R, TryError<E>> {
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(TryError::Task { index: index.number(), error }),
            Err(task) => Err(TryError::Pool(task.into())),
        }
    }
}

impl<F, I, R, E> Job<F, I>
where
    F: Form<Output = Result<R, E>>,
    I: Iterator<Item = F::Item>,
    Result<R, E>: Wire,
{
    /// Runs the job; the values of all tasks in input order, or in order of arrival.
    ///
    /// # Errors
    ///
    /// The first that arrives: a task's own, or a failure of a task or of the pool.
    pub fn try_collect(self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        with_room::<F::Item, F::Output, _>(move || self.try_collect_here(ordered))
    }

    fn try_collect_here(mut self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::Call);
        self.call_it("try_map");
        let mut sink = Collector::new(TryValues, Arrivals::new(ordered));
        sink.arrivals.expect(self.known_len());
        self.run_to_end(&mut sink)?;
        Ok(sink.arrivals.take())
    }
}
