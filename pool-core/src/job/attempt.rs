//! Jobs whose tasks answer with a `Result`: the first typed error ends them.

use std::fmt;

use pool_ipc::WireFault;

use super::{
    arrivals::Arrivals,
    finish::bad_result,
    in_call::{InCall, Inside},
    lane::Lane,
    run::{Job, Sink},
};
use crate::{
    error::{Error, TaskError},
    session::ResultBatch,
    stack::with_room,
    task::Form,
};

/// Why a call over tasks that may fail with an `E` of their own has ended.
///
/// These two variants are all, also in later versions. Its `Debug` is that of [`Error`]: the text,
/// with the backtrace of a panic below it.
pub enum TryError<E> {
    /// A task answered with an error of its own. The pool is usable.
    Task {
        /// Which item of the input: its position, from 0.
        index: u64,
        /// What the task answered.
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
            // An `E` need not be an error itself; its text is in this one's.
            Self::Task { .. } => None,
            Self::Pool(error) => error.source(),
        }
    }
}

/// Collects values; the first failure of any kind ends the job.
struct Attempts<R, E> {
    arrivals: Arrivals<R>,
    ended: Option<TryError<E>>,
    /// Kept for its room.
    decoded: Vec<Result<Result<R, E>, WireFault>>,
}

impl<R, E> Attempts<R, E> {
    /// Takes the answers from position `first` on; some may not have decoded.
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
    fn batch(&mut self, batch: &ResultBatch, lane: &mut Lane<F>) -> usize {
        let mut decoded = std::mem::take(&mut self.decoded);
        lane.decode(batch, &mut decoded, Ok, |_, fault| Some(Err(fault)));
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
    /// Runs the job; the values of all tasks in input order, or as they come.
    ///
    /// # Errors
    ///
    /// The first that arrives: a task's own, or a failure of a task or of the pool.
    pub fn attempts(self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        with_room::<F::Item, F::Output, _>(move || self.attempts_here(ordered))
    }

    fn attempts_here(mut self, ordered: bool) -> Result<Vec<R>, TryError<E>> {
        // Until all is dropped that arrived: that may run the user's code, too.
        let _inside = InCall::enter(self.crew(), Inside::Call);
        let mut sink =
            Attempts { arrivals: Arrivals::new(ordered), ended: None, decoded: Vec::new() };
        sink.arrivals.expect(self.known_len());
        while !self.is_over() {
            let step = self.step(&mut sink);
            // What arrived before a failure did.
            if let Some(error) = sink.ended.take() {
                return Err(error);
            }
            step?;
        }
        self.finish()?;
        Ok(sink.arrivals.take())
    }
}
