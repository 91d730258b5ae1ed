//! What a future knows of its backend, and the limits of its pool.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    MOST_MAPS, MOST_WAITING, background::Background, callbacks::Callbacks, submitters::Submitters,
};
use crate::{
    driver::{Driven, Driver},
    engine::JobId,
    error::Error,
    ids::FutureId,
    ids::WorkerId,
    reentrancy::{InCall, Inside},
    start::Backend,
};

/// What a call does where there is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// The calling thread works for the pool until there is room.
    Wait,
    /// The item comes back at once.
    Refuse,
    /// It was let in, so there is room: see [`Submitters`].
    LetIn,
}

/// Why a queue did not take a call. `Closed`: this queue is closed, but the pool may open another
/// one. `Full`: there is no room, and the call does not wait. `Refused`: the pool does not take the
/// call at all.
#[derive(Debug)]
pub(crate) enum Unaccepted<A> {
    Closed(A),
    Full(A),
    Refused(super::refused::Refused<A>),
}

/// The limits of one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// How long it may run.
    pub(crate) limit: Option<Duration>,
    /// How long it may go on beyond that before its worker is killed.
    pub(crate) grace: Duration,
    /// How often it may be tried again after its worker died.
    pub(crate) retries: u32,
    /// The only worker to run it, if any.
    pub(crate) worker: Option<WorkerId>,
}

/// Counts the bytes of results that lie in handles or that callbacks wait with, and how many
/// futures the pool has had; also has the stack size of the threads that handle results, and the
/// submitters that wait for room.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicU64,
    /// The number of the next future.
    next: AtomicU64,
    limit: u64,
    /// Whether values that are not encoded are measured, too: then the limit means the same under
    /// every start method.
    exact: bool,
    pub(super) stack: usize,
    submitters: Submitters,
    /// Those of calls that are jobs in the background, which have room of their own.
    map_submitters: Submitters,
}

impl Budget {
    pub(crate) fn new(set: Option<u64>, otherwise: u64, stack: usize) -> Self {
        let limit = set.unwrap_or(otherwise);
        Self {
            held: AtomicU64::new(0),
            next: AtomicU64::new(0),
            limit,
            exact: set.is_some(),
            stack,
            submitters: Submitters::default(),
            map_submitters: Submitters::default(),
        }
    }

    /// The submitters that wait for the same room; `has_token`: a token may end their calls, which
    /// are jobs in the background therefore.
    pub(crate) fn submitters(&self, has_token: bool) -> &Submitters {
        if has_token { &self.map_submitters } else { &self.submitters }
    }

    /// Wakes all submitters, so that each looks for room.
    pub(crate) fn wake_submitters(&self) {
        self.submitters.wake_all();
        self.map_submitters.wake_all();
    }

    /// # Errors
    ///
    /// [`Error::ResultsUnread`] when there is more than the limit.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (bytes, limit) = (self.held.load(Ordering::Relaxed), self.limit);
        if bytes > limit { Err(Error::ResultsUnread { bytes, limit }) } else { Ok(()) }
    }

    /// The id of the next future, which no other future of the pool has.
    pub(super) fn take_future_id(&self) -> FutureId {
        FutureId::new(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    pub(super) fn add(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that a waiting callback counts as.
pub(super) struct Held(Arc<Budget>, u64);

impl Held {
    pub(super) fn new(budget: &Arc<Budget>, bytes: u64) -> Self {
        budget.add(bytes);
        Self(budget.clone(), bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.remove(self.1);
    }
}

/// The side that completes the futures of a backend.
pub(crate) trait AsyncQueue: Send + Sync {
    /// The part that its futures share.
    fn queue_shared(&self) -> &Arc<QueueShared>;

    /// Refuses to wait where that could last for ever: in a forked child, in a task of the backend
    /// itself.
    fn check(&self) -> Result<(), Error>;

    /// Waits until `done` returns true, or until `until`; completes futures of the queue meanwhile.
    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool);

    /// Completes what has arrived, without waiting.
    fn poll(&self);

    /// Takes a call back that no worker has begun; whether there was one. Neither its future nor
    /// the threads that wait for it are notified.
    fn withdraw(&self, entry: *const ()) -> bool;

    /// Ends a call that is about to be completed as cancelled: a call that has not begun is taken
    /// back; a running one sees the cancellation, and is killed after `grace` where it can be.
    fn kill(&self, entry: *const (), grace: Duration);

    /// When the background job with this number ends, its running items are killed after `grace`,
    /// where they can be.
    fn kill_at_end(&self, number: u64, grace: Duration);

    /// A call has left the queue without work at it: threads that wait for a future, for room or
    /// for the end check again.
    fn recount(&self);

    /// Something has arrived for the background job with this number. Called by workers that are
    /// threads.
    fn job_progressed(&self, _number: u64) {}

    /// Closes it if its job has failed while no thread waited.
    fn close_if_failed(&self) {}

    /// Whether it takes calls in.
    fn is_open(&self) -> bool;

    /// Whether it is closed, and every call that it took in has ended.
    fn is_over(&self) -> bool;

    /// Notes that a future begins; returns whether it is the only call of the workers.
    fn begin_future(&self) -> bool {
        false
    }

    /// Whether a thread that stops the backend has to drain the queue, although it is closed.
    fn holds_up(&self) -> bool {
        false
    }

    /// Takes nothing in any more; calls that were taken in are still answered.
    fn close(&self);

    /// Works until every call and every map of the closed queue has ended.
    fn wait_for_calls(&self);

    /// Called before the calling thread waits for the end of a stop: if it runs a callback, that
    /// stop does not wait for the callback.
    fn resign(&self) {}

    /// Takes nothing in any more; calls without an answer end with [`Error::Terminated`].
    fn terminate(&self);
}

impl dyn AsyncQueue {
    /// Whether it is a queue of the backend.
    pub(crate) fn is_of(&self, backend: &Backend) -> bool {
        self.queue_shared().backend == backend.id()
    }

    /// Whether both are the same queue.
    pub(crate) fn is(&self, other: &dyn AsyncQueue) -> bool {
        Arc::ptr_eq(self.queue_shared(), other.queue_shared())
    }

    /// Refuses a map or a stream where it cannot be taken in.
    pub(crate) fn admit(&self) -> Result<(), Error> {
        self.check()?;
        self.queue_shared().budget.check()?;
        self.queue_shared().driver.start()
    }

    /// Closes the queue, and waits until all its calls are answered.
    pub(crate) fn drain(&self) {
        self.close();
        self.wait_for_calls();
        self.queue_shared().callbacks.wait();
    }

    /// Terminates the queue, and ends its driver thread. Returns when that thread has ended, or
    /// after `limit`: the thread may run the user's code, which then must not depend on the caller
    /// to end.
    pub(crate) fn end(&self, limit: Option<Duration>) {
        self.terminate();
        self.queue_shared().driver.stop_within(limit);
    }
}

/// The part that all futures of a queue share.
pub(crate) struct QueueShared {
    pub(super) budget: Arc<Budget>,
    /// Threads that wait for a future of the queue, and the driver thread of processes while it
    /// sleeps. SeqCst, like `Entry::stage`: a thread that completes a future looks for them.
    pub(super) waiting: AtomicUsize,
    /// Futures and streams that are not complete and that a callback or a waker waits for.
    pub(super) watched: AtomicUsize,
    pub(super) callbacks: Arc<Callbacks>,
    /// The backend's identity.
    pub(super) backend: usize,
    pub(super) background: Background,
    /// The queue's own job, if it is a queue for processes.
    pub(super) job: Option<JobId>,
    /// Works for the futures while no thread waits.
    pub(super) driver: Driver,
    queue: Weak<dyn AsyncQueue>,
}

impl QueueShared {
    pub(super) fn new<Q: AsyncQueue + Driven + 'static>(
        budget: Arc<Budget>,
        (backend, job): (usize, Option<JobId>),
        queue: Weak<Q>,
    ) -> Arc<Self> {
        let driver = Driver::new(queue.clone(), budget.stack);
        let (waiting, watched) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (callbacks, background) =
            (Arc::new(Callbacks::new(backend, budget.stack)), Background::default());
        Arc::new(Self {
            budget,
            waiting,
            watched,
            callbacks,
            backend,
            background,
            job,
            driver,
            queue,
        })
    }

    /// Waits at the queue until `done` returns true, or until `until`.
    pub(super) fn wait(
        &self,
        queue: &dyn AsyncQueue,
        until: Option<Instant>,
        done: &dyn Fn() -> bool,
    ) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        queue.wait(until, done);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// A function that notifies the queue of an arrival for the job with the given number.
    pub(super) fn progress_notifier(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let queue = self.queue.clone();
        move |number| {
            if let Some(queue) = queue.upgrade() {
                queue.job_progressed(number);
            }
        }
    }

    /// Lets submitters in, since so many calls have left the queue, where `waiting` wait now.
    pub(super) fn left(&self, calls: usize, waiting: impl FnOnce() -> usize) {
        self.let_in(&self.budget.submitters, calls, MOST_WAITING, waiting);
    }

    /// Lets submitters in, since so many jobs in the background have ended.
    pub(super) fn jobs_ended(&self, jobs: usize) {
        self.let_in(&self.budget.map_submitters, jobs, MOST_MAPS, || self.background.map_count());
    }

    /// Lets so many submitters in where there is room; there are `present()` of at most `most` now.
    fn let_in(
        &self,
        submitters: &Submitters,
        gone: usize,
        most: usize,
        present: impl FnOnce() -> usize,
    ) {
        if gone > 0 && !submitters.is_empty() {
            let _inside = InCall::enter(self.backend, Inside::Delivery);
            match present() {
                // Some that were let in may never be polled again.
                0 => submitters.wake_all(),
                present => submitters.let_in(gone.min(most.saturating_sub(present))),
            }
        }
    }

    /// The queue, if it is still there: otherwise all its futures are complete.
    pub(super) fn queue(&self) -> Option<Arc<dyn AsyncQueue>> {
        self.queue.upgrade()
    }
}

impl fmt::Debug for QueueShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueShared").field("budget", &self.budget).finish_non_exhaustive()
    }
}
