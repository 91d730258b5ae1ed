//! The threads of a backend: each runs work until the backend ends.

use std::{
    cell::Cell,
    fmt, mem,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::unbounded;
use pool_affinity::CpuSet;
use pool_shm::ForkMark;

use super::{
    busy::Busy,
    claims::Claims,
    control::{self, Control},
    exiting::Exiting,
    work_queue::{WorkReceiver, WorkSender, work_queue},
    worker::ThreadWorker,
};
use crate::{
    cancel::CancelToken,
    config::PoolConfig,
    error::{Cause, Error, OrResources},
    hooks::{Exits, become_daemon_thread},
    ids::WorkerId,
    mutex::lock,
    os,
    panic::{end_quietly, in_task, learn_locations, take_panic},
    reentrancy::{InCall, Inside, is_inside, is_within_task_of},
    stack,
};

/// The work that a thread runs.
pub(crate) type Work = Box<dyn FnOnce(&mut ThreadWorker) + Send>;

thread_local! {
    /// The backend that this thread works in.
    static BACKEND: Cell<usize> = const { Cell::new(0) };
}

/// How the threads end: not yet; in order, after running what is in the channel, with their exit
/// functions; or without the user's code, except for drops.
const GOES_ON: u8 = 0;
const ORDERLY: u8 = 1;
const KILLED: u8 = 2;

/// For the error when a thread cannot be started.
const STARTING: &str = "starting a worker thread";

/// How long a thread that stops a backend waits for claims, each of which takes some microseconds.
const CLAIMS_END: Duration = Duration::from_secs(5);

/// A set of worker threads.
pub(crate) struct ThreadBackend {
    work_queue: Arc<Mutex<Option<WorkSender<Work>>>>,
    pub(super) busy: Arc<Busy>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    jobs: Mutex<Vec<Weak<Control>>>,
    /// Calls that use the backend and are not among `jobs` yet.
    claims: Claims,
    number: usize,
    /// The first thread that could not be started (nor any behind it), and why.
    missing: Option<(WorkerId, Error)>,
    /// How the threads end.
    end: Arc<AtomicU8>,
    exits: Arc<Exits>,
    /// Whether a call leaves the threads to the next one.
    keep_alive: AtomicBool,
    /// Whether another backend has replaced it.
    retired: AtomicBool,
    /// Rounds of a wait loop before a caller goes to sleep.
    pub(super) spin: u32,
    /// How long `worker_init` may take.
    pub(super) init_limit: Option<Duration>,
    pub(super) exiting: Arc<Exiting>,
    pub(super) mark: Arc<ForkMark>,
}

/// Keeps the backend from ending until a new call is among its jobs: the user's code does not run
/// while this lives.
#[derive(Debug)]
pub(crate) struct Claim(Arc<ThreadBackend>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.claims.end();
    }
}

/// Tells the threads of a backend from others, without keeping the backend alive.
pub(crate) struct ThreadMark {
    backend: Weak<ThreadBackend>,
    number: usize,
    spin: u32,
    mark: Arc<ForkMark>,
    busy: Arc<Busy>,
}

impl ThreadMark {
    /// Whether the calling thread is one of the backend, or works for one of its tasks.
    pub(crate) fn is_mine(&self) -> bool {
        is_of_backend(self.number)
    }

    /// Whether this process was forked from the one that has the backend.
    pub(crate) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// Counts calls that have something under way.
    pub(crate) fn busy(&self) -> &Busy {
        &self.busy
    }

    /// The backend, unless all its calls have ended with the pool's own reference.
    pub(crate) fn upgrade(&self) -> Option<Arc<ThreadBackend>> {
        self.backend.upgrade()
    }

    /// Rounds of a wait loop before a caller goes to sleep.
    pub(crate) fn spin(&self) -> u32 {
        self.spin
    }
}

impl fmt::Debug for ThreadBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadBackend").field("number", &self.number).finish_non_exhaustive()
    }
}

impl ThreadBackend {
    pub(crate) fn start(plan: &PoolConfig) -> Result<Self, Error> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        learn_locations(false);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("mapping a page of memory")?;
        let mark = Arc::new(mark);
        let (senders, ends) = work_queue(plan.n_jobs);
        let mut backend = Self {
            work_queue: Arc::new(Mutex::new(Some(senders))),
            busy: Arc::default(),
            threads: Mutex::new(Vec::new()),
            jobs: Mutex::new(Vec::new()),
            claims: Claims::default(),
            number,
            missing: None,
            end: Arc::new(AtomicU8::new(GOES_ON)),
            exits: plan.exits.clone(),
            keep_alive: plan.keep_alive.into(),
            retired: false.into(),
            spin: os::spin_rounds(plan.n_jobs),
            init_limit: plan.bounds.init,
            exiting: Arc::new(Exiting::new(plan.n_jobs, plan.bounds.exit)),
            mark,
        };
        let (failed, failures) = unbounded();
        for (id, work_queue) in (0..).map(WorkerId::new).zip(ends) {
            let (mark, failed) = (backend.mark.clone(), failed.clone());
            let cpus = plan.cpus.cpus_of(id.index()).copied();
            let (plan, end, exiting) = (plan.clone(), backend.end.clone(), backend.exiting.clone());
            let (senders, busy) = (backend.work_queue.clone(), backend.busy.clone());
            let stack = stack::size(plan.bounds.stack);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .stack_size(stack)
                .spawn(move || {
                    let _ends = exiting.ends(id);
                    BACKEND.set(number);
                    if plan.bounds.daemon {
                        become_daemon_thread();
                    }
                    if let Err(error) = begin(cpus, &plan.first, plan.id) {
                        // The thread that starts the backend listens until every thread has got
                        // past here.
                        let _ = failed.send(error);
                        return;
                    }
                    drop(failed);
                    let handback = work_queue.handback(senders, busy);
                    let mut thread_worker = ThreadWorker::new(id, &plan, exiting.clone(), handback);
                    work(work_queue, number, &mark, &mut thread_worker);
                    let _inside = InCall::enter(number, Inside::Task);
                    thread_worker.leave(end.load(Ordering::SeqCst) == ORDERLY);
                });
            match thread {
                Ok(thread) => lock(&backend.threads).push(thread),
                // Threads that the system refuses are missing, as with processes.
                Err(error) if id > WorkerId::FIRST => {
                    backend.missing = Some((id, stack::refusal(STARTING, error, stack)));
                    break;
                }
                Err(error) => return Err(stack::refusal(STARTING, error, stack)),
            }
        }
        drop(failed);
        failures.recv().map_or(Ok(backend), Err)
    }

    /// Whether the calling thread is one of this backend, or works for one of its tasks.
    pub(crate) fn is_mine(&self) -> bool {
        is_of_backend(self.number)
    }

    /// Whether this process was forked from the one that has the threads.
    pub(super) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// A mark that tells its threads from others, without keeping the backend alive.
    pub(crate) fn thread_mark(self: &Arc<Self>) -> ThreadMark {
        let (backend, mark, busy) = (Arc::downgrade(self), self.mark.clone(), self.busy.clone());
        ThreadMark { backend, number: self.number, spin: self.spin, mark, busy }
    }

    /// Sends work to the thread `worker`, or to any free one. It goes before other waiting work if
    /// its call has nothing else under way, or so little (`under_way` chunks) that it is below an
    /// equal share of what waits among the calls that have something under way.
    pub(crate) fn send(
        &self,
        worker: Option<WorkerId>,
        under_way: usize,
        work: Work,
    ) -> Result<(), Error> {
        self.check_worker(worker)?;
        let unsent = match &*lock(&self.work_queue) {
            Some(work_queue) => {
                let share = work_queue.waiting() / self.busy.calls().max(1);
                work_queue.send(worker, under_way == 0 || under_way < share, work).err()
            }
            None => Some(work),
        };
        // The lock is released before the work is dropped, and the user's items with it.
        unsent.map_or(Ok(()), |_| Err(Error::Terminated))
    }

    /// Fails where the thread `worker` could not be started.
    pub(crate) fn check_worker(&self, worker: Option<WorkerId>) -> Result<(), Error> {
        match (worker, &self.missing) {
            (Some(worker), Some((first, why))) if worker >= *first => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Sends the work that `work` makes to the thread `worker`, or to any free one; `work` is
    /// called under a lock. `first`: it goes before other waiting work. `false`, without a call of
    /// `work`, where the threads end in order and take nothing any more: the pool has a newer
    /// backend then, or makes one.
    pub(crate) fn send_unless_over(
        &self,
        worker: Option<WorkerId>,
        first: bool,
        work: impl FnOnce() -> Work,
    ) -> bool {
        let work_queue = lock(&self.work_queue);
        if work_queue.is_none() && self.end.load(Ordering::SeqCst) == ORDERLY {
            return false;
        }
        let work = work();
        let unsent = match &*work_queue {
            Some(work_queue) => work_queue.send(worker, first, work).err(),
            None => Some(work),
        };
        drop(work_queue);
        // The drop completes its future with `Error::Terminated`.
        drop(unsent);
        true
    }

    /// Opens a job of the backend.
    pub(super) fn open_job(
        &self,
        token: Option<CancelToken>,
        limit: Option<Duration>,
        lazy: bool,
    ) -> Result<Arc<Control>, Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let shared = control::Shared {
            mark: self.mark.clone(),
            busy: self.busy.clone(),
            exiting: self.exiting.clone(),
            init_limit: self.init_limit,
        };
        let control = Arc::new(Control::open(shared, token, limit, lazy)?);
        let mut jobs = lock(&self.jobs);
        jobs.retain(|job| job.strong_count() > 0);
        jobs.push(Arc::downgrade(&control));
        Ok(control)
    }

    fn jobs(&self) -> Vec<Arc<Control>> {
        lock(&self.jobs).iter().filter_map(Weak::upgrade).collect()
    }

    fn keeps_alive(&self) -> bool {
        self.keep_alive.load(Ordering::Relaxed)
    }

    /// Sets whether a call leaves the threads to the next one.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        self.keep_alive.store(on, Ordering::Relaxed);
    }

    /// Notes that no new call comes: the threads end in order with the last of those under way.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Keeps the backend for a call that begins, until the call is among its jobs. A thread that
    /// ends the backend has first made sure that no new claim comes.
    pub(crate) fn claim(self: &Arc<Self>) -> Claim {
        self.claims.begin();
        Claim(self.clone())
    }

    /// Keeps the backend for a call that begins; `None` where the threads end in order, or have
    /// ended, with the call before.
    pub(crate) fn claim_unless_over(self: &Arc<Self>) -> Option<Claim> {
        // With the lock that `end_if_idle` takes, so that it sees this claim, or this sees the end.
        let work_queue = lock(&self.work_queue);
        let over = work_queue.is_none() && self.end.load(Ordering::SeqCst) == ORDERLY;
        (!over).then(|| self.claim())
    }

    /// Ends the threads in order if no call uses them; whether they do end.
    fn end_if_idle(&self) -> bool {
        let mut work_queue = lock(&self.work_queue);
        let idle = self.is_idle();
        if idle {
            let _ = self.end.compare_exchange(GOES_ON, ORDERLY, Ordering::SeqCst, Ordering::SeqCst);
            work_queue.take();
        }
        idle
    }

    /// Whether no call uses the threads.
    pub(crate) fn is_idle(&self) -> bool {
        // Claims first: a claim that is gone has become a job.
        !self.claims.any() && self.jobs().iter().all(|job| job.is_over())
    }

    /// Waits for blocking calls of other threads, ends lazy ones, and joins the threads.
    pub(crate) fn stop(&self) {
        if self.is_foreign() {
            return;
        }
        self.claims.wait(CLAIMS_END);
        for job in self.jobs() {
            if job.lazy {
                job.terminate();
            } else {
                job.wait_for_end();
            }
        }
        self.end_orderly();
        self.join();
    }

    /// Ends the threads after they have run what is in the channel.
    fn end_orderly(&self) {
        let _ = self.end.compare_exchange(GOES_ON, ORDERLY, Ordering::SeqCst, Ordering::SeqCst);
        lock(&self.work_queue).take();
    }

    /// Ends the threads with a complete call, if each call has a backend of its own; of several
    /// calls, with the last one.
    ///
    /// # Errors
    ///
    /// [`Error::WorkerExitFailed`].
    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.keeps_alive() || self.is_foreign() || !self.end_if_idle() {
            return Ok(());
        }
        self.join();
        self.exits.take_failure()
    }

    /// Ends the threads like [`ThreadBackend::finish`], but without waiting, after the call's job
    /// has ended.
    pub(crate) fn end_without_waiting(&self) {
        if !self.keeps_alive() && !self.is_foreign() {
            self.end_if_idle();
        }
    }

    /// Waits for threads that were told to end.
    pub(crate) fn wait_for_exiting(&self) {
        if !self.is_foreign() && self.end.load(Ordering::SeqCst) != GOES_ON {
            self.join();
        }
    }

    /// Cancels running items, ends all calls, and joins the threads.
    pub(crate) fn terminate(&self) {
        if self.is_foreign() {
            return;
        }
        self.end.store(KILLED, Ordering::SeqCst);
        self.jobs().iter().for_each(|job| job.terminate());
        self.join();
    }

    fn join(&self) {
        lock(&self.work_queue).take();
        let threads = mem::take(&mut *lock(&self.threads));
        for (worker, thread) in (0..).map(WorkerId::new).zip(threads) {
            // A thread of the backend that drops the pool cannot wait for itself, nor for the
            // thread whose task it works for in another backend.
            let id = thread.thread().id();
            if id == std::thread::current().id() || is_within_task_of(id) {
                continue;
            }
            match self.exiting.wait(worker) {
                Ok(()) => drop(thread.join()),
                // A thread that takes too long at its exit goes on by itself.
                Err(Some(limit)) => self.exits.fail(worker, Cause::Timeout { limit }),
                Err(None) => {}
            }
        }
    }
}

impl Drop for ThreadBackend {
    fn drop(&mut self) {
        if self.is_foreign() {
            // Another thread may have been changing any of this when the process was forked.
            mem::forget(self.work_queue.clone());
            mem::forget(mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner)));
            mem::forget(mem::take(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner)));
            return;
        }
        let goes_on = self.end.load(Ordering::SeqCst) == GOES_ON;
        if goes_on && !*self.retired.get_mut() {
            return self.terminate();
        }
        self.end_orderly();
        self.join();
    }
}

/// What a thread does before its first work: it is pinned, and calls the start functions.
fn begin(cpus: Option<CpuSet>, first: &[fn()], plan: u64) -> Result<(), Error> {
    if let Some(cpus) = cpus {
        cpus.pin_current_thread().or_resources("pinning a worker thread (cpu_ids)")?;
    }
    let _inside = InCall::enter(plan as usize, Inside::Start);
    for function in first {
        let called = in_task(|| catch_unwind(AssertUnwindSafe(function)));
        called.map_err(|panic| Error::WorkerStartFailed(take_panic(panic).into()))?;
    }
    Ok(())
}

/// Whether the calling thread is one of the backend, or works for a task of it, directly or through
/// other pools.
fn is_of_backend(number: usize) -> bool {
    BACKEND.get() == number || is_inside(number, Some(Inside::Task))
}

/// Whether a backend of this plan is being started, and waits for the calling thread.
pub(crate) fn starts_for(plan: u64) -> bool {
    is_inside(plan as usize, Some(Inside::Start))
}

fn work(
    work_queue: WorkReceiver<Work>,
    number: usize,
    mark: &ForkMark,
    thread_worker: &mut ThreadWorker,
) {
    for work in work_queue {
        // Calls of the task to other pools are inside of this one.
        let _inside = InCall::enter(number, Inside::Task);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(thread_worker))) {
            take_panic(payload);
        }
        if mark.get() == 0 {
            end_quietly(); // a task has forked and come back: the child is no worker
        }
    }
}
