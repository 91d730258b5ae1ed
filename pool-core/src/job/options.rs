//! The options of a call.

use std::{panic::Location, sync::Arc, time::Duration};

use super::{target::Target, watch::WatchPlan};
use crate::{
    calls::{CallList, CallParts, Function},
    cancel::CancelToken,
    engine::SizingRules,
    error::Error,
    ids::WorkerId,
    progress::ProgressOption,
};

/// The options of a call.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// Items per chunk, at least 1; fractions are carried over from chunk to chunk.
    pub chunk_size: Option<f64>,
    /// Chunks for the whole input, at least 1; chunks of 4 items if its length is not known.
    pub n_splits: Option<usize>,
    /// How many items may be under way at most; at least 1.
    pub max_tasks_active: Option<usize>,
    /// How many items of the input are used; a shorter input just ends.
    pub iterable_len: Option<usize>,
    /// How long one item may take, more than 0; `None`: the pool's setting.
    pub task_timeout: Option<Duration>,
    /// How long an item that is over its limit may go on after the worker is notified, before that
    /// worker is killed; `None`: the pool's setting.
    pub timeout_grace: Option<Duration>,
    /// How often an item may be tried again after its worker died or was killed at the item's
    /// limit.
    pub retries: u32,
    /// Whether chunk k goes to worker k modulo their number, whether or not that worker is free;
    /// `None`: the pool's setting.
    pub order_tasks: Option<bool>,
    /// The only worker to run the items.
    pub worker: Option<u32>,
    /// A token that ends the call; a token that was pulled before refuses it.
    pub cancel: Option<CancelToken>,
    /// How long after the call is cancelled or dropped its running items are killed, with their
    /// workers; `None`: never.
    pub kill_running: Option<Duration>,
    /// How the call shows its progress.
    pub progress: Option<ProgressOption>,
    /// Where the call was made, for those who watch it.
    pub caller: Option<&'static Location<'static>>,
    /// The name of the method that runs the call, where that says more than the job does.
    pub form: &'static str,
    /// How the call is recorded; set by the pool.
    pub(crate) watch: Option<WatchPlan>,
}

/// How a job is opened, and how its results are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// By a thread that waits while the pool is being stopped.
    Waits,
    /// Likewise, and its results are taken when the consumer likes: a stop does not wait for it.
    Lazy,
    /// By a thread that does not wait.
    AtOnce,
}

impl JobOptions {
    /// Refuses invalid values, and a call that is already cancelled.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::InvalidInput(text));
        match self.chunk_size {
            Some(size) if !(size >= 1.0 && size.is_finite()) => {
                return refuse(format!("chunk_size must be at least 1, got {size}"));
            }
            _ => {}
        }
        if self.n_splits == Some(0) {
            return refuse("n_splits must be at least 1, got 0".to_string());
        }
        check_limit("task_timeout", self.task_timeout)?;
        if self.max_tasks_active == Some(0) {
            return refuse("max_tasks_active must be at least 1, got 0".to_string());
        }
        if let Some(progress) = &self.progress {
            progress.check()?;
        }
        check_cancelled(self.cancel.as_ref())
    }

    /// How a call of the function with these options is recorded in the list.
    pub(crate) fn watch_plan(&self, list: &Arc<CallList>, function: Function) -> WatchPlan {
        let (caller, token) = (self.caller, self.cancel.clone());
        let parts = CallParts { function, caller, form: self.form, total: None, token };
        WatchPlan::new(parts, list, self.progress.clone())
    }

    pub(super) fn sizing(&self) -> SizingRules {
        SizingRules { chunk_size: self.chunk_size, n_splits: self.n_splits }
    }

    /// Which of `workers` workers the chunks go to.
    pub(crate) fn target(&self, workers: usize) -> Target {
        match self.worker {
            Some(worker) => Target::Only(WorkerId::new(worker)),
            None if self.order_tasks == Some(true) => {
                Target::RoundRobin { next: 0, workers: workers as u32 }
            }
            None => Target::Any,
        }
    }

    /// The number of items, if it is known.
    pub(super) fn len_of(&self, items: &impl Iterator) -> Option<u64> {
        let (low, high) = items.size_hint();
        let known = self.iterable_len.or_else(|| high.filter(|high| *high == low));
        known.map(|len| len as u64)
    }
}

/// Refuses a limit of zero.
pub(crate) fn check_limit(name: &str, limit: Option<Duration>) -> Result<(), Error> {
    match limit {
        Some(limit) if limit.is_zero() => {
            Err(Error::InvalidInput(format!("{name} must be more than 0")))
        }
        _ => Ok(()),
    }
}

/// Fails if the call is cancelled.
#[inline]
pub(super) fn check_cancelled(token: Option<&CancelToken>) -> Result<(), Error> {
    if token.is_some_and(CancelToken::is_cancelled) { Err(Error::Cancelled) } else { Ok(()) }
}
