//! One chunk on its way to a thread: items with their types, and the parts of their results.
//!
//! Invariant: what has to know the types of the items is here, and as little else as can be, since
//! it is compiled anew for each of a program's tasks; `run.rs` has the rest.

use std::{mem, sync::Arc, vec};

use super::{
    backend::{ThreadBackend, Work},
    job::{CallValues, Part, ThreadJob},
    run::{Items, Leaving, Run},
    worker::ThreadWorker,
};
use crate::{
    error::{Cause, Error},
    ids::{ItemIndex, WorkerId},
    panic::drop_quietly,
    task::{Form, Surroundings},
};

/// Consecutive items on their way to a thread, and their results.
///
/// [`Chunk::end`], or its drop, hands the parts over and counts the chunk as ended.
struct Chunk<F: Form> {
    items: ChunkItems<F>,
    call_values: CallValues,
    run: Run,
}

struct ChunkItems<F: Form> {
    job: Arc<ThreadJob<F::Output>>,
    function: F::Function,
    /// Gone once the chunk has ended.
    context: Option<Arc<F::Context>>,
    thread_items: vec::IntoIter<F::ThreadItem>,
    /// Results of the part that is being made.
    values: Vec<F::Output>,
    parts: Vec<Part<F::Output>>,
}

/// Sends a chunk to the backend: to the thread `worker`, or to any.
///
/// # Errors
///
/// [`Error::Terminated`] when the backend has ended, [`Error::ForeignProcess`] in a forked child.
///
/// # Safety
///
/// What the function and the types of the form borrow outlives the chunk: the caller either owns
/// all of it, or waits in [`ThreadJob::close`] before the borrow ends, however it ends.
pub(crate) unsafe fn send<F: Form>(
    job: &Arc<ThreadJob<F::Output>>,
    (backend, worker): (&ThreadBackend, Option<WorkerId>),
    (function, context): (F::Function, &Arc<F::Context>),
    call_values: &CallValues,
    first: ItemIndex,
    thread_items: Vec<F::ThreadItem>,
) -> Result<(), Error> {
    if job.control.is_foreign() {
        return Err(Error::ForeignProcess);
    }
    let under_way = job.control.begin_chunk();
    let run = Run::new(worker.is_some(), first);
    let (calls, thread_items) = ((function, context.clone()), thread_items.into_iter());
    // SAFETY: the caller's promise.
    let work = unsafe { work_of::<F>(job, calls, call_values, thread_items, run) };
    backend.send(worker, under_way, work)
}

/// The work of a chunk that was counted, for a thread to run.
///
/// # Safety
///
/// What the function and the types of the form borrow outlives the chunk, as for [`send`].
unsafe fn work_of<F: Form>(
    job: &Arc<ThreadJob<F::Output>>,
    (function, context): (F::Function, Arc<F::Context>),
    call_values: &CallValues,
    thread_items: vec::IntoIter<F::ThreadItem>,
    run: Run,
) -> Work {
    let (values, parts) = (Vec::new(), Vec::new());
    let (job, context) = (job.clone(), Some(context));
    let items = ChunkItems::<F> { job, function, context, thread_items, values, parts };
    let mut chunk = Chunk { items, call_values: call_values.clone(), run };
    // (By reference, so that the chunk is not moved out of its box.)
    let work: Box<dyn FnOnce(&mut ThreadWorker) + Send + '_> =
        Box::new(move |thread_worker| chunk.run(thread_worker));
    // SAFETY: only the lifetime changes. The work owns the chunk, so that whether it runs, unwinds
    // or is discarded, it ends in `Chunk::end`, which counts it after the last use of anything
    // borrowed: only the job's own memory and the emptied chunk are touched after that. The caller
    // promises that the borrows are good until then: `close` waits for the count, or, where the
    // types are `'static` and only items use what is lent, for the items. Work that is leaked is
    // never counted, and the wait never ends.
    unsafe { mem::transmute::<Box<dyn FnOnce(&mut ThreadWorker) + Send + '_>, Work>(work) }
}

impl<F: Form> Chunk<F> {
    fn run(&mut self, thread_worker: &mut ThreadWorker) {
        let Self { items, call_values, run } = self;
        let _brought = call_values.within.bring();
        let (control, lends) = (items.job.control.clone(), items.job.lends);
        let ran = run.run(items, (&control, lends), call_values, thread_worker);
        // The exit runs before the chunk ends, so that a thread that sees its end also sees the
        // exit result; but the clock of an item is stopped first.
        if run.clocked().is_some() {
            self.end();
        }
        if let Some(tasks) = ran {
            control.ran(thread_worker, tasks);
        }
        self.end();
    }

    /// Hands the parts over and counts the chunk as ended, the first time that it is called.
    fn end(&mut self) {
        let ChunkItems { job, context, thread_items, values, parts, .. } = &mut self.items;
        let Some(context) = context.take() else { return };
        let (thread_items, parts) = (mem::take(thread_items), mem::take(parts));
        let values = mem::take(values); // none, unless `run` has unwound
        let lent = (context, mem::take(&mut self.call_values));
        if job.control.is_foreign() {
            // A task has forked: all of this belongs to the parent.
            mem::forget((thread_items, parts, values, lent, job.clone()));
            return;
        }
        self.run.end_items(&job.control);
        thread_items.for_each(drop_quietly);
        values.into_iter().for_each(drop_quietly);
        drop_quietly(lent);
        job.ended(parts, self.run.clocked(), self.run.goes_on);
    }
}

impl<F: Form> Items for ChunkItems<F> {
    fn left(&self) -> usize {
        self.thread_items.len()
    }

    fn run_items(&mut self, surroundings: &mut Surroundings<'_>, leaving: &mut Leaving<'_>) {
        let context = self.context.as_ref().expect("the chunk has not ended");
        self.values.reserve_exact(self.thread_items.len());
        let text_of = leaving.text_function::<F::Item>();
        while leaving.goes_on()
            && let Some(thread_item) = self.thread_items.next()
        {
            if let Some(text_of) = text_of {
                leaving.set_text(|| F::text_of(&thread_item, text_of));
            }
            let value = F::call_thread_item(self.function, context, surroundings, thread_item);
            // A task that may have seen that its call was cancelled counts as unfinished.
            if leaving.is_revoked() {
                break;
            }
            self.values.push(value);
            if leaving.is_due(self.values.len(), self.thread_items.len()) {
                break;
            }
        }
    }

    fn done(&self) -> usize {
        self.values.len()
    }

    fn end_part(
        &mut self,
        first: ItemIndex,
        nanos: u64,
        failure: Option<(Cause, WorkerId)>,
        ends: bool,
    ) {
        let values = mem::take(&mut self.values);
        self.parts.push(Part { first, nanos, values, failure, ends });
    }

    fn rest(&mut self, call_values: &CallValues, first: ItemIndex) -> Work {
        self.job.control.begin_chunk();
        let rest = mem::take(&mut self.thread_items);
        let context = self.context.clone().expect("the chunk has not ended");
        let (calls, run) = ((self.function, context), Run::new(false, first));
        // SAFETY: what is borrowed outlives this chunk, as `send` was promised, and since the rest
        // is counted before this one has ended, `ThreadJob::close` waits for it, too.
        unsafe { work_of::<F>(&self.job, calls, call_values, rest, run) }
    }
}

impl<F: Form> Drop for Chunk<F> {
    fn drop(&mut self) {
        self.end();
    }
}
