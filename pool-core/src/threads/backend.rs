//! The threads of a backend, and the calls that use them.
//!
//! Invariant: a call that begins is counted as a claim until it is among the jobs, so that a thread
//! which ends the backend misses no call.

use std::{
    cell::Cell,
    fmt,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use pool_shm::ForkMark;

use super::{
    busy::Busy,
    claims::Claims,
    control::{self, Control},
    exiting::Exiting,
    work_queue::WorkSender,
    worker::ThreadWorker,
};
use crate::{
    cancel::CancelToken,
    error::Error,
    hooks::Exits,
    ids::WorkerId,
    insights::OpenArea,
    mutex::lock,
    reentrancy::{Inside, is_inside},
};

/// The work that a thread runs.
pub(crate) type Work = Box<dyn FnOnce(&mut ThreadWorker) + Send>;

thread_local! {
    /// The backend that this thread works in.
    pub(super) static BACKEND: Cell<usize> = const { Cell::new(0) };
}

/// How the threads end: not yet; in order, after running what is in the channel, with their exit
/// functions; or without the user's code, except for drops.
pub(super) const GOES_ON: u8 = 0;
pub(super) const ORDERLY: u8 = 1;
pub(super) const KILLED: u8 = 2;

/// A set of worker threads.
pub(crate) struct ThreadBackend {
    pub(super) work_queue: Arc<Mutex<Option<WorkSender<Work>>>>,
    pub(super) busy: Arc<Busy>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(super) jobs: Mutex<Vec<Weak<Control>>>,
    /// Calls that use the backend and are not among `jobs` yet.
    pub(super) claims: Claims,
    pub(super) number: usize,
    /// The first thread that could not be started (nor any behind it), and why.
    pub(super) missing: Option<(WorkerId, Error)>,
    /// How the threads end.
    pub(super) end: Arc<AtomicU8>,
    pub(super) exits: Arc<Exits>,
    /// Tasks after which a worker's life ends.
    pub(crate) lifespan: Option<NonZeroU64>,
    /// Whether a call leaves the threads to the next one.
    pub(super) keep_alive: AtomicBool,
    /// Whether another backend has replaced it.
    pub(super) retired: AtomicBool,
    /// Rounds of a wait loop before a caller goes to sleep.
    pub(super) spin: u32,
    /// How long `worker_init` may take.
    pub(super) init_limit: Option<Duration>,
    pub(super) exiting: Arc<Exiting>,
    /// The times of the threads.
    pub(super) insights: Option<OpenArea>,
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
                // (What waits is looked at only where there are others: the receiver writes there.)
                let is_below_share = || match self.busy.calls() {
                    0 | 1 => false,
                    calls => under_way < work_queue.waiting() / calls,
                };
                work_queue.send(worker, under_way == 0 || is_below_share(), work).err()
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
    pub(crate) fn open_job(
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
        if jobs.len() == jobs.capacity() {
            // At least half of the places are free afterwards, so this is rare.
            jobs.retain(|job| job.strong_count() > 0);
            let left = jobs.len();
            jobs.reserve(left);
        }
        jobs.push(Arc::downgrade(&control));
        Ok(control)
    }

    pub(super) fn jobs(&self) -> Vec<Arc<Control>> {
        lock(&self.jobs).iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn keeps_alive(&self) -> bool {
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

    /// Whether the threads end in order, or have ended, and take nothing any more.
    pub(crate) fn is_over(&self) -> bool {
        // Without the lock where they go on: a call that comes too late is not taken.
        self.end.load(Ordering::SeqCst) == ORDERLY && lock(&self.work_queue).is_none()
    }

    /// Whether no call uses the threads.
    pub(crate) fn is_idle(&self) -> bool {
        // Claims first: a claim that is gone has become a job.
        !self.claims.any() && self.jobs().iter().all(|job| job.is_over())
    }
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
