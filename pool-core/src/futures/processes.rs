//! The queue for futures of a set of processes.
//!
//! Each thread that waits for a future works here: it takes what has arrived, completes futures
//! (`receiving.rs`), and sends calls that wait (`sending.rs`).
//!
//! Invariant: the in-flight table is locked before the session, and neither is locked while the
//! user's code runs.

use std::{
    fmt,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    in_flight::InFlight,
    queue::{AsyncQueue, Budget, QueueShared},
};
use crate::{
    engine::JobId,
    error::Error,
    job::ItemAllocator,
    mutex::lock,
    panic::drop_quietly,
    reentrancy::{Inside, is_inside},
    session::Session,
};

/// The queue for futures of a set of processes.
pub(crate) struct ProcessQueue {
    pub(super) allocator: ItemAllocator,
    pub(super) queue_shared: Arc<QueueShared>,
    pub(super) in_flight: Mutex<InFlight>,
    /// Whether any call has had a limit.
    pub(super) limited: AtomicBool,
    /// The session's count of failed calls when this queue last polled.
    failures: AtomicU64,
    /// Counts passes of work, and calls that left. SeqCst: a thread that waits for a change counts
    /// itself in `waiting` before it looks.
    pub(super) passes: AtomicU64,
    /// Whether there are answers that no thread has in hand. SeqCst: a thread that leaves some
    /// stores this first, then looks for threads that wait.
    pub(super) backlog: AtomicBool,
}

impl fmt::Debug for ProcessQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessQueue").field("allocator", &self.allocator).finish_non_exhaustive()
    }
}

impl ProcessQueue {
    /// The session that the calls go to.
    #[inline]
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.allocator.session
    }

    /// A queue of the session for `workers` workers; `None` while the pool is being stopped.
    ///
    /// # Errors
    ///
    /// [`Error::PoolBroken`].
    pub(crate) fn open(
        session: Arc<Session>,
        workers: usize,
        budget: Arc<Budget>,
    ) -> Result<Option<Arc<Self>>, Error> {
        let Some((job, buffers)) = session.open_queue()? else { return Ok(None) };
        let (items_limit, failures) = (session.items_limit(), session.failures());
        let mut in_flight = InFlight::new(workers);
        in_flight.put_buffers(buffers);
        let backend = Arc::as_ptr(&session).addr();
        Ok(Some(Arc::new_cyclic(|this: &Weak<Self>| Self {
            allocator: ItemAllocator { session, job, limit: items_limit, waits: true },
            queue_shared: QueueShared::new(budget, (backend, Some(job)), this.clone()),
            in_flight: Mutex::new(in_flight),
            limited: AtomicBool::new(false),
            failures: AtomicU64::new(failures),
            passes: AtomicU64::new(0),
            backlog: AtomicBool::new(false),
        })))
    }
}

impl AsyncQueue for ProcessQueue {
    #[inline]
    fn queue_shared(&self) -> &Arc<QueueShared> {
        &self.queue_shared
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        if self.allocator.session.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        // A worker's results are being read in place, and that worker waits for the reader.
        if is_inside(self.queue_shared.backend, Some(Inside::View)) {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        while !done() && until.is_none_or(|until| Instant::now() < until) {
            let more = || done() || self.has_backlog();
            let until = until.into_iter().chain(self.due()).min();
            self.allocator.session.wait_for_messages(self.allocator.job, until, &more);
            self.work(false, true);
        }
    }

    fn poll(&self) {
        self.work(true, false);
    }

    fn withdraw(&self, entry: *const ()) -> bool {
        if self.queue_shared.background.withdraw(entry) {
            return true;
        }
        let mut in_flight = lock(&self.in_flight);
        let mut waiting = in_flight.waiting.iter();
        if let Some(at) = waiting.position(|unsent| unsent.receiver().address() == entry) {
            let unsent = in_flight.waiting.remove(at);
            drop(in_flight);
            drop_quietly(unsent);
            return true;
        }
        let Some(index) = in_flight.index_of(entry) else { return false };
        if in_flight.withdraw_unsent(index) {
            return true;
        }
        let withdrawn = self.allocator.session.withdraw(self.allocator.job, index);
        if withdrawn {
            in_flight.end(index);
        }
        withdrawn
    }

    fn kill(&self, entry: *const (), grace: Duration) {
        if let Some(number) = self.queue_shared.background.number_of(entry) {
            self.kill_at_end(number, grace);
        }
        if !self.withdraw(entry) {
            // A call keeps its index until it has ended, and its end is noted under this lock.
            let in_flight = lock(&self.in_flight);
            if let Some(index) = in_flight.index_of(entry) {
                self.allocator.session.kill_chunk(self.allocator.job, index, grace);
            }
        }
    }

    fn kill_at_end(&self, number: u64, grace: Duration) {
        self.allocator.session.kill_at_end(JobId(number), grace);
    }

    fn recount(&self) {
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.wake_waiting();
        self.left_line(1);
        self.queue_shared.jobs_ended(1);
    }

    fn close_if_failed(&self) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let failures = session.failures();
        if failures != self.failures.load(Ordering::Relaxed) {
            if session.has_failed(*job) {
                self.close();
            }
            self.failures.store(failures, Ordering::Relaxed);
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        !lock(&self.in_flight).closed
    }

    fn is_over(&self) -> bool {
        let in_flight = lock(&self.in_flight);
        in_flight.closed && in_flight.outstanding() == 0 && self.queue_shared.background.is_empty()
    }

    fn begin_future(&self) -> bool {
        self.allocator.session.begin_future(self.allocator.job)
    }

    fn holds_up(&self) -> bool {
        !self.allocator.session.has_failed(self.allocator.job)
    }

    fn close(&self) {
        lock(&self.in_flight).closed = true;
        self.queue_shared.background.close();
        self.queue_shared.driver.unpark();
    }

    fn wait_for_calls(&self) {
        self.work_while(|in_flight| {
            in_flight.outstanding() + self.queue_shared.background.map_count() > 0
        });
    }

    fn resign(&self) {
        self.queue_shared.callbacks.resign();
    }

    fn terminate(&self) {
        self.give_up(&Error::Terminated);
    }
}

impl Drop for ProcessQueue {
    fn drop(&mut self) {
        // In a forked child another thread may have been changing the table.
        if !self.allocator.session.is_foreign() {
            // (After `end` there is nothing left to do.)
            self.give_up(&Error::Terminated);
        }
    }
}
