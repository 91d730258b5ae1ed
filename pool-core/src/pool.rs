//! A pool: the options it was built with, and the backend that it has while it works.
//!
//! Invariant: in a forked child, a pool that the child has inherited refuses every call.
//!
//! * `pool/options.rs`: the options of a pool.
//! * `pool/settings.rs`: the settings that may change between two calls, which complete the options
//!   of a call; `pool/set.rs`: changes them, and gets the fresh workers that some of them require.
//! * `pool/slot.rs`: the present state of a pool: its backend, and the value that workers share.
//! * `pool/end.rs`: the end of the workers, and their exit results.
//! * `pool/futures.rs`: futures of a pool; `pool/submit.rs`: a call of one item that waits for room
//!   without a thread.
//! * `pool/insights.rs`: what the workers spend their time with.
//! * `pool/logs.rs`: when captured logs are delivered.
//! * `pool/scoped.rs`: maps of closures with captures; `pool/slices.rs`: maps over parts of a
//!   shared array.

mod end;
mod futures;
mod insights;
#[cfg(feature = "capture-log")]
mod logs;
mod options;
mod scoped;
mod set;
mod settings;
mod slices;
mod slot;
mod submit;

pub use options::{ForkWithThreads, PoolOptions};
pub use submit::Submit;

use std::{
    borrow::{Borrow, Cow},
    fmt,
    mem::ManuallyDrop,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pool_shm::ForkMark;

use crate::{
    calls::{CallList, CallSnapshot, Function, PoolParts, WatchedPool, close, is_watched, list_of},
    cancel::CancelToken,
    config::PoolConfig,
    driver::{Paused, pause_drivers},
    engine::Pace,
    error::{Error, OrResources},
    futures::Budget,
    hooks::is_in_daemon,
    job::{Borrows, Job, JobOptions, Opening, Transport},
    mutex::lock,
    session,
    shared::SharedValue,
    stack,
    start::{Backend, BackendClaim, start_of},
    start_method::StartMethod,
    task::{Call, Portable, SharedType},
};
use settings::Settings;
use slot::{BackendSlot, Sharing};

/// The backend of a call that begins, the value that threads share, and the claim on the backend.
type ClaimedBackend = (Backend, Option<SharedValue>, BackendClaim);

/// A pool of workers. All calls take `&self`; several threads may use it at once.
pub struct Pool {
    plan: PoolConfig,
    settings: Settings,
    mark: ForkMark,
    /// Counts the bytes of results that lie in handles.
    budget: Arc<Budget>,
    backend: Mutex<ManuallyDrop<BackendSlot>>,
    /// The calls that are recorded.
    calls: Arc<CallList>,
}

type LockedSlot<'p> = MutexGuard<'p, ManuallyDrop<BackendSlot>>;

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        f.debug_struct("Pool")
            .field("n_jobs", &plan.n_jobs)
            .field("method", &plan.method)
            .field("keep_alive", &self.settings.keep_alive())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Checks the options and builds the pool; Fork takes its snapshot here, the other methods
    /// start their workers at the first use.
    ///
    /// # Errors
    ///
    /// Options that are wrong, by name; what the start method cannot do in this process; resources
    /// that the system refuses.
    pub fn build(options: &PoolOptions) -> Result<Self, Error> {
        if is_in_daemon() {
            return Err(Error::NestedPool);
        }
        let plan = options.plan()?;
        let start = start_of(plan.method)?;
        start.check(&plan)?;
        if plan.method != StartMethod::Threads {
            session::reservation(plan.n_jobs, plan.asked_arena)?;
            plan.first_offsets()?;
            plan.describer_offsets()?;
            plan.life.config()?;
        }
        if plan.bounds.dumped {
            pool_shm::dump_shared_objects(true);
        }
        let sharing = Sharing::new(options.shared.clone(), &plan)?;
        let backend =
            if start.is_eager() { Some(start.open(&plan, &sharing.source)?) } else { None };
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("mapping a page of memory")?;
        let backend = Mutex::new(ManuallyDrop::new(BackendSlot::new(backend, sharing)));
        let beside = stack::size_beside(plan.bounds.stack);
        let budget = Arc::new(Budget::new(options.max_result_bytes, plan.arena_limit, beside));
        let settings = Settings::new(&plan, options);
        let (n_jobs, method, watched) = (plan.n_jobs, plan.method, options.watched);
        let calls = list_of(PoolParts { n_jobs, method, watched }, plan.insights.clone());
        let pool = Self { plan, settings, mark, budget, backend, calls };
        pool.tell_backend(lock(&pool.backend).backend.as_ref());
        Ok(pool)
    }

    /// How many workers there are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.plan.n_jobs
    }

    /// How its workers are started.
    #[must_use]
    pub fn start_method(&self) -> StartMethod {
        self.plan.method
    }

    /// Prepares a call; nothing runs before its results are asked for.
    ///
    /// # Errors
    ///
    /// Invalid options, a function that cannot be sent to the workers, a pool that cannot be used.
    pub fn job<F: Portable, I: Iterator<Item = F::Item>>(
        &self,
        function: F::Function,
        context: F::Context,
        items: I,
        options: &JobOptions,
        lazy: bool,
    ) -> Result<Job<F, I>, Error> {
        let options = &*self.watched(self.checked(options)?, || Function::portable::<F>(function));
        let (opening, pace) =
            if lazy { (Opening::Lazy, Pace::Lazy) } else { (Opening::Waits, Pace::Call) };
        let transport = self.transport(function, context, options, opening)?;
        Ok(Job::new(transport, items, options, self.plan.n_jobs, pace))
    }

    /// Runs a function on one item and waits for the value.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`], and the failure of the task.
    pub fn value<F: Portable>(
        &self,
        function: F::Function,
        context: F::Context,
        item: F::Item,
        options: &JobOptions,
    ) -> Result<F::Output, Error> {
        if options.progress.is_some() {
            return self.shown_value::<F>(function, context, item, options);
        }
        let options = &*self.checked(options)?;
        let mut transport = self.transport::<F>(function, context, options, Opening::Waits)?;
        if options.worker.is_some() {
            transport.set_target(options.target(self.plan.n_jobs));
        }
        transport.value_of(item)
    }

    /// Opens the way to the workers for a new job.
    fn transport<F: Portable>(
        &self,
        function: F::Function,
        context: F::Context,
        options: &JobOptions,
        opening: Opening,
    ) -> Result<Transport<F>, Error> {
        self.plan.life.check_state(F::keeps())?;
        let (backend, shared, _claim) = self.backend(F::shares())?;
        portable_transport((backend, shared), function, context, options, opening)
    }

    /// The options of a call, checked, and completed by the pool's settings.
    #[inline]
    fn checked<'o>(&self, options: &'o JobOptions) -> Result<Cow<'o, JobOptions>, Error> {
        options.check()?;
        #[cfg(feature = "capture-log")]
        self.tell_log_levels();
        let n_jobs = self.plan.n_jobs;
        match options.worker {
            Some(worker) if worker as usize >= n_jobs => Err(Error::InvalidInput(format!(
                "on_worker: worker id must be below {n_jobs}, got {worker}"
            ))),
            _ => Ok(self.settings.complete(options)),
        }
    }

    /// Tells those who watch the pool which workers it has now.
    fn tell_backend(&self, backend: Option<&Backend>) {
        if let Some(backend) = backend.map(Backend::downgrade) {
            self.calls.set_worker_pids(Box::new(move || match backend() {
                Some(Backend::Processes(session)) => session.worker_pids(),
                _ => Vec::new(),
            }));
        }
    }

    /// The options, with the way in which the call is recorded if it is to be.
    #[inline]
    fn watched<'o>(
        &self,
        options: Cow<'o, JobOptions>,
        function: impl FnOnce() -> Function,
    ) -> Cow<'o, JobOptions> {
        // Asked in any case, since it lists the pool.
        let is_watched = is_watched(&self.calls);
        if options.progress.is_none() && !is_watched {
            return options;
        }
        let mut options = options;
        let complete = options.to_mut();
        // Without a descriptor for a token the call cannot be cancelled by its number.
        complete.cancel = complete.cancel.take().or_else(|| CancelToken::new().ok());
        complete.watch = Some(complete.watch_plan(&self.calls, function()));
        options
    }

    /// The calls that are recorded: those of a pool that is watched ([`PoolOptions::watched`],
    /// [`watch_all`](crate::watch_all)).
    #[must_use]
    pub fn calls(&self) -> Vec<CallSnapshot> {
        self.calls.snapshots()
    }

    /// The pool, seen from outside: its calls, and how to cancel one.
    #[must_use]
    pub fn watch(&self) -> WatchedPool {
        WatchedPool::of(&self.calls)
    }

    /// The value of a call that shows its progress.
    #[cold]
    fn shown_value<F: Portable>(
        &self,
        function: F::Function,
        context: F::Context,
        item: F::Item,
        options: &JobOptions,
    ) -> Result<F::Output, Error> {
        // It is a single call: the turn of the workers does not begin with it.
        let options = JobOptions { order_tasks: Some(false), form: "apply", ..options.clone() };
        let item = std::iter::once(item);
        let values = self.job::<F, _>(function, context, item, &options, false)?.values(true)?;
        Ok(values.into_iter().next().expect("a job of one item has a value"))
    }

    /// The process ids of the running workers, in order of their ids; none before the first call
    /// and under Threads. A worker that is just ending may still be among them.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        if self.is_foreign() {
            return Vec::new();
        }
        match self.slot().map(|slot| slot.backend.clone()) {
            Ok(Some(Backend::Processes(session))) => session.worker_pids(),
            _ => Vec::new(),
        }
    }

    /// The backend, opened now if there is none, and under Threads the value that its tasks share.
    /// `wanted`: the type that this value must have.
    #[inline]
    fn backend(&self, wanted: Option<SharedType>) -> Result<ClaimedBackend, Error> {
        self.refuse_if_foreign()?;
        let threads = self.plan.method == StartMethod::Threads;
        let shared = if threads { self.value_here(wanted)? } else { None };
        let (_paused, mut slot) = self.slot_for_backend()?;
        slot.sharing.check(wanted)?;
        let fresh = slot.used && !self.settings.keep_alive();
        let anew = fresh || !slot.used;
        // A set of threads, unlike processes, is replaced as a whole.
        let retired = if threads && fresh { slot.retire() } else { None };
        self.open_backend(&mut slot)?;
        let backend = slot.backend.clone().expect("made just now");
        let claim = backend.claim();
        slot.used = true;
        drop(slot);
        if let Some(backend) = retired {
            self.end_retired(&backend); // which may wait, and so may its drop
        }
        if fresh && let Backend::Processes(session) = &backend {
            session.renew_used_workers();
        }
        // Cleared only now, since older workers may have been at their exits.
        if anew {
            self.plan.exits.clear();
        }
        Ok((backend, shared, claim))
    }

    #[inline]
    fn open_backend(&self, slot: &mut BackendSlot) -> Result<(), Error> {
        if slot.backend.as_ref().is_some_and(Backend::is_renewable) {
            drop(slot.retire()); // which has no processes any more
        }
        if slot.backend.is_none() {
            let start = start_of(self.plan.method)?;
            slot.backend = Some(start.open(&self.settings.plan(&self.plan), &slot.sharing.source)?);
            self.tell_backend(slot.backend.as_ref());
        }
        Ok(())
    }

    /// The shared value in this process; made at the first use, without the lock.
    #[inline]
    fn value_here(&self, wanted: Option<SharedType>) -> Result<Option<SharedValue>, Error> {
        let slot = self.slot()?;
        slot.sharing.check(wanted)?;
        let source = slot.sharing.source.clone();
        drop(slot);
        source.value_here(self.plan.shared_timeout, self.plan.bounds.stack)
    }

    #[inline]
    fn slot(&self) -> Result<LockedSlot<'_>, Error> {
        // The lock may be held by a thread that waits for this very thread.
        #[cfg(feature = "threads")]
        if crate::threads::starts_for(self.plan.id) {
            return Err(Error::NestedUse);
        }
        Ok(lock(&self.backend))
    }

    /// The slot, for a call that needs a backend. Where this process may have to be forked for the
    /// backend, no driver thread runs meanwhile; the driver threads end before the lock is taken,
    /// and start again after it is free, since the user's code in one of them may wait for the
    /// lock.
    #[inline]
    fn slot_for_backend(&self) -> Result<(Option<Paused>, LockedSlot<'_>), Error> {
        let slot = self.slot()?;
        let is_there = slot.backend.as_ref().is_some_and(|backend| !backend.is_renewable());
        if is_there || self.plan.method != StartMethod::Fork {
            return Ok((None, slot));
        }
        drop(slot);
        let paused = pause_drivers();
        Ok((Some(paused), self.slot()?))
    }

    #[inline]
    fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    #[inline]
    fn refuse_if_foreign(&self) -> Result<(), Error> {
        if self.is_foreign() { Err(Error::ForeignProcess) } else { Ok(()) }
    }
}

/// Opens the way to the workers of this backend for a new job.
fn portable_transport<F: Portable>(
    workers: (Backend, Option<SharedValue>),
    function: F::Function,
    context: impl Borrow<F::Context> + Into<Arc<F::Context>>,
    options: &JobOptions,
    opening: Opening,
) -> Result<Transport<F>, Error> {
    let (call, borrows) = (Call::portable::<F>, Borrows::Nothing);
    // SAFETY: a portable form is `'static`.
    unsafe { Transport::open(workers, call, function, context, borrows, options, opening) }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.is_foreign() {
            return; // mappings, descriptors and the shared value belong to the parent
        }
        close(&self.calls);
        let slot = self.backend.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the slot is not used after this.
        let mut slot = unsafe { ManuallyDrop::take(slot) };
        slot.queues.drain(..).for_each(|queue| queue.end(None));
        slot.retired().iter().chain(&slot.backend).for_each(Backend::abandon);
        #[cfg(feature = "capture-log")]
        {
            drop(slot); // which ends the workers
            self.end_log_capture();
        }
    }
}
