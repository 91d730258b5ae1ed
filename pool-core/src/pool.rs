//! A pool: the options it was built with, and the backend that it has while it works.
//!
//! Invariant: in a forked child, a pool that the child has inherited refuses every call.

mod end;
mod futures;
mod options;
mod scoped;
mod set;
mod settings;
mod slices;
mod slot;
mod submit;
mod worker_choice;

pub use options::{ForkWithThreads, PoolOptions};
pub use submit::Submit;

use std::{
    borrow::{Borrow, Cow},
    fmt,
    mem::ManuallyDrop,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pool_shm::ForkMark;

#[cfg(feature = "threads")]
use crate::job::ThreadTransport;
use crate::{
    config::PoolConfig,
    driver::{Paused, pause_drivers},
    engine::Pace,
    error::{Error, OrResources},
    futures::Budget,
    hooks::is_in_daemon,
    job::{Job, JobOptions, ProcessTransport, Transport},
    mutex::lock,
    reentrancy::{InCall, Inside, is_inside},
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
    timeout_grace: Duration,
    mark: ForkMark,
    /// Counts the bytes of results that lie in handles.
    budget: Arc<Budget>,
    backend: Mutex<ManuallyDrop<BackendSlot>>,
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
        let timeout_grace = options.timeout_grace;
        Ok(Self { plan, settings, timeout_grace, mark, budget, backend })
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
        options.check()?;
        self.check_worker("on_worker", options)?;
        let options = &*self.with_order_tasks(self.complete(options));
        let transport = self.transport(function, context, options, lazy)?;
        let pace = if lazy { Pace::Lazy } else { Pace::Call };
        let job = Job::new(transport, items, options, self.plan.n_jobs, pace);
        Ok(job.limit_chunks(self.settings.lifespan()))
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
        options.check()?;
        self.check_worker("on_worker", options)?;
        let mut transport =
            self.transport::<F>(function, context, &self.complete(options), false)?;
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
        lazy: bool,
    ) -> Result<Transport<F>, Error> {
        self.plan.life.check_state(F::keeps())?;
        let (backend, shared, _claim) = self.backend(F::shares())?;
        self.transport_of((backend, shared), function, context, options, (lazy, true))
    }

    /// Opens the way to the workers of this backend for a new job. `waits`: the calling thread may
    /// wait while the pool is being stopped.
    #[cfg_attr(not(feature = "threads"), allow(unused_variables))]
    fn transport_of<F: Portable>(
        &self,
        (backend, shared): (Backend, Option<SharedValue>),
        function: F::Function,
        context: impl Borrow<F::Context> + Into<Arc<F::Context>>,
        options: &JobOptions,
        (lazy, waits): (bool, bool),
    ) -> Result<Transport<F>, Error> {
        let number = backend.id();
        if is_inside(number, Some(Inside::View)) {
            return Err(Error::NestedUse);
        }
        Ok(match backend {
            Backend::Processes(session) => {
                let call = Call::portable::<F>(function)?;
                let mut transport = ProcessTransport::open(session, call, options, (lazy, waits))?;
                if F::TAKES_CONTEXT {
                    let _inside = InCall::enter(number, Inside::Call);
                    transport.set_context(context.borrow())?;
                }
                Transport::Processes(transport)
            }
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => {
                let context = context.into();
                Transport::Threads(ThreadTransport::open(
                    backend, function, context, shared, options, lazy,
                )?)
            }
        })
    }

    /// The options of a call, completed by the pool's settings where the call sets none.
    fn complete<'o>(&self, options: &'o JobOptions) -> Cow<'o, JobOptions> {
        let task_timeout = options.task_timeout.or_else(|| self.settings.task_timeout());
        // Without a limit there is no grace.
        let timeout_grace =
            options.timeout_grace.or_else(|| task_timeout.map(|_| self.timeout_grace));
        if (task_timeout, timeout_grace) == (options.task_timeout, options.timeout_grace) {
            Cow::Borrowed(options)
        } else {
            Cow::Owned(JobOptions { task_timeout, timeout_grace, ..options.clone() })
        }
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

    /// Waits until the first worker has a process id; `None` under Threads.
    pub(crate) fn wait_for_pid(&self) -> Result<Option<u32>, Error> {
        let backend = self.slot()?.backend.clone();
        match backend {
            Some(Backend::Processes(session)) => session.wait_for_pid().map(Some),
            _ => Ok(None),
        }
    }

    /// The backend, opened now if there is none, and under Threads the value that its tasks share.
    /// `wanted`: the type that this value must have.
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

    fn open_backend(&self, slot: &mut BackendSlot) -> Result<(), Error> {
        if slot.backend.as_ref().is_some_and(Backend::is_renewable) {
            drop(slot.retire()); // which has no processes any more
        }
        if slot.backend.is_none() {
            let start = start_of(self.plan.method)?;
            slot.backend = Some(start.open(&self.settings.plan(&self.plan), &slot.sharing.source)?);
        }
        Ok(())
    }

    /// The shared value in this process; made at the first use, without the lock.
    fn value_here(&self, wanted: Option<SharedType>) -> Result<Option<SharedValue>, Error> {
        let slot = self.slot()?;
        slot.sharing.check(wanted)?;
        let source = slot.sharing.source.clone();
        drop(slot);
        source.value_here(self.plan.shared_timeout, self.plan.bounds.stack)
    }

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

    fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    fn refuse_if_foreign(&self) -> Result<(), Error> {
        if self.is_foreign() { Err(Error::ForeignProcess) } else { Ok(()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.is_foreign() {
            return; // mappings, descriptors and the shared value belong to the parent
        }
        let slot = self.backend.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the slot is not used after this.
        let mut slot = unsafe { ManuallyDrop::take(slot) };
        slot.queues.drain(..).for_each(|queue| queue.end(None));
        slot.retired().iter().chain(&slot.backend).for_each(Backend::abandon);
    }
}
