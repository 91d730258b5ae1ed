//! One call of a backend: what its caller waits for, and what its chunks report.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    backend::ThreadBackend,
    control::{Control, Flow},
    time_limits::Activity,
};
use crate::{
    cancel::CancelToken,
    engine::Awaited,
    error::{Cause, Error, Stage},
    ids::{ItemIndex, WorkerId},
    mutex::lock,
    os,
    panic::drop_quietly,
    reentrancy::Within,
    shared::SharedValue,
    task::Form,
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

/// The values that all tasks of a call get.
pub(crate) struct CallValues<F: Form> {
    pub(crate) context: Arc<F::Context>,
    /// The value that the pool shared when the call began.
    pub(crate) shared: Option<SharedValue>,
    /// Whether such a task first begins its worker's life, if that has not begun.
    pub(crate) begins: bool,
    /// The tasks and calls inside of which the call was made.
    pub(crate) within: Within,
}

impl<F: Form> Clone for CallValues<F> {
    fn clone(&self) -> Self {
        let Self { context, shared, begins, within } = self;
        let (context, shared, within) = (context.clone(), shared.clone(), within.clone());
        Self { context, shared, begins: *begins, within }
    }
}

/// Drops the parts' values one by one: a second panic while the first one unwinds would abort.
fn drop_parts<R>(parts: impl IntoIterator<Item = Part<R>>) {
    parts.into_iter().flat_map(|part| part.values).for_each(drop_quietly);
}

/// One job of a backend.
pub(crate) struct ThreadJob<F: Form> {
    pub(super) control: Arc<Control>,
    pub(super) lends: Lends,
    spin: u32,
    /// Locked only while the control's flow is locked.
    parts: Mutex<VecDeque<Part<F::Output>>>,
}

impl<F: Form> ThreadJob<F> {
    pub(crate) fn open(
        backend: &ThreadBackend,
        token: Option<CancelToken>,
        limit: Option<Duration>,
        lazy: bool,
        lends: Lends,
    ) -> Result<Arc<Self>, Error> {
        let control = backend.open_job(token, limit, lazy)?;
        let (spin, parts) = (backend.spin, Mutex::new(VecDeque::new()));
        Ok(Arc::new(Self { control, lends, spin, parts }))
    }

    /// Counts a chunk that is about to be sent; returns how many were under way before.
    pub(super) fn begin_chunk(&self) -> usize {
        let mut flow = lock(&self.control.flow);
        let before = flow.under_way;
        flow.under_way = before + 1;
        drop(flow);
        if before == 0 {
            self.control.busy.begin();
        }
        before
    }

    /// A chunk begins items that use what the call lends; `false`: the job is over, and they must
    /// not.
    pub(super) fn begin_items(&self) -> bool {
        let mut flow = lock(&self.control.flow);
        flow.in_items += usize::from(!flow.over);
        !flow.over
    }

    /// A chunk has run its items.
    pub(super) fn end_items(&self) {
        let mut flow = lock(&self.control.flow);
        flow.in_items -= 1;
        let awaited = flow.over && flow.in_items == 0;
        drop(flow);
        if awaited {
            self.control.wake();
        }
    }

    /// Fails the items that are overdue; their threads go on, and their results are dropped.
    fn end_overdue(&self, flow: &mut Flow) {
        let control = &*self.control;
        if flow.deadlines.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(what) = flow.deadlines.take_overdue(now) {
            let (first, worker, limit) = match (what, control.limit) {
                (Activity::Item { index, worker }, Some(limit)) => (index, worker, limit),
                (Activity::Item { .. }, None) => continue,
                (Activity::State(worker), _) => {
                    control.fail_overdue(flow, Stage::Init, control.init_limit, worker);
                    continue;
                }
                (Activity::Exit(worker), _) => {
                    if control.exiting.give_up(worker) {
                        control.fail_overdue(flow, Stage::Exit, control.exiting.limit(), worker);
                    }
                    continue;
                }
            };
            let failure = Some((Cause::Timeout { limit }, worker));
            let part = Part { first, nanos: 0, values: Vec::new(), failure, ends: true };
            lock(&self.parts).push_back(part);
            (flow.arrived, flow.urgent) = (flow.arrived + 1, true);
        }
        control.arrived.store(flow.arrived, Ordering::Relaxed);
    }

    /// Takes the parts of a chunk that has ended, or was discarded without any. `clocked`: the item
    /// whose clock was started; `goes_on`: the rest is another chunk, already counted.
    pub(super) fn ended(
        &self,
        parts: Vec<Part<F::Output>>,
        clocked: Option<ItemIndex>,
        goes_on: bool,
    ) {
        let control = &*self.control;
        let mut flow = lock(&control.flow);
        // A task that sees that its time is over may return before its caller has looked.
        self.end_overdue(&mut flow);
        let overdue = clocked.is_some_and(|clocked| {
            let is_it =
                |what: &Activity| matches!(what, Activity::Item { index, .. } if *index == clocked);
            !flow.deadlines.stop(is_it)
        });
        if flow.over || overdue {
            drop(flow);
            drop_parts(parts);
            flow = lock(&control.flow);
        } else {
            // The chunk was discarded, and no thread runs the rest: the caller must not wait for
            // it.
            flow.terminated |= !goes_on && !parts.last().is_some_and(|part| part.ends);
            flow.urgent |= parts.iter().any(|part| part.failure.is_some());
            flow.arrived += 1;
            lock(&self.parts).extend(parts);
        }
        flow.under_way -= 1;
        let idle = flow.under_way == 0;
        let caller = flow.background || flow.wanted.is_some_and(|wanted| flow.is_enough(wanted));
        let others = flow.terminated || (flow.over && flow.under_way == 0);
        // Relaxed: a thread that sees it takes the lock before it looks at the parts.
        control.arrived.store(flow.arrived, Ordering::Relaxed);
        drop(flow);
        if idle {
            control.busy.end();
        }
        if caller || others {
            control.wake();
        }
    }

    /// Takes the parts that are there; if there are none, waits for the number of chunks in
    /// `awaited`, but not for long if that is more than one, and not longer than it says.
    ///
    /// # Errors
    ///
    /// [`Error::Terminated`] or [`Error::Cancelled`] when the job was, [`Error::ForeignProcess`] in
    /// a forked child.
    pub(crate) fn next(&self, awaited: Awaited) -> Result<Vec<Part<F::Output>>, Error> {
        let control = &*self.control;
        if control.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let some = || control.arrived.load(Ordering::Relaxed) > 0;
        if !some() {
            let wanted = awaited.chunks.max(1);
            let enough = || control.arrived.load(Ordering::Relaxed) >= wanted;
            os::spin_for(self.spin, awaited.until, || enough() || control.is_cancelled());
        }
        let (mut flow, mut wanted) = (lock(&control.flow), awaited.chunks);
        loop {
            self.end_overdue(&mut flow);
            if flow.arrived > 0 || flow.terminated {
                break;
            }
            if control.is_revoked() {
                return Err(Error::Cancelled);
            }
            let left = awaited.until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            flow.wanted = Some(wanted);
            flow = control.sleep(flow, wanted, left);
            // From now on the first one to arrive is enough.
            wanted = wanted.min(1);
        }
        flow.wanted = None;
        self.taken(flow, awaited.most)
    }

    /// Takes the parts that are there, without waiting.
    ///
    /// # Errors
    ///
    /// Those of [`ThreadJob::next`].
    pub(crate) fn take(&self) -> Result<Vec<Part<F::Output>>, Error> {
        let control = &*self.control;
        if control.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let mut flow = lock(&control.flow);
        self.end_overdue(&mut flow);
        self.taken(flow, usize::MAX)
    }

    /// Takes the parts of a cancelled call that have arrived; they lack the items that ended after
    /// the cancellation.
    pub(crate) fn take_rest(&self) -> Vec<Part<F::Output>> {
        if self.control.is_foreign() {
            return Vec::new();
        }
        let mut flow = lock(&self.control.flow);
        (flow.arrived, flow.urgent) = (0, false);
        lock(&self.parts).drain(..).collect()
    }

    fn taken(
        &self,
        mut flow: MutexGuard<'_, Flow>,
        most: usize,
    ) -> Result<Vec<Part<F::Output>>, Error> {
        let control = &*self.control;
        if flow.terminated {
            return Err(match flow.failed.clone() {
                Some((stage, cause, worker)) => stage.error(worker, cause),
                None => Error::Terminated,
            });
        }
        let mut parts = lock(&self.parts);
        let count = parts.len().min(most);
        let taken: Vec<_> = parts.drain(..count).collect();
        if parts.is_empty() {
            (flow.arrived, flow.urgent) = (0, false);
        }
        control.arrived.store(flow.arrived, Ordering::Relaxed);
        drop(parts);
        drop(flow);
        // Checked after they were taken: a worker that saw the token first left out items.
        if control.is_revoked() {
            // They stay for a caller that wants the results that there are.
            let _flow = lock(&control.flow);
            let mut parts = lock(&self.parts);
            taken.into_iter().rev().for_each(|part| parts.push_front(part));
            return Err(Error::Cancelled);
        }
        Ok(taken)
    }

    /// Marks the job complete, so that of several jobs ending together the last one finds the
    /// workers idle.
    pub(crate) fn complete(&self) {
        if !self.control.is_foreign() {
            lock(&self.control.flow).complete = true;
        }
    }

    /// Makes it a background job: from now on no thread sleeps for it, and `notice` is
    /// called, in any thread, when something arrives.
    pub(crate) fn go_to_background(&self, notice: Box<dyn Fn() + Send + Sync>) {
        let _ = self.control.notice.set(notice);
        lock(&self.control.flow).background = true;
    }

    /// When a thread has to look at a job without a caller although nothing arrives: see
    /// [`Control::due`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.control.due()
    }

    /// Gives the job up: running items see the cancellation, the others are dropped. Waits until no
    /// thread uses what the call lends. Does not panic.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.control.is_foreign() {
            // Another thread may have been changing the parts when the process was forked.
            mem::forget(self.clone());
            return;
        }
        self.control.cancelled.store(true, Ordering::Relaxed);
        let mut flow = lock(&self.control.flow);
        flow.over = true;
        let parts = mem::take(&mut *lock(&self.parts));
        drop(flow);
        self.control.changed.notify_all();
        drop_parts(parts);
        match self.lends {
            Lends::Nothing => {}
            Lends::ToItems => drop(self.control.wait_while(|flow| flow.in_items > 0)),
            Lends::ToChunks => drop(self.control.wait_while(|flow| flow.under_way > 0)),
        }
    }
}
