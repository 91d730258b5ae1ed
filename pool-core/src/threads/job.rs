//! One call of a backend: what its caller waits for, and what its chunks report.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    backend::ThreadBackend,
    control::{Control, Flow},
    time_limits::Overdue,
};
use crate::{
    engine::Awaited,
    error::{Cause, Error},
    ids::{ItemIndex, WorkerId},
    mutex::lock,
    panic::drop_quietly,
    reentrancy::Within,
    shared::SharedValue,
};

/// Results of consecutive items of a chunk, up to a failure.
pub(crate) struct Part<R> {
    pub(crate) first: ItemIndex,
    pub(crate) nanos: u64,
    pub(crate) values: Vec<R>,
    /// The failure of the item behind the values, and the worker that ran it.
    pub(crate) failure: Option<(Cause, WorkerId)>,
    /// Whether the chunk has ended with it.
    pub(crate) ends: bool,
}

/// What a call lends until it returns, and so what a caller that gives it up waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lends {
    Nothing,
    /// Memory that only items use: the parts of an array. The types of the form are `'static`, so
    /// a chunk may be queued, or at a hook, when the call has returned: it begins no item then.
    ToItems,
    /// What the types of the form borrow: every chunk has that, from its beginning to its end.
    ToChunks,
}

/// The values that all tasks of a call get, but for the context.
#[derive(Clone, Default)]
pub(crate) struct CallValues {
    /// The value that the pool shared when the call began.
    pub(crate) shared: Option<SharedValue>,
    /// Whether such a task first begins its worker's life, if that has not begun.
    pub(crate) begins: bool,
    /// The tasks and calls inside of which the call was made.
    pub(crate) within: Within,
}

impl<R> From<Overdue> for Part<R> {
    fn from(Overdue { index: first, worker, limit }: Overdue) -> Self {
        let failure = Some((Cause::Timeout { limit }, worker));
        Self { first, nanos: 0, values: Vec::new(), failure, ends: true }
    }
}

/// Drops the parts' values one by one: a second panic while the first one unwinds would abort.
fn drop_parts<R>(parts: impl IntoIterator<Item = Part<R>>) {
    parts.into_iter().flat_map(|part| part.values).for_each(drop_quietly);
}

/// One job of a backend whose tasks return an `R`.
pub(crate) struct ThreadJob<R> {
    pub(super) control: Arc<Control>,
    pub(super) lends: Lends,
    spin: u32,
    /// Locked only while the control's flow is locked.
    parts: Mutex<VecDeque<Part<R>>>,
}

impl<R> ThreadJob<R> {
    /// A job that was opened at the backend.
    pub(crate) fn new(backend: &ThreadBackend, control: Arc<Control>, lends: Lends) -> Arc<Self> {
        let (spin, parts) = (backend.spin, Mutex::new(VecDeque::new()));
        Arc::new(Self { control, lends, spin, parts })
    }

    /// Takes the parts of a chunk that has ended, or was discarded without any. `clocked`: the item
    /// whose clock was started; `goes_on`: the rest is another chunk, already counted.
    pub(super) fn ended(&self, parts: Vec<Part<R>>, clocked: Option<ItemIndex>, goes_on: bool) {
        let control = &*self.control;
        let mut flow = lock(&control.flow);
        if control.is_wanted(&mut flow, clocked) {
            let is_complete = goes_on || parts.last().is_some_and(|part| part.ends);
            flow.arrive(is_complete, parts.iter().any(|part| part.failure.is_some()));
            let mut line = lock(&self.parts);
            line.extend(flow.overdue.drain(..).map(Part::from));
            line.extend(parts);
        } else {
            drop(flow);
            drop_parts(parts);
            flow = lock(&control.flow);
        }
        control.end_chunk(flow);
    }

    /// Takes the parts that are there; if there are none, waits for the number of chunks in
    /// `awaited`, but not for long if that is more than one, and not longer than it says.
    ///
    /// # Errors
    ///
    /// [`Error::Terminated`] or [`Error::Cancelled`] when the job was, [`Error::ForeignProcess`] in
    /// a forked child.
    pub(crate) fn next(&self, awaited: Awaited) -> Result<Vec<Part<R>>, Error> {
        self.taken(self.control.wait_for_parts(self.spin, &awaited)?, awaited.most)
    }

    /// Takes the parts that are there, without waiting.
    ///
    /// # Errors
    ///
    /// Those of [`ThreadJob::next`].
    pub(crate) fn take(&self) -> Result<Vec<Part<R>>, Error> {
        self.taken(self.control.look()?, usize::MAX)
    }

    /// Takes the parts of a cancelled call that have arrived; they lack the items that ended after
    /// the cancellation.
    pub(crate) fn take_rest(&self) -> Vec<Part<R>> {
        if self.control.is_foreign() {
            return Vec::new();
        }
        let mut flow = lock(&self.control.flow);
        (flow.arrived, flow.urgent) = (0, false);
        let mut parts = lock(&self.parts);
        parts.extend(flow.overdue.drain(..).map(Part::from));
        parts.drain(..).collect()
    }

    fn taken(&self, mut flow: MutexGuard<'_, Flow>, most: usize) -> Result<Vec<Part<R>>, Error> {
        flow.check()?;
        let mut parts = lock(&self.parts);
        parts.extend(flow.overdue.drain(..).map(Part::from));
        let count = parts.len().min(most);
        let taken: Vec<_> = parts.drain(..count).collect();
        self.control.note_taken(&mut flow, parts.is_empty());
        drop(parts);
        drop(flow);
        // Checked after they were taken: a worker that saw the token first left out items.
        if self.control.is_revoked() {
            // They stay for a caller that wants the results that there are.
            let _flow = lock(&self.control.flow);
            let mut parts = lock(&self.parts);
            taken.into_iter().rev().for_each(|part| parts.push_front(part));
            return Err(Error::Cancelled);
        }
        Ok(taken)
    }

    /// Gives the job up: running items see the cancellation, the others are dropped. Waits until no
    /// thread uses what the call lends. Does not panic.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.control.is_foreign() {
            // Another thread may have been changing the parts when the process was forked.
            mem::forget(self.clone());
            return;
        }
        let flow = self.control.give_up();
        let parts = mem::take(&mut *lock(&self.parts));
        drop(flow);
        self.control.changed.notify_all();
        drop_parts(parts);
        self.control.wait_for_lent(self.lends);
    }
}
