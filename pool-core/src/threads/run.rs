//! Runs the items of one chunk in a thread, one after the other, whatever their types.

use std::{
    cell::Cell,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use pool_ipc::Decoder;

use super::{
    backend::Work,
    control::Control,
    job::{CallValues, Lends},
    work_queue::Handback,
    worker::{Insights, ThreadWorker},
};
use crate::{
    error::Cause,
    ids::{ItemIndex, WorkerId},
    insights::{Describer, TextOf, text_function},
    panic::{in_task, take_panic},
    shared,
    task::{ContextCell, Surroundings, TimeSlice},
};

/// How far a chunk is.
pub(super) struct Run {
    first: ItemIndex,
    /// Whether it is for one thread alone, which runs such chunks in order.
    is_targeted: bool,
    /// Whether the clock of its item runs. An item with a limit is alone in its chunk, so that no
    /// other item waits behind it.
    begun: bool,
    /// The rest of its items is a chunk of its own, on its way to a thread.
    pub(super) goes_on: bool,
    /// It is counted as running items that use what the call lends.
    in_items: bool,
}

/// The items of a chunk, and what became of them.
pub(super) trait Items {
    /// How many items have not begun.
    fn left(&self) -> usize;

    /// Runs items until one panics, none is left, or `leaving` says so.
    fn run_items(&mut self, surroundings: &mut Surroundings<'_>, leaving: &mut Leaving<'_>);

    /// How many items have a result in the part that is being made.
    fn done(&self) -> usize;

    /// Ends the part: its items from `first` on, and the failure of the one behind them. `ends`:
    /// the chunk ends with it.
    fn end_part(
        &mut self,
        first: ItemIndex,
        nanos: u64,
        failure: Option<(Cause, WorkerId)>,
        ends: bool,
    );

    /// The items that are left, from `first` on, as a chunk that is counted.
    fn rest(&mut self, call_values: &CallValues, first: ItemIndex) -> Work;
}

/// When a thread leaves the items of a chunk.
pub(super) struct Leaving<'c> {
    control: &'c Control,
    handback: &'c Handback<Work>,
    slice: TimeSlice,
    /// Whether others may run them.
    may_leave: bool,
    /// Items of earlier parts.
    tasks: u64,
    /// It leaves them since something else waits.
    leaves: bool,
    /// How many items have begun, and the next one before which a time is taken.
    begun: usize,
    timed: usize,
    insights: Insights<'c>,
    describers: &'c [Describer],
}

impl Leaving<'_> {
    /// Whether a further item may begin.
    #[inline]
    pub(super) fn goes_on(&mut self) -> bool {
        if self.control.is_foreign() || self.control.is_cancelled() {
            return false;
        }
        if self.begun >= self.timed {
            self.take_time();
        }
        self.begun += 1;
        true
    }

    /// How items of this type are shown among the longest tasks, if they are.
    pub(super) fn text_function<A: 'static>(&self) -> Option<TextOf<A>> {
        self.insights.as_ref().and_then(|_| text_function(self.describers))
    }

    /// Notes the text of the item that is about to run.
    #[cold]
    pub(super) fn set_text(&mut self, text_of: impl FnOnce() -> Option<String>) {
        // A `Debug` that panics is no failure of the task.
        let text = catch_unwind(AssertUnwindSafe(text_of)).unwrap_or_else(|payload| {
            take_panic(payload);
            None
        });
        if let Some(insights) = &mut self.insights {
            insights.set_text(text);
        }
    }

    fn take_time(&mut self) {
        if let Some(insights) = &mut self.insights {
            insights.at_item(self.begun);
            self.timed = insights.due();
        }
    }

    /// Takes times of a part of the chunk.
    fn begin_part(&mut self, first: ItemIndex, items: usize) {
        if let Some(insights) = &mut self.insights {
            let numbers = (Some(self.control.number), Some(first.number()));
            insights.begin_chunk(numbers, (items, 0));
            (self.begun, self.timed) = (0, 0);
        }
    }

    fn end_part(&mut self, done: usize) {
        if let Some(insights) = &mut self.insights {
            insights.end_chunk(done);
        }
    }

    /// Whether the token of the call was pulled.
    #[inline]
    pub(super) fn is_revoked(&self) -> bool {
        self.control.is_revoked()
    }

    /// Whether the items that are left go to other threads, after `done` items of this part.
    #[inline]
    pub(super) fn is_due(&mut self, done: usize, left: usize) -> bool {
        if self.handback.has_others() && self.may_leave {
            self.leaves = self.is_over(self.tasks as usize + done, left);
        }
        self.leaves
    }

    fn is_over(&mut self, done: usize, left: usize) -> bool {
        // A child that a task forked, and that came back, leaves no items to other threads: it has
        // none.
        left > 0
            && !self.control.is_foreign()
            && self.slice.check(done)
            && self.handback.any_waits()
    }
}

impl Run {
    #[inline]
    pub(super) fn new(is_targeted: bool, first: ItemIndex) -> Self {
        Self { first, is_targeted, begun: false, goes_on: false, in_items: false }
    }

    /// The item whose clock was started.
    #[inline]
    pub(super) fn clocked(&self) -> Option<ItemIndex> {
        self.begun.then_some(self.first)
    }

    #[inline]
    pub(super) fn end_items(&mut self, control: &Control) {
        if mem::take(&mut self.in_items) && !control.is_foreign() {
            control.end_items();
        }
    }

    /// Runs the items of a chunk, in a worker's life that it begins, if it is to. Returns how many
    /// were run, if they count as the worker's tasks.
    pub(super) fn run(
        &mut self,
        items: &mut dyn Items,
        (control, lends): (&Control, Lends),
        call_values: &CallValues,
        thread_worker: &mut ThreadWorker,
    ) -> Option<u64> {
        let shared = call_values.shared.as_ref();
        let begins = call_values.begins && !control.is_cancelled();
        if begins && !control.begin(thread_worker, shared) {
            return None;
        }
        if lends == Lends::ToItems {
            self.in_items = control.begin_items();
            if !self.in_items {
                return None;
            }
        }
        let worker = thread_worker.id;
        let deadline = control.start_clock(self.first, worker);
        self.begun = deadline.is_some();
        let overdue = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let cancelled = || control.is_cancelled() || overdue();
        let reports = Cell::new(false);
        let report = |done, total| {
            reports.set(true);
            control.report(worker, Some((done, total)));
        };
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        let (state, handback, insights, describers) = thread_worker.state_and_handback();
        let mut surroundings = Surroundings {
            worker: worker.number(),
            shared: shared::seen(shared),
            state,
            cancelled: &cancelled,
            report: &report,
            decoder: &mut decoder,
            context: &mut cell,
        };
        let count = items.left();
        let mut started = Instant::now();
        let mut leaving = Leaving {
            control,
            handback,
            slice: TimeSlice::since(Some(started)),
            may_leave: !self.is_targeted,
            tasks: 0,
            leaves: false,
            begun: 0,
            timed: usize::MAX,
            insights,
            describers,
        };
        loop {
            let first = self.first.after(count - items.left());
            leaving.leaves = false;
            leaving.begin_part(first, items.left());
            let outcome = in_task(|| {
                catch_unwind(AssertUnwindSafe(|| items.run_items(&mut surroundings, &mut leaving)))
            });
            let failure = outcome.err().map(|payload| (take_panic(payload).into(), worker));
            let failed = failure.is_some();
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            leaving.end_part(items.done());
            leaving.tasks += items.done() as u64 + u64::from(failed);
            let leaves = leaving.leaves || failed && leaving.is_due(0, items.left());
            let goes_on = (failed || leaves) && items.left() > 0;
            items.end_part(first, nanos, failure, !goes_on);
            if leaves {
                let first = self.first.after(count - items.left());
                self.goes_on = handback.send(|| items.rest(call_values, first));
                leaving.may_leave = self.goes_on; // otherwise the backend ends: run the rest here
            }
            if self.goes_on || !goes_on {
                break;
            }
            started = Instant::now();
        }
        if reports.get() {
            control.report(worker, None);
        }
        self.end_items(control);
        (begins && !control.is_foreign()).then_some(leaving.tasks)
    }
}
