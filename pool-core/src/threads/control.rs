//! A job without its types: how far it is, and what is notified.
//!
//! Invariant: it contains no value of the user, and the user's code does not run while its flow is
//! locked.

use std::{
    slice,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pool_shm::ForkMark;

use super::{
    busy::Busy,
    exiting::Exiting,
    time_limits::{Activity, Deadlines, Overdue},
    worker::{Failed, ThreadWorker},
};
use crate::{
    calls::WorkerSteps,
    cancel::{CancelToken, WakeCounter, sleep_for},
    error::{Cause, Error, Stage},
    ids::{ItemIndex, WorkerId, next_call_number},
    mutex::lock,
    shared::SharedValue,
};

/// The longest sleep of a caller that waits for several chunks, so that one long task does not hold
/// up the results of others.
const SLEEP_FOR_SEVERAL: Duration = Duration::from_millis(50);
/// The longest sleep of a caller: the program may have closed its wake counter.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// The values that all jobs of a backend share.
pub(super) struct Shared {
    pub(super) mark: Arc<ForkMark>,
    pub(super) busy: Arc<Busy>,
    pub(super) exiting: Arc<Exiting>,
    pub(super) init_limit: Option<Duration>,
}

/// The part of a job that has no types of the user.
pub(crate) struct Control {
    /// The number of its call in this process.
    pub(super) number: u64,
    pub(super) flow: Mutex<Flow>,
    pub(super) changed: Condvar,
    pub(super) cancelled: AtomicBool,
    /// Copy of `Flow::arrived`, readable without the lock.
    pub(super) arrived: AtomicUsize,
    /// Whether its results are taken one by one, by a consumer that may stop asking.
    pub(super) lazy: bool,
    /// How long one item may take.
    pub(super) limit: Option<Duration>,
    /// How long `worker_init` may take.
    pub(super) init_limit: Option<Duration>,
    pub(super) exiting: Arc<Exiting>,
    /// How its caller sleeps if the call can be cancelled.
    pub(super) watch: Option<Watch>,
    /// Called instead of waking a caller.
    pub(super) notice: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(super) mark: Arc<ForkMark>,
    pub(super) busy: Arc<Busy>,
    /// The steps that items have reported; `None` unless the call is recorded.
    pub(super) steps: OnceLock<Arc<StepBoard>>,
}

/// The steps of the items in hand, by worker.
pub(crate) type StepBoard = Mutex<Vec<WorkerSteps>>;

/// Notes the steps of a worker's item.
#[cold]
fn note_steps(board: &StepBoard, worker: u32, steps: Option<(u64, u64)>) {
    // The end is noted, unless a fork has left the lock taken; of what is reported, the next one is
    // as good.
    let tries = if steps.is_some() { 1 } else { 1000 };
    let free = (0..tries).find_map(|_| {
        board.try_lock().ok().or_else(|| {
            std::thread::yield_now();
            None
        })
    });
    let Some(mut board) = free else { return };
    let known = board.iter().position(|of| of.worker == worker);
    match (known, steps) {
        (Some(at), Some((done, total))) => board[at] = WorkerSteps { worker, done, total },
        (Some(at), None) => {
            board.remove(at);
        }
        (None, Some((done, total))) => board.push(WorkerSteps { worker, done, total }),
        (None, None) => {}
    }
}

/// A sleep that a cancel token ends, also from a signal handler, which cannot notify a condition
/// variable.
pub(super) struct Watch {
    pub(super) token: CancelToken,
    pub(super) wake_counter: WakeCounter,
}

/// How far a job is.
#[derive(Default)]
pub(super) struct Flow {
    /// Chunks that were sent and have not ended.
    pub(super) under_way: usize,
    /// How many of those run items that use what the call lends to items.
    pub(super) in_items: usize,
    /// Chunks that have ended and whose parts are unread.
    pub(super) arrived: usize,
    /// One of those parts is a failure, which the caller takes at once.
    pub(super) urgent: bool,
    /// Items that have failed since they were overdue, and are counted as arrived.
    pub(super) overdue: Vec<Overdue>,
    /// The deadlines of the job's running work.
    pub(super) deadlines: Deadlines<Activity>,
    /// How many have to arrive before the caller is woken; `None`: the caller does not sleep.
    pub(super) wanted: Option<usize>,
    /// The job has no caller: every arrival is announced.
    pub(super) background: bool,
    pub(super) terminated: bool,
    /// The failure of a worker's start or exit that has ended the job.
    pub(super) failed: Option<(Stage, Cause, WorkerId)>,
    pub(super) over: bool,
    /// The caller has all results.
    pub(super) complete: bool,
}

impl Flow {
    /// Whether a caller that waits for `wanted` chunks goes on.
    pub(super) fn is_enough(&self, wanted: usize) -> bool {
        self.terminated || self.urgent || self.arrived >= wanted.max(1)
    }

    /// The results of a chunk arrive. `is_complete`: all of it, or what is left is another chunk;
    /// otherwise it was discarded, and no thread runs the rest: the caller must not wait for it.
    #[inline]
    pub(super) fn arrive(&mut self, is_complete: bool, failed: bool) {
        self.terminated |= !is_complete;
        self.urgent |= failed;
        self.arrived += 1;
    }

    /// Fails when the job was terminated.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.failed {
            _ if !self.terminated => Ok(()),
            Some((stage, cause, worker)) => Err(stage.error(*worker, cause.clone())),
            None => Err(Error::Terminated),
        }
    }
}

impl Control {
    /// The number of the job, which no other job of this process has.
    pub(crate) fn job_number(&self) -> u64 {
        self.number
    }

    /// Notes what the item in hand of the worker has reported; `None`: it has ended. Where another
    /// thread looks just then, nothing is noted, so that no task waits.
    #[inline]
    pub(super) fn report(&self, worker: WorkerId, steps: Option<(u64, u64)>) {
        if let Some(board) = self.steps.get() {
            note_steps(board, worker.number(), steps);
        }
    }

    /// The steps that items report from now on.
    pub(crate) fn step_board(&self) -> Arc<StepBoard> {
        self.steps.get_or_init(Arc::default).clone()
    }

    pub(super) fn open(
        shared: Shared,
        token: Option<CancelToken>,
        limit: Option<Duration>,
        lazy: bool,
    ) -> Result<Self, Error> {
        let Shared { mark, busy, exiting, init_limit } = shared;
        let watch = match token {
            Some(token) => Some(Watch { token, wake_counter: WakeCounter::new()? }),
            None => None,
        };
        Ok(Self {
            number: next_call_number(),
            flow: Mutex::default(),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            arrived: AtomicUsize::new(0),
            lazy,
            limit,
            init_limit,
            exiting,
            watch,
            notice: OnceLock::new(),
            mark,
            steps: OnceLock::new(),
            busy,
        })
    }

    #[inline]
    pub(super) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// Whether no further item is to begin.
    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.is_revoked()
    }

    /// Whether its token was pulled. Workers see that before the caller does.
    #[inline]
    pub(super) fn is_revoked(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.token.is_cancelled())
    }

    /// Wakes the threads that wait for the job.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
        if let Some(watch) = &self.watch {
            watch.wake_counter.wake();
        }
        if let Some(notice) = self.notice.get() {
            notice();
        }
    }

    /// The shortest limit of the work that workers do for the job.
    fn shortest(&self) -> Option<Duration> {
        self.limit.into_iter().chain(self.init_limit).chain(self.exiting.limit()).min()
    }

    /// When a thread has to look at a job without a caller although nothing arrives: at the next
    /// deadline, or now if its token was pulled.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.is_revoked() {
            return Some(Instant::now());
        }
        let shortest = self.shortest()?;
        let left = lock(&self.flow).deadlines.sleep_at_most(Some(shortest))?;
        Instant::now().checked_add(left)
    }

    /// The caller sleeps until enough has arrived, but not for long, and at most for `left`.
    pub(super) fn sleep<'c>(
        &'c self,
        flow: MutexGuard<'c, Flow>,
        wanted: usize,
        left: Option<Duration>,
    ) -> MutexGuard<'c, Flow> {
        let longest = if wanted > 1 { SLEEP_FOR_SEVERAL } else { LONGEST_SLEEP };
        let limit = flow.deadlines.sleep_at_most(self.shortest());
        let limit = limit.into_iter().chain(left).fold(longest, Duration::min);
        let Some(watch) = &self.watch else {
            let sleeps = |flow: &mut Flow| !flow.is_enough(wanted);
            let woken = self.changed.wait_timeout_while(flow, limit, sleeps);
            return woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(flow);
        sleep_for(&watch.wake_counter, slice::from_ref(&watch.token), limit);
        lock(&self.flow)
    }

    /// Waits while `condition` holds.
    pub(super) fn wait_while(
        &self,
        mut condition: impl FnMut(&Flow) -> bool,
    ) -> MutexGuard<'_, Flow> {
        let flow = self.changed.wait_while(lock(&self.flow), |flow| condition(flow));
        flow.unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels running items, drops those that have not begun, and makes the job's caller return.
    pub(super) fn terminate(&self) {
        // In this order: an item that ends because it is cancelled must not complete the call.
        lock(&self.flow).terminated = true;
        self.cancelled.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Terminates the job because `worker` failed at its start or its exit.
    pub(super) fn fail(&self, (stage, cause): Failed, worker: WorkerId) {
        lock(&self.flow).failed.get_or_insert((stage, cause, worker));
        self.terminate();
    }

    /// Fails the job because `worker` is overdue at its start or its exit; the flow is locked.
    pub(super) fn fail_overdue(
        &self,
        flow: &mut Flow,
        stage: Stage,
        limit: Option<Duration>,
        worker: WorkerId,
    ) {
        let Some(limit) = limit else { return };
        flow.failed.get_or_insert((stage, Cause::Timeout { limit }, worker));
        flow.terminated = true;
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Begins the worker's life, if it has not begun. `false`: that failed, and with it the job.
    pub(super) fn begin(
        &self,
        thread_worker: &mut ThreadWorker,
        shared: Option<&SharedValue>,
    ) -> bool {
        if !thread_worker.is_to_begin() {
            return true;
        }
        let worker = thread_worker.id;
        if let Some(limit) = self.init_limit {
            lock(&self.flow).deadlines.start(Activity::State(worker), limit);
        }
        let begun = thread_worker.begin(shared);
        if self.is_foreign() {
            return false;
        }
        if self.init_limit.is_some() {
            lock(&self.flow).deadlines.stop(|what| *what == Activity::State(worker));
        }
        begun.map_err(|failed| self.fail(failed, worker)).is_ok()
    }

    /// Starts the clock of the item at `index`, which a thread runs now, if items have a limit;
    /// returns its deadline, if it has one.
    pub(super) fn start_clock(&self, index: ItemIndex, worker: WorkerId) -> Option<Instant> {
        let limit = self.limit?;
        lock(&self.flow).deadlines.start(Activity::Item { index, worker }, limit)
    }

    /// Counts the tasks that the worker has run, and ends its life if those were its last: the
    /// caller waits for that, up to the exit's limit.
    pub(super) fn ran(&self, thread_worker: &mut ThreadWorker, tasks: u64) {
        let (worker, mut watched) = (thread_worker.id, false);
        let ended = thread_worker.ran(tasks, &mut |deadline| {
            watched = true;
            lock(&self.flow).deadlines.start_until(Activity::Exit(worker), deadline);
        });
        if watched {
            lock(&self.flow).deadlines.stop(|what| *what == Activity::Exit(worker));
        }
        if let Err(failed) = ended {
            self.fail(failed, worker);
        }
    }

    /// Marks the job complete, so that of several jobs ending together the last one finds the
    /// workers idle.
    pub(crate) fn complete(&self) {
        if !self.is_foreign() {
            lock(&self.flow).complete = true;
        }
    }

    /// Makes it a background job: from now on no thread sleeps for it, and `notice` is
    /// called, in any thread, when something arrives.
    pub(crate) fn go_to_background(&self, notice: Box<dyn Fn() + Send + Sync>) {
        let _ = self.notice.set(notice);
        lock(&self.flow).background = true;
    }

    /// Whether its caller has given the job up, or has all results.
    pub(super) fn is_over(&self) -> bool {
        let flow = lock(&self.flow);
        flow.over || flow.complete
    }

    /// Waits until the caller has given the job up.
    pub(super) fn wait_for_end(&self) {
        drop(self.wait_while(|flow| !flow.over && !flow.terminated));
    }
}
