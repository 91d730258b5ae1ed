//! Counts what a call that is recorded does.
//!
//! Invariant: a call is recorded from when it first sends until its job is dropped; one that is
//! not recorded costs a look at one word for each arrival.

use std::{mem, sync::Arc, thread};

use crate::{
    calls::{CallList, CallParts, Outcome, WatchedCall},
    error::{Error, TaskError},
    progress::{ProgressOption, Shown},
};

/// How a call is to be recorded.
#[derive(Debug, Clone)]
pub(crate) struct WatchPlan {
    parts: CallParts,
    list: Arc<CallList>,
    progress: Option<ProgressOption>,
}

impl PartialEq for WatchPlan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.list, &other.list)
    }
}

impl WatchPlan {
    pub(super) fn new(
        parts: CallParts,
        list: &Arc<CallList>,
        progress: Option<ProgressOption>,
    ) -> Self {
        Self { parts, list: list.clone(), progress }
    }
}

/// Why a call ends early, for those who watch it.
pub(super) trait Explained {
    fn outcome(&self) -> Outcome;
}

impl Explained for Error {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Cancelled => Outcome::Cancelled,
            error => Outcome::Failed(error.to_string()),
        }
    }
}

impl Explained for TaskError {
    fn outcome(&self) -> Outcome {
        Outcome::Failed(self.to_string())
    }
}

/// The record of one call.
#[derive(Debug)]
pub(super) struct Watch(Option<Box<State>>);

#[derive(Debug)]
enum State {
    /// It has not begun.
    Waits(WatchPlan),
    Runs(Arc<WatchedCall>, Arc<CallList>, Option<Shown>),
    Over,
}

impl Watch {
    pub(super) fn new(plan: Option<&WatchPlan>, total: Option<u64>) -> Self {
        Self(plan.map(|plan| {
            let mut plan = plan.clone();
            plan.parts.total = total;
            Box::new(State::Waits(plan))
        }))
    }

    /// The call, while it goes on.
    #[inline]
    fn call(&self) -> Option<&Arc<WatchedCall>> {
        match self.0.as_deref() {
            Some(State::Runs(call, ..)) => Some(call),
            _ => None,
        }
    }

    /// Names the method that runs the call, unless it was named before.
    pub(super) fn name(&mut self, form: &'static str) {
        if let Some(State::Waits(plan)) = self.0.as_deref_mut()
            && plan.parts.form.is_empty()
        {
            plan.parts.form = form;
        }
    }

    /// Records the call, unless it was recorded before; the call, if it begins now.
    #[inline]
    pub(super) fn begin(&mut self) -> Option<&WatchedCall> {
        self.0.as_deref_mut().and_then(begin)
    }

    /// Counts items that were read.
    #[inline]
    pub(super) fn read(&self, items: usize) {
        if let Some(call) = self.call() {
            call.add_read(items as u64);
        }
    }

    /// All items were read.
    #[inline]
    pub(super) fn read_all(&self) {
        if let Some(call) = self.call() {
            call.read_all();
        }
    }

    /// Counts items that have ended.
    #[inline]
    pub(super) fn done(&self, items: usize) {
        if let Some(call) = self.call() {
            call.add_done(items as u64);
        }
    }

    /// Notes the failure of an item.
    pub(super) fn failed(&self, error: &TaskError) {
        if let Some(call) = self.call() {
            call.add_failed(error);
        }
    }

    /// Notes why the call ends early; the first reason counts.
    pub(super) fn stopped(&self, why: &impl Explained) {
        if let Some(call) = self.call() {
            call.end(|| why.outcome());
        }
    }

    /// The call has ended.
    pub(super) fn end(&mut self, is_over: bool) {
        if let Some(state) = &mut self.0 {
            end(state, is_over);
        }
    }
}

fn begin(state: &mut State) -> Option<&WatchedCall> {
    if let State::Waits(_) = state
        && let State::Waits(plan) = mem::replace(state, State::Over)
    {
        let call = Arc::new(WatchedCall::new(plan.parts));
        plan.list.begin(&call);
        let shown = plan.progress.and_then(|progress| Shown::begin(&call, &progress));
        *state = State::Runs(call, plan.list, shown);
        let State::Runs(call, ..) = state else { return None };
        return Some(call);
    }
    None
}

fn end(state: &mut State, is_over: bool) {
    let State::Runs(call, list, shown) = mem::replace(state, State::Over) else { return };
    call.end_looks();
    call.end(|| match is_over {
        true => Outcome::Done,
        false if thread::panicking() => Outcome::Failed("the calling thread panicked".to_string()),
        false => Outcome::Cancelled,
    });
    list.end(&call);
    // Which waits until the end is shown.
    drop(shown);
}
