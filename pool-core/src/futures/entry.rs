//! One future: what its handle and whoever completes it share.
//!
//! Invariant: the outcome is written once; the stage says that it is there after it is.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use super::{desk::Home, lock};
use crate::error::Error;

/// See the module.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) home: Arc<Home>,
    stage: AtomicU8,
    cell: Mutex<Cell<R>>,
}

#[derive(Debug)]
struct Cell<R> {
    outcome: Outcome<R>,
    /// What the result is counted with.
    bytes: u64,
}

#[derive(Debug)]
enum Outcome<R> {
    Pending,
    // (Boxed, since there may be a million of these.)
    Done(Result<R, Box<Error>>),
    Taken,
}

/// How far a future is.
const WAITING: u8 = 0;
/// A worker thread has begun it.
const BEGUN: u8 = 1;
const DONE: u8 = 2;

impl<R> Entry<R> {
    pub(super) fn new(home: Arc<Home>) -> Arc<Self> {
        let cell = Cell { outcome: Outcome::Pending, bytes: 0 };
        Arc::new(Self { home, stage: AtomicU8::new(WAITING), cell: Mutex::new(cell) })
    }

    /// Whether the outcome is there.
    pub(super) fn is_done(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == DONE
    }

    /// A worker thread begins; `false` when it should not any more.
    pub(super) fn begin(&self) -> bool {
        self.leave_waiting(BEGUN)
    }

    fn leave_waiting(&self, to: u8) -> bool {
        self.stage.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Completes a future that nobody has begun; `false` when somebody has.
    pub(super) fn cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        // Nobody else completes what has left WAITING that way.
        let cancelled = self.leave_waiting(BEGUN);
        if cancelled {
            self.complete(Err(Error::Cancelled), 0);
        }
        cancelled
    }

    /// Writes the outcome; a second one is dropped.
    pub(super) fn complete(&self, outcome: Result<R, Error>, bytes: u64) {
        let mut cell = lock(&self.cell);
        if !matches!(cell.outcome, Outcome::Pending) {
            drop(cell);
            return;
        }
        cell.outcome = Outcome::Done(outcome.map_err(Box::new));
        cell.bytes = bytes;
        self.home.budget.add(bytes);
        self.stage.store(DONE, Ordering::SeqCst);
    }

    /// Whether it ended with a value, if it has ended.
    pub(super) fn successful(&self) -> Option<bool> {
        match &lock(&self.cell).outcome {
            Outcome::Pending | Outcome::Taken => None,
            Outcome::Done(outcome) => Some(outcome.is_ok()),
        }
    }

    /// Takes the outcome, if there is one.
    ///
    /// # Errors
    ///
    /// That of the outcome; [`Error::ResultTaken`] the second time.
    pub(super) fn take(&self) -> Option<Result<R, Error>> {
        let mut cell = lock(&self.cell);
        if matches!(cell.outcome, Outcome::Pending) {
            return None;
        }
        let outcome = mem::replace(&mut cell.outcome, Outcome::Taken);
        self.home.budget.remove(mem::take(&mut cell.bytes));
        drop(cell);
        Some(match outcome {
            Outcome::Done(outcome) => outcome.map_err(|error| *error),
            Outcome::Pending | Outcome::Taken => Err(Error::ResultTaken),
        })
    }
}

impl<R> Drop for Entry<R> {
    fn drop(&mut self) {
        self.home
            .budget
            .remove(self.cell.get_mut().map_or_else(|e| e.into_inner().bytes, |c| c.bytes));
    }
}
