//! The desk for futures of a crew of threads: the workers complete them themselves.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use pool_ipc::{Decoder, Encoder, Wire, batch};

use super::{
    AsyncResult, MOST_WAITING, Refused,
    desk::{Budget, Desk, Home, Unaccepted},
    drop_quietly,
    entry::Entry,
    lock,
};
use crate::{
    error::{Cause, Error, TaskError},
    shared::{self, SharedValue},
    sys,
    task::{ContextCell, Form, Plain, Surroundings},
    threads::{Host, ThreadCrew, ThreadMark},
    worker::{in_task, take_panic},
};

/// See the module.
pub(crate) struct ThreadDesk {
    crew: ThreadMark,
    /// How long one call may take.
    limit: Option<Duration>,
    home: Arc<Home>,
    flow: Mutex<Flow>,
    changed: Condvar,
    /// Nobody wants results any more: what runs is told, what was not begun does not run.
    terminated: AtomicBool,
}

#[derive(Default)]
struct Flow {
    /// Calls that no worker has begun.
    waiting: usize,
    /// Calls that have not ended.
    outstanding: usize,
    closed: bool,
    /// Calls that run and have a limit.
    running: Vec<Running>,
}

/// A call whose clock runs.
struct Running {
    entry: Arc<dyn Limited>,
    worker: u32,
    deadline: Instant,
}

/// A future of any type, as far as time goes.
trait Limited: Send + Sync {
    fn overrun(&self, worker: u32, limit: Duration);
    fn address(&self) -> *const ();
}

impl fmt::Debug for ThreadDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadDesk").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A call on its way to a worker. Its drop completes the future, also where it never ran.
struct Errand<A: Wire, R: Wire> {
    desk: Arc<ThreadDesk>,
    entry: Arc<Entry<R>>,
    function: fn(A) -> R,
    /// What `worker_init` sees.
    shared: Option<SharedValue>,
    item: Option<A>,
    begun: bool,
}

impl ThreadDesk {
    /// A desk of the crew; `limit`: how long one call may take.
    pub(crate) fn open(
        crew: &ThreadCrew,
        limit: Option<Duration>,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            crew: crew.thread_mark(),
            limit,
            home: Home::new(budget, this.clone()),
            flow: Mutex::default(),
            changed: Condvar::new(),
            terminated: AtomicBool::new(false),
        })
    }

    /// Whether it takes calls in.
    pub(crate) fn is_open(&self) -> bool {
        !lock(&self.flow).closed
    }

    /// Whether this desk is one of the crew.
    pub(crate) fn is_of(&self, crew: &ThreadCrew) -> bool {
        self.crew.is_of(crew)
    }

    /// Takes a call in; waits while too many others wait for a worker.
    pub(crate) fn submit<A: Wire, R: Wire>(
        self: &Arc<Self>,
        crew: &ThreadCrew,
        shared: Option<SharedValue>,
        item: A,
        function: fn(A) -> R,
    ) -> Result<AsyncResult<R>, Unaccepted<A>> {
        if let Err(error) = self.check().and_then(|()| self.home.budget.check()) {
            return Err(Unaccepted::Refused(Refused { item, error }));
        }
        let full = |flow: &mut Flow| flow.waiting >= MOST_WAITING && !flow.closed;
        let flow = self.changed.wait_while(lock(&self.flow), full);
        let mut flow = flow.unwrap_or_else(PoisonError::into_inner);
        if flow.closed {
            return Err(Unaccepted::Closed(item));
        }
        flow.waiting += 1;
        flow.outstanding += 1;
        drop(flow);
        let entry = Entry::new(self.home.clone());
        let errand = Errand {
            desk: self.clone(),
            entry: entry.clone(),
            function,
            shared,
            item: Some(item),
            begun: false,
        };
        // Where the crew has ended, the errand is dropped and says so.
        let _ = crew.send(Box::new(move |host| errand.run(host)));
        Ok(AsyncResult::new(entry))
    }

    /// Whether every call that it took in has ended.
    pub(crate) fn is_over(&self) -> bool {
        let flow = lock(&self.flow);
        flow.closed && flow.outstanding == 0
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        lock(&self.flow).closed = true;
        self.changed.notify_all();
    }

    /// Takes nothing in any more, and waits until all that was taken in has ended.
    pub(crate) fn drain(&self) {
        let mut flow = lock(&self.flow);
        flow.closed = true;
        self.changed.notify_all();
        let rest = self.changed.wait_while(flow, |flow| flow.outstanding > 0);
        drop(rest.unwrap_or_else(PoisonError::into_inner));
        self.home.callbacks.wait();
    }

    /// Takes nothing in any more; what was not begun is [`Error::Terminated`], what runs is told.
    pub(crate) fn end(&self) {
        self.terminated.store(true, Ordering::Relaxed);
        lock(&self.flow).closed = true;
        self.changed.notify_all();
    }

    /// A call has left the queue, or has ended.
    fn count(&self, change: impl FnOnce(&mut Flow)) {
        let mut flow = lock(&self.flow);
        let full = flow.waiting >= MOST_WAITING;
        change(&mut flow);
        let wakes = full || (flow.closed && flow.outstanding == 0);
        drop(flow);
        // SeqCst: whoever waits says so before it looks at its future.
        if wakes || self.home.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }

    /// Fails the calls that are overdue; their threads go on.
    fn end_overdue(&self) {
        let Some(limit) = self.limit else { return };
        let now = Instant::now();
        let overdue = |running: &mut Running| running.deadline <= now;
        let overdue: Vec<_> = lock(&self.flow).running.extract_if(.., overdue).collect();
        for Running { entry, worker, .. } in &overdue {
            entry.overrun(*worker, limit);
        }
        if !overdue.is_empty() {
            self.changed.notify_all();
        }
    }

    /// Bytes that a result is counted with.
    fn bytes_of<R: Wire>(&self, value: &R) -> u64 {
        let exact = self.home.budget.is_exact() && !batch::is_fixed::<R>();
        let bytes = if exact {
            batch::len_of_one(value, &mut Encoder::new()).unwrap_or(0)
        } else {
            size_of::<R>()
        };
        bytes as u64
    }
}

impl Desk for ThreadDesk {
    fn check(&self) -> Result<(), Error> {
        if self.crew.is_foreign() {
            Err(Error::ForeignProcess)
        } else if self.crew.is_mine() {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        if sys::spin_for(self.crew.spin(), done) {
            return;
        }
        loop {
            self.end_overdue();
            let flow = lock(&self.flow);
            if done() {
                return;
            }
            let left = |due: Instant| due.saturating_duration_since(Instant::now());
            // A call that begins meanwhile is due later than in `limit`.
            let due = flow.running.iter().map(|running| left(running.deadline)).min();
            let longest = until.map(left).into_iter().chain(due.or(self.limit)).min();
            match longest {
                None => drop(self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner)),
                Some(_) if until.is_some_and(|until| left(until).is_zero()) => return,
                Some(longest) => {
                    let woken = self.changed.wait_timeout(flow, longest);
                    drop(woken.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    fn look(&self) {
        self.end_overdue();
    }

    fn attend(&self) {}

    fn withdraw(&self, _: *const ()) -> bool {
        true // the future itself knows whether it was begun
    }
}

impl<A: Wire, R: Wire> Errand<A, R> {
    fn run(mut self, host: &mut Host) {
        let worker = host.id;
        if self.desk.terminated.load(Ordering::Relaxed) || !self.entry.begin() {
            return;
        }
        let Some(item) = self.item.take() else { return };
        self.begun = true;
        self.desk.count(|flow| flow.waiting -= 1);
        let shared = shared::seen(self.shared.as_ref());
        if let Err((stage, cause)) = host.begin(self.shared.as_ref()) {
            return self.entry.complete(Err(stage.error(worker, cause)), 0);
        }
        let deadline = self.start_clock(worker);
        let overdue = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        let cancelled = || self.desk.terminated.load(Ordering::Relaxed) || overdue();
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        let mut surroundings = Surroundings {
            worker,
            shared,
            state: host.state(),
            cancelled: &cancelled,
            decoder: &mut decoder,
            context: &mut cell,
        };
        let outcome = in_task(|| {
            catch_unwind(AssertUnwindSafe(|| {
                let value = Plain::<A, R>::call_parcel(self.function, &(), &mut surroundings, item);
                let bytes = self.desk.bytes_of(&value);
                (value, bytes)
            }))
        });
        if self.crew_is_foreign() {
            // The task has forked: this child is no worker.
            std::mem::forget((outcome, self));
            return;
        }
        if overdue() {
            self.desk.end_overdue();
        }
        match outcome {
            Ok((value, bytes)) => self.entry.complete(Ok(value), bytes),
            Err(payload) => {
                let cause = take_panic(payload).into();
                self.entry.complete(Err(TaskError { index: 0, worker, cause, tries: 1 }.into()), 0);
            }
        }
        // The desk does not wait for what the worker does at its end.
        drop(self);
        host.ran_for_nobody(1);
    }

    /// When the call is overdue, if it has a limit and time goes so far.
    fn start_clock(&self, worker: u32) -> Option<Instant> {
        let deadline = Instant::now().checked_add(self.desk.limit?)?;
        let entry: Arc<dyn Limited> = self.entry.clone();
        lock(&self.desk.flow).running.push(Running { entry, worker, deadline });
        Some(deadline)
    }

    fn crew_is_foreign(&self) -> bool {
        self.desk.crew.is_foreign()
    }
}

impl<A: Wire, R: Wire> Drop for Errand<A, R> {
    fn drop(&mut self) {
        if self.crew_is_foreign() {
            std::mem::forget(self.item.take());
            return;
        }
        drop_quietly(self.item.take());
        // (One that has an outcome keeps it.)
        self.entry.complete(Err(Error::Terminated), 0);
        let (begun, entry) = (self.begun, Arc::as_ptr(&self.entry).cast());
        self.desk.count(|flow| {
            flow.waiting -= usize::from(!begun);
            flow.running.retain(|running| running.entry.address() != entry);
            flow.outstanding -= 1;
        });
    }
}

impl<R: Wire> Limited for Entry<R> {
    fn overrun(&self, worker: u32, limit: Duration) {
        let task = TaskError { index: 0, worker, cause: Cause::Timeout { limit }, tries: 1 };
        self.complete(Err(task.into()), 0);
    }

    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
}
