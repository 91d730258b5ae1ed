//! The queue for futures of a set of threads: the workers complete calls of one item themselves
//! (`thread_work.rs`).

use std::{
    fmt, iter,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    MOST_WAITING,
    call_counts::{CallCounts, Counts},
    queue::{AsyncQueue, Budget, QueueShared},
};
use crate::{
    cancel::WakeCounter,
    error::Error,
    ids::WorkerId,
    mutex::lock,
    os,
    panic::drop_quietly,
    threads::{Deadlines, ThreadBackend, ThreadMark},
};

/// How long a thread that cannot listen to the tokens of its jobs sleeps at most.
pub(super) const TOKEN_SLEEP: Duration = Duration::from_millis(10);

/// The queue for futures of a set of threads.
pub(crate) struct ThreadQueue {
    pub(super) backend: ThreadMark,
    pub(super) queue_shared: Arc<QueueShared>,
    pub(super) calls: CallCounts,
    pub(super) flow: Mutex<Flow>,
    /// Threads sleep on it in [`ThreadQueue::sleep`] only.
    changed: Condvar,
    /// Ends a sleep in which the driver thread also listens to tokens; made before the first such
    /// sleep.
    pub(super) wake_counter: OnceLock<WakeCounter>,
    /// Results are not wanted any more: running calls see the cancellation, the others do not run.
    pub(super) terminated: AtomicBool,
}

#[derive(Default)]
pub(super) struct Flow {
    /// Threads that sleep until something changes.
    sleepers: usize,
    /// Counts the times that waiting threads were woken to check again.
    pub(super) wake_ups: u64,
    /// Whether the driver thread sleeps on the wake counter.
    pub(super) polls: bool,
    /// Calls that run and have a limit.
    pub(super) running: Deadlines<Running>,
    /// Calls that have not ended and have a limit.
    pub(super) limited: usize,
    /// The shortest limit since there are such calls.
    pub(super) shortest: Option<Duration>,
    /// Jobs in the background for which something has arrived.
    pub(super) news: Vec<u64>,
}

/// A running call with a time limit.
pub(super) struct Running {
    pub(super) entry: Arc<dyn Limited>,
    pub(super) worker: WorkerId,
    pub(super) limit: Duration,
}

impl fmt::Debug for ThreadQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadQueue")
            .field("queue_shared", &self.queue_shared)
            .finish_non_exhaustive()
    }
}

impl ThreadQueue {
    /// A queue of the backend.
    pub(crate) fn open(backend: &Arc<ThreadBackend>, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            backend: backend.thread_mark(),
            queue_shared: QueueShared::new(
                budget,
                (Arc::as_ptr(backend).addr(), None),
                this.clone(),
            ),
            calls: CallCounts::default(),
            flow: Mutex::default(),
            changed: Condvar::new(),
            wake_counter: OnceLock::new(),
            terminated: AtomicBool::new(false),
        })
    }

    /// Wakes all threads that wait, to check again.
    pub(super) fn wake_waiting(&self) {
        // With the lock held, so that none of them is just about to sleep.
        let mut flow = lock(&self.flow);
        flow.wake_ups += 1;
        self.wake_sleepers(flow);
    }

    /// Wakes all threads that sleep, for what was changed before or with this lock.
    pub(super) fn wake_sleepers(&self, flow: MutexGuard<'_, Flow>) {
        let (polls, sleeps) = (flow.polls, flow.sleepers > 0);
        drop(flow);
        if sleeps {
            self.changed.notify_all();
        }
        if polls && let Some(wake_counter) = self.wake_counter.get() {
            wake_counter.wake();
        }
    }

    /// Sleeps until something changes, for `longest` at most.
    pub(super) fn sleep<'q>(
        &'q self,
        mut flow: MutexGuard<'q, Flow>,
        longest: Option<Duration>,
    ) -> MutexGuard<'q, Flow> {
        flow.sleepers += 1;
        let mut flow = match longest {
            None => self.changed.wait(flow).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                let woken = self.changed.wait_timeout(flow, longest);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        flow.sleepers -= 1;
        flow
    }

    /// Fails overdue calls, and takes jobs in the background further.
    pub(super) fn advance(&self) {
        self.end_overdue();
        let news = std::mem::take(&mut lock(&self.flow).news);
        let QueueShared { background, .. } = &*self.queue_shared;
        if background.is_empty() {
            return;
        }
        let ended = background.advance(news.into_iter(), &|| self.wake_waiting());
        if ended > 0 {
            self.wake_waiting();
            self.queue_shared.jobs_ended(ended);
        }
    }

    /// Works, or waits for others who do, until `done` returns true or until `until`.
    pub(super) fn work_until(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        loop {
            self.advance();
            let flow = lock(&self.flow);
            if done() || until.is_some_and(|until| left(until).is_zero()) {
                return;
            }
            if !flow.news.is_empty() || self.queue_shared.background.has_backlog() {
                continue;
            }
            let background = &self.queue_shared.background;
            let due = until.into_iter().chain(background.due()).map(left);
            // Only a driver thread that sleeps on the wake counter listens to tokens.
            let token = !flow.polls && background.has_tokens();
            let due = due.chain(token.then_some(TOKEN_SLEEP));
            let longest = due.chain(flow.sleep_at_most()).min();
            drop(self.sleep(flow, longest));
        }
    }

    /// A worker begins a call that waited.
    pub(super) fn begin_call(&self) {
        self.left(self.calls.begin(), true);
    }

    /// A call has ended, begun by a worker or not.
    pub(super) fn end_call(&self, begun: bool) {
        let counts = self.calls.end(begun);
        if counts.outstanding == 0 {
            self.backend.busy().end();
        }
        self.left(counts, !begun);
    }

    /// Wakes the threads for which these counts are news; `from_waiting`: one call fewer waits.
    fn left(&self, counts: Counts, from_waiting: bool) {
        let has_room = from_waiting && counts.waiting + 1 >= MOST_WAITING;
        // SeqCst: a thread that waits counts itself before it looks at its future.
        if has_room || counts.is_over() || self.queue_shared.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_sleepers(lock(&self.flow));
        }
        self.queue_shared.left(usize::from(from_waiting), || counts.waiting);
    }

    /// Fails the calls that are overdue; their threads go on.
    pub(super) fn end_overdue(&self) {
        let mut flow = lock(&self.flow);
        if flow.running.is_empty() {
            return;
        }
        let now = Instant::now();
        let overdue: Vec<_> = iter::from_fn(|| flow.running.take_overdue(now)).collect();
        drop(flow);
        let some = !overdue.is_empty();
        for Running { entry, worker, limit, .. } in overdue {
            entry.time_out(worker, limit);
            // This may be the last reference, and the outcome that lies in it is a user's value.
            drop_quietly(entry);
        }
        if some {
            self.wake_waiting();
        }
    }
}

impl AsyncQueue for ThreadQueue {
    fn queue_shared(&self) -> &Arc<QueueShared> {
        &self.queue_shared
    }

    fn check(&self) -> Result<(), Error> {
        if self.backend.is_foreign() {
            Err(Error::ForeignProcess)
        } else if self.backend.is_mine() {
            Err(Error::NestedUse)
        } else {
            Ok(())
        }
    }

    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool) {
        if !os::spin_for(self.backend.spin(), until, done) {
            self.work_until(until, done);
        }
    }

    fn poll(&self) {
        self.advance();
    }

    fn withdraw(&self, entry: *const ()) -> bool {
        // The stage of a call of one item tells whether it was begun.
        !self.queue_shared.background.knows(entry) || self.queue_shared.background.withdraw(entry)
    }

    fn kill(&self, entry: *const (), _: Duration) {
        self.queue_shared.background.withdraw(entry);
    }

    fn kill_at_end(&self, _: u64, _: Duration) {}

    fn recount(&self) {
        self.wake_waiting();
        self.queue_shared.jobs_ended(1);
    }

    fn job_progressed(&self, number: u64) {
        let mut flow = lock(&self.flow);
        if !flow.news.contains(&number) {
            flow.news.push(number);
        }
        self.wake_sleepers(flow);
    }

    fn is_open(&self) -> bool {
        !self.calls.get().closed
    }

    fn is_over(&self) -> bool {
        self.calls.get().is_over() && self.queue_shared.background.is_empty()
    }

    fn close(&self) {
        self.calls.close();
        self.queue_shared.background.close();
        self.wake_sleepers(lock(&self.flow));
        self.queue_shared.driver.unpark();
    }

    fn wait_for_calls(&self) {
        let left = || self.calls.get().outstanding + self.queue_shared.background.map_count();
        self.work_until(None, &|| left() == 0);
    }

    /// Running calls see the cancellation.
    fn terminate(&self) {
        self.terminated.store(true, Ordering::Relaxed);
        self.close();
        self.queue_shared.background.end(&Error::Terminated);
        self.wake_waiting();
    }
}

impl Flow {
    /// A call with a limit has ended.
    pub(super) fn end_limited(&mut self) {
        self.limited -= 1;
        if self.limited == 0 {
            self.shortest = None;
        }
    }

    /// How long a thread that watches the deadlines may sleep: a call that begins meanwhile is due
    /// no sooner than its limit from now.
    pub(super) fn sleep_at_most(&self) -> Option<Duration> {
        self.running.sleep_at_most(self.shortest)
    }
}

pub(super) fn left(due: Instant) -> Duration {
    due.saturating_duration_since(Instant::now())
}

impl Drop for ThreadQueue {
    fn drop(&mut self) {
        if !self.backend.is_foreign() {
            self.queue_shared.driver.stop();
        }
    }
}

/// A call of any type that has a time limit.
pub(super) trait Limited: Send + Sync {
    fn time_out(&self, worker: WorkerId, limit: Duration);
    fn address(&self) -> *const ();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::SHORTEST_SLEEP;

    #[test]
    fn tiny_limits_still_sleep() {
        let mut flow = Flow::default();
        assert_eq!(flow.sleep_at_most(), None);
        flow.shortest = Some(Duration::from_nanos(1));
        assert_eq!(flow.sleep_at_most(), Some(SHORTEST_SLEEP));
    }
}
