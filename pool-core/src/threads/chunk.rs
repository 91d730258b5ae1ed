//! Runs the items of one chunk in a thread, one after the other.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
    vec,
};

use pool_ipc::Decoder;

use super::{
    backend::{ThreadBackend, Work},
    job::{CallValues, Lends, Part, ThreadJob},
    worker::ThreadWorker,
};
use crate::{
    error::Error,
    ids::{ItemIndex, WorkerId},
    panic::{drop_quietly, in_task, take_panic},
    shared,
    task::{ContextCell, Form, Surroundings, TimeSlice},
};

/// Consecutive items on their way to a thread, and their results.
///
/// Its drop hands the parts over and counts the chunk as ended.
pub(super) struct Chunk<F: Form> {
    pub(super) job: Arc<ThreadJob<F>>,
    pub(super) function: F::Function,
    /// Gone only while the chunk is dropped.
    pub(super) call_values: Option<CallValues<F>>,
    /// Whether it is for one thread alone, which runs such chunks in order.
    pub(super) is_targeted: bool,
    pub(super) first: ItemIndex,
    pub(super) thread_items: vec::IntoIter<F::ThreadItem>,
    pub(super) parts: Vec<Part<F::Output>>,
    /// Whether the clock of its item runs. An item with a limit is alone in its chunk, so that no
    /// other item waits behind it.
    pub(super) begun: bool,
    /// The rest of its items is a chunk of its own, on its way to a thread.
    pub(super) goes_on: bool,
    /// It is counted as running items that use what the call lends.
    pub(super) in_items: bool,
}

impl<F: Form> ThreadJob<F> {
    /// Sends a chunk to the backend: to the thread `worker`, or to any.
    ///
    /// # Errors
    ///
    /// [`Error::Terminated`] when the backend has ended, [`Error::ForeignProcess`] in a forked
    /// child.
    ///
    /// # Safety
    ///
    /// What `function` and the types of the form borrow outlives the chunk: the caller either owns
    /// all of it, or waits in [`ThreadJob::close`] before the borrow ends, however it ends.
    pub(crate) unsafe fn send(
        self: &Arc<Self>,
        (backend, worker): (&ThreadBackend, Option<WorkerId>),
        function: F::Function,
        call_values: &CallValues<F>,
        first: ItemIndex,
        thread_items: Vec<F::ThreadItem>,
    ) -> Result<(), Error> {
        if self.control.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let under_way = self.begin_chunk();
        // SAFETY: the caller's promise.
        let work = unsafe {
            self.chunk_work(
                worker.is_some(),
                function,
                call_values,
                first,
                thread_items.into_iter(),
            )
        };
        backend.send(worker, under_way, work)
    }

    /// The work of a chunk that was counted, for a thread to run.
    ///
    /// # Safety
    ///
    /// What `function` and the types of the form borrow outlives the chunk, as for
    /// [`ThreadJob::send`].
    pub(super) unsafe fn chunk_work(
        self: &Arc<Self>,
        is_targeted: bool,
        function: F::Function,
        call_values: &CallValues<F>,
        first: ItemIndex,
        thread_items: vec::IntoIter<F::ThreadItem>,
    ) -> Work {
        let chunk = Chunk {
            job: self.clone(),
            function,
            call_values: Some(call_values.clone()),
            is_targeted,
            first,
            thread_items,
            parts: Vec::new(),
            begun: false,
            goes_on: false,
            in_items: false,
        };
        let work: Box<dyn FnOnce(&mut ThreadWorker) + Send + '_> =
            Box::new(move |thread_worker| chunk.run(thread_worker));
        // SAFETY: only the lifetime changes. The work owns the chunk, so that whether it runs,
        // unwinds or is discarded, it ends in `Chunk::drop`, which counts it after the last use of
        // anything borrowed: only the job's own memory is touched after that. The caller promises
        // that the borrows are good until then: `close` waits for the count, or, where the types
        // are `'static` and only items use what is lent, for the items. Work that is leaked is
        // never counted, and the wait never ends.
        unsafe { mem::transmute::<Box<dyn FnOnce(&mut ThreadWorker) + Send + '_>, Work>(work) }
    }
}

impl<F: Form> Chunk<F> {
    pub(super) fn run(mut self, thread_worker: &mut ThreadWorker) {
        let call_values = self.call_values.as_ref().expect("the chunk is not being dropped");
        let _brought = call_values.within.bring();
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        let control = self.job.control.clone();
        let (worker, shared) = (thread_worker.id, shared::seen(call_values.shared.as_ref()));
        let begins = call_values.begins && !control.is_cancelled();
        if begins && !control.begin(thread_worker, call_values.shared.as_ref()) {
            return;
        }
        if self.job.lends == Lends::ToItems {
            self.in_items = self.job.begin_items();
            if !self.in_items {
                return;
            }
        }
        let deadline = control.start_clock(self.first, worker);
        self.begun = deadline.is_some();
        let overdue = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let cancelled = || control.is_cancelled() || overdue();
        let (state, handback) = thread_worker.state_and_handback();
        let mut surroundings = Surroundings {
            worker: worker.number(),
            shared,
            state,
            cancelled: &cancelled,
            decoder: &mut decoder,
            context: &mut cell,
        };
        let (function, thread_items) = (self.function, &mut self.thread_items);
        let (start, count) = (self.first, thread_items.len());
        let (mut tasks, mut may_leave) = (0, !self.is_targeted);
        let mut started = Instant::now();
        let mut slice = TimeSlice::since(Some(started));
        // A child that a task forked, and that came back, leaves no items to other threads: it has
        // none.
        let mut is_over = |done, left: usize| {
            left > 0 && !control.is_foreign() && slice.check(done) && handback.any_waits()
        };
        loop {
            let first = start.after(count - thread_items.len());
            let mut values = Vec::with_capacity(thread_items.len());
            let mut leaves = false;
            let outcome = in_task(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    while !control.is_foreign()
                        && !control.is_cancelled()
                        && let Some(thread_item) = thread_items.next()
                    {
                        let (context, around) = (&call_values.context, &mut surroundings);
                        let value = F::call_thread_item(function, context, around, thread_item);
                        // A task that may have seen that its call was cancelled counts as
                        // unfinished.
                        if control.is_revoked() {
                            break;
                        }
                        values.push(value);
                        if handback.has_others()
                            && may_leave
                            && is_over(tasks as usize + values.len(), thread_items.len())
                        {
                            leaves = true;
                            break;
                        }
                    }
                }))
            });
            let failure = outcome.err().map(|payload| (take_panic(payload).into(), worker));
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            tasks += values.len() as u64 + u64::from(failure.is_some());
            leaves |= failure.is_some()
                && handback.has_others()
                && may_leave
                && is_over(tasks as usize, thread_items.len());
            let goes_on = (failure.is_some() || leaves) && thread_items.len() > 0;
            self.parts.push(Part { first, nanos, values, failure, ends: !goes_on });
            if leaves {
                let first = start.after(count - thread_items.len());
                self.goes_on = handback.send(|| {
                    self.job.begin_chunk();
                    let rest = mem::take(thread_items);
                    // SAFETY: what is borrowed outlives this chunk, as `ThreadJob::send` was
                    // promised, and since the rest is counted before this one has ended,
                    // `ThreadJob::close` waits for it, too.
                    unsafe { self.job.chunk_work(false, function, call_values, first, rest) }
                });
                may_leave = self.goes_on; // otherwise the backend ends: run the rest here
            }
            if self.goes_on || !goes_on {
                break;
            }
            started = Instant::now();
        }
        self.end_items();
        // Run before the chunk ends, so that a thread that sees its end also sees the exit result;
        // but the clock of an item is stopped first.
        let unclocked = (!self.begun).then_some(self);
        if begins && !control.is_foreign() {
            control.ran(thread_worker, tasks);
        }
        drop(unclocked);
    }
}

impl<F: Form> Chunk<F> {
    fn end_items(&mut self) {
        if mem::take(&mut self.in_items) && !self.job.control.is_foreign() {
            self.job.end_items();
        }
    }
}

impl<F: Form> Drop for Chunk<F> {
    fn drop(&mut self) {
        let (thread_items, parts) = (mem::take(&mut self.thread_items), mem::take(&mut self.parts));
        let call_values = self.call_values.take();
        if self.job.control.is_foreign() {
            // A task has forked: all of this belongs to the parent.
            mem::forget((thread_items, parts, call_values, self.job.clone()));
            return;
        }
        self.end_items();
        thread_items.for_each(drop_quietly);
        drop_quietly(call_values);
        self.job.ended(parts, self.begun.then_some(self.first), self.goes_on);
    }
}
