//! A call of one item, on its way to a worker thread and inside it.
//!
//! Invariant: the call's future is completed in any case: by the result, at the time limit, or when
//! the call is dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use pool_ipc::{Decoder, Wire};

use super::{
    shared_state::Entry,
    threads::{Limited, Running, ThreadQueue},
};
use crate::{
    compact::Compact,
    error::{Cause, Error, TaskError},
    ids::{ItemIndex, WorkerId},
    job::weight_of,
    mutex::lock,
    panic::{drop_quietly, in_task, take_panic},
    shared::{self, SharedValue},
    task::{ContextCell, Portable, Surroundings},
    threads::ThreadWorker,
};

/// A call on its way to a worker. Its drop completes the future, also where it never ran.
pub(super) struct ThreadCall<F: Portable> {
    queue: Arc<ThreadQueue>,
    entry: Arc<Entry<F::Output>>,
    function: F::Function,
    /// The shared value that the task and `worker_init` see.
    shared: Option<SharedValue>,
    item: Option<Compact<F::Item>>,
    limit: Option<Duration>,
    begun: bool,
}

impl<F: Portable<Context = ()>> ThreadCall<F> {
    pub(super) fn new(
        queue: &Arc<ThreadQueue>,
        entry: &Arc<Entry<F::Output>>,
        (function, item): (F::Function, Compact<F::Item>),
        shared: Option<SharedValue>,
        limit: Option<Duration>,
    ) -> Self {
        let (queue, entry, item) = (queue.clone(), entry.clone(), Some(item));
        Self { queue, entry, function, shared, item, limit, begun: false }
    }

    pub(super) fn run(mut self, thread_worker: &mut ThreadWorker) {
        let worker = thread_worker.id;
        if self.queue.terminated.load(Ordering::Relaxed) || !self.entry.begin() {
            return;
        }
        let Some(item) = self.item.take() else { return };
        self.begun = true;
        let _brought = self.entry.within().bring();
        self.queue.begin_call();
        let shared = shared::seen(self.shared.as_ref());
        if let Err((stage, cause)) = thread_worker.begin(self.shared.as_ref()) {
            return self.entry.complete(Err(stage.error(worker, cause)), 0);
        }
        let deadline = self.start_clock(worker);
        let overdue = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        // A call whose future is complete while it runs was cancelled.
        let cancelled =
            || self.queue.terminated.load(Ordering::Relaxed) || overdue() || self.entry.is_done();
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        if let Some(insights) = &mut thread_worker.insights {
            insights.begin_chunk((None, None), (1, 0));
            insights.at_item(0);
        }
        let mut surroundings = Surroundings {
            worker: worker.number(),
            shared,
            state: thread_worker.state(),
            cancelled: &cancelled,
            report: &|_, _| (), // a call that shows progress is a job
            decoder: &mut decoder,
            context: &mut cell,
        };
        let outcome = in_task(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let value = value_of::<F>(self.function, &mut surroundings, item)?;
                let bytes = weight_of(&*value, self.queue.queue_shared.budget.is_exact());
                Ok((value, bytes))
            }))
        });
        if self.queue.backend.is_foreign() {
            // The task has forked: this child is no worker.
            std::mem::forget((outcome, self));
            return;
        }
        if let Some(insights) = &mut thread_worker.insights {
            insights.end_chunk(usize::from(matches!(outcome, Ok(Ok(_)))));
        }
        if overdue()
            && let Some(limit) = self.limit
        {
            // Another thread may have taken this entry from `running` to fail the call, and not
            // have done so yet.
            self.entry.time_out(worker, limit);
            self.queue.end_overdue();
        }
        match outcome {
            Ok(Ok((value, bytes))) => self.entry.complete(Ok(value), bytes),
            Ok(Err(error)) => self.entry.complete(Err(error), 0),
            Err(payload) => {
                let cause = take_panic(payload).into();
                self.entry
                    .complete(Err(TaskError::new(ItemIndex::FIRST, worker, cause, 1).into()), 0);
            }
        }
        // Dropped first: the queue does not wait for the worker's exit functions.
        drop(self);
        thread_worker.ran_without_a_call(1);
    }

    /// When the call is overdue, if it has a limit and the clock can express that time.
    fn start_clock(&self, worker: WorkerId) -> Option<Instant> {
        let limit = self.limit?;
        let entry: Arc<dyn Limited> = self.entry.clone();
        lock(&self.queue.flow).running.start(Running { entry, worker, limit }, limit)
    }
}

/// Calls the function with the item.
fn value_of<F: Portable<Context = ()>>(
    function: F::Function,
    surroundings: &mut Surroundings<'_>,
    item: Compact<F::Item>,
) -> Result<Compact<F::Output>, Error> {
    let packed = F::pack(item.into_inner()).map_err(|fault| Error::unencodable(0, fault))?;
    Ok(Compact::new(F::call_thread_item(function, &(), surroundings, packed)))
}

impl<F: Portable> Drop for ThreadCall<F> {
    fn drop(&mut self) {
        if self.queue.backend.is_foreign() {
            std::mem::forget(self.item.take());
            return;
        }
        drop_quietly(self.item.take());
        // A thread that takes the call back has left its stage and may not have completed it yet:
        // then both say the same. (A future that has an outcome keeps it.)
        let ended = self.begun || self.entry.begin();
        let why = if ended { Error::Terminated } else { Error::Cancelled };
        self.entry.complete(Err(why), 0);
        let (begun, entry) = (self.begun, Arc::as_ptr(&self.entry).cast());
        if self.limit.is_some() {
            let mut flow = lock(&self.queue.flow);
            flow.running.stop(|running| running.entry.address() == entry);
            flow.end_limited();
        }
        self.queue.end_call(begun);
    }
}

impl<R: Wire> Limited for Entry<R> {
    fn time_out(&self, worker: WorkerId, limit: Duration) {
        let task = TaskError::new(ItemIndex::FIRST, worker, Cause::Timeout { limit }, 1);
        self.complete(Err(task.into()), 0);
    }

    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
}
