//! Jobs whose tasks return a `Result`: the first typed error ends them.

use std::fmt;

use pool_ipc::WireFault;

use super::{
    collect::bad_result,
    reorder::Arrivals,
    run::{Job, Sink},
    transport::Transport,
};
use crate::{
    error::{Error, TaskError},
    reentrancy::{InCall, Inside},
    session::ResultBatch,
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

/// Collects values; the first failure of any kind ends the job.
struct Attempts<R, E> {
    arrivals: Arrivals<R>,
    ended: Option<TryError<E>>,
    /// Kept for its capacity.
    decoded: Vec<Result<Result<R, E>, WireFault>>,
}

impl<R, E> Attempts<R, E> {
    /// Takes the answers from position `first` on; some may have failed to decode.
    fn add(
        &mut self,
        worker: impl Fn() -> u32,
        first: u64,
        answers: impl Iterator<Item = Result<Result<R, E>, WireFault>>,
    ) {
        let ended = &mut self.ended;
        self.arrivals.add(first, |out| {
            for (index, answer) in (first..).zip(answers) {
                let error = match answer {
                    Ok(Ok(value)) => {
                        out.push(value);
                        continue;
                    }
                    Ok(Err(error)) => TryError::Task { index, error },
                    Err(fault) => TryError::Pool(bad_result(worker(), index, fault).into()),
                };
                ended.get_or_insert(error);
                break;
            }
        });
    }
}

impl<R, E, F: Form<Output = Result<R, E>>> Sink<F> for Attempts<R, E> {
    fn batch(&mut self, batch: &ResultBatch, transport: &mut Transport<F>) -> usize {
        let mut decoded = std::mem::take(&mut self.decoded);
        transport.decode(batch, &mut decoded, Ok, |_, fault| Some(Err(fault)));
        self.add(|| batch.worker(), batch.first, decoded.drain(..));
        self.decoded = decoded;
        batch.count
    }

    fn values(&mut self, first: u64, values: Vec<Result<R, E>>) -> usize {
        let count = values.len();
        self.add(|| 0, first, values.into_iter().map(Ok));
        count
    }

    fn failed(&mut self, error: TaskError) -> Result<usize, Error> {
        Err(error.into())
    }
}

impl<F: Form<Output = Result<R, E>>, I: Iterator<Item = F::Item>, R, E> Job<F, I> {
    /// Runs the job; the values of all tasks in input order, or in order of arrival.
    ///
    /// # Errors
    ///
    /// The first that arrives: a task's own, or a failure of a task or of the pool.
    pub fn attempts(self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        with_room::<F::Item, F::Output, _>(move || self.attempts_here(ordered))
    }

    fn attempts_here(mut self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        // Entered until everything that arrived is dropped: drops may run the user's code, too.
        let _inside = InCall::enter(self.backend(), Inside::Call);
        let mut sink =
            Attempts { arrivals: Arrivals::new(ordered), ended: None, decoded: Vec::new() };
        sink.arrivals.expect(self.known_len());
        while !self.is_over() {
            let step = self.step(&mut sink);
            // An error that arrived before a failure of the pool comes first.
            if let Some(error) = sink.ended.take() {
                return Err(error);
            }
            step?;
        }
        self.finish()?;
        Ok(sink.arrivals.take())
    }
}
