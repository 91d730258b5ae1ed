//! A pool: the options it was built with, and the crew that it has while it works.
//!
//! Invariant: a pool that was inherited by a forked child does nothing there but refuse.

use std::{
    mem::ManuallyDrop,
    num::NonZeroU64,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pool_affinity::CpuIds;
use pool_shm::ForkMark;

#[cfg(feature = "threads")]
use crate::job::ThreadLane;
use crate::{
    error::{Error, OrResources},
    job::{Inside, Job, JobOptions, Lane, ProcessLane, is_inside},
    session::{self, Session},
    start::{Crew, CrewPlan, StartMethod, start_of},
    task::{Call, Portable},
};

/// What a pool is built with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolOptions {
    /// How many workers; `None`: as many as there are usable CPUs.
    pub n_jobs: Option<usize>,
    /// How they come to life.
    pub start_method: StartMethod,
    /// Whether they live on from call to call.
    pub keep_alive: bool,
    /// Which CPUs they run on.
    pub cpu_ids: CpuIds,
    /// Bytes that one process's arena may hold; `None`: a quarter of the free memory.
    pub arena_limit: Option<u64>,
    /// Lets `Fork` fork beside other threads.
    pub fork_beside_threads: Option<ForkBesideThreads>,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            n_jobs: None,
            start_method: StartMethod::first_compiled(),
            keep_alive: true,
            cpu_ids: CpuIds::none(),
            arena_limit: None,
            fork_beside_threads: None,
        }
    }
}

/// The caller's word that `Fork` may fork beside other threads.
#[derive(Debug, Clone, Copy)]
pub struct ForkBesideThreads(());

impl ForkBesideThreads {
    /// Gives the word.
    ///
    /// # Safety
    ///
    /// Every lock that another thread may hold at the moment of a fork stays locked in the workers
    /// for ever: that of `stdout`, of the environment, of the panic machinery, of any library.
    /// The caller knows that no task ever needs one that was held.
    #[must_use]
    pub const unsafe fn i_answer_for_it() -> Self {
        Self(())
    }
}

/// A pool of workers. All calls take `&self`; several threads may use it at once.
#[derive(Debug)]
pub struct Pool {
    plan: CrewPlan,
    keep_alive: bool,
    mark: ForkMark,
    crew: Mutex<ManuallyDrop<CrewSlot>>,
}

#[derive(Debug, Default)]
struct CrewSlot {
    crew: Option<Crew>,
    /// Whether a call has used the present workers.
    used: bool,
    /// Crews of threads that newer ones have replaced; their unfinished calls keep them.
    #[cfg(feature = "threads")]
    retired: Vec<std::sync::Weak<crate::threads::ThreadCrew>>,
}

impl CrewSlot {
    /// Lets the next call begin with a fresh crew; threads, unlike processes, are not replaced one by
    /// one. What the old crew still runs it finishes; dropping it may wait for that.
    #[cfg(feature = "threads")]
    fn retire_threads(&mut self) -> Option<Crew> {
        let Some(Crew::Threads(crew)) = &self.crew else { return None };
        self.retired.retain(|crew| crew.strong_count() > 0);
        self.retired.push(std::sync::Arc::downgrade(crew));
        self.crew.take()
    }
}

impl Pool {
    /// Checks the options and builds the pool; Fork takes its snapshot here, the other methods start
    /// their workers at the first use.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the options, by name; what the start method cannot do in this process;
    /// resources that cannot be had.
    pub fn build(options: &PoolOptions) -> Result<Self, Error> {
        let n_jobs = options.n_jobs.unwrap_or_else(|| options.cpu_ids.suitable_workers());
        let refuse = |text: String| Err(Error::InvalidInput(text));
        if !(1..=pool_ipc::board::MAX_PLACES).contains(&n_jobs) {
            let most = pool_ipc::board::MAX_PLACES;
            return refuse(format!("n_jobs must be from 1 to {most}, got {n_jobs}"));
        }
        if options.arena_limit.is_some_and(|limit| limit < 1 << 20) {
            return refuse("arena_limit must be at least 1 MiB".to_string());
        }
        let cpus = match options.cpu_ids.plan_here(n_jobs) {
            Ok(cpus) => cpus,
            Err(error) => return refuse(format!("cpu_ids: {error}")),
        };
        let plan = CrewPlan {
            method: options.start_method,
            n_jobs,
            cpus,
            arena_limit: options.arena_limit.unwrap_or_else(pool_ipc::default_limit),
            fork_beside_threads: options.fork_beside_threads.is_some(),
        };
        let start = start_of(plan.method)?;
        start.check(&plan)?;
        if plan.method != StartMethod::Threads {
            session::reservation(n_jobs)?;
        }
        let crew = if start.is_eager() { Some(start.open(&plan)?) } else { None };
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("a page of memory")?;
        let slot = CrewSlot { crew, ..CrewSlot::default() };
        let crew = Mutex::new(ManuallyDrop::new(slot));
        Ok(Self { plan, keep_alive: options.keep_alive, mark, crew })
    }

    /// How many workers there are.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.plan.n_jobs
    }

    /// How they come to life.
    #[must_use]
    pub fn start_method(&self) -> StartMethod {
        self.plan.method
    }

    /// Prepares a call; nothing runs before its results are asked for.
    ///
    /// # Errors
    ///
    /// Options that mean nothing, a function that cannot cross, a pool that cannot be used.
    pub fn job<F: Portable, I: Iterator<Item = F::Item>>(
        &self,
        function: F::Function,
        context: F::Context,
        items: I,
        options: &JobOptions,
        lazy: bool,
    ) -> Result<Job<F, I>, Error> {
        options.check()?;
        let crew = self.crew()?;
        if is_inside(crew.id(), Some(Inside::View)) {
            return Err(Error::NestedUse);
        }
        let lane = match crew {
            Crew::Processes(session) => {
                let call = Call::portable::<F>(function)?;
                let mut lane = ProcessLane::open(session, call, lazy)?;
                if F::TAKES_CONTEXT {
                    lane.set_context(&context)?;
                }
                Lane::Processes(lane)
            }
            #[cfg(feature = "threads")]
            Crew::Threads(crew) => Lane::Threads(ThreadLane::open(crew, function, context, lazy)?),
        };
        Ok(Job::new(lane, items, options, self.plan.n_jobs, lazy))
    }

    /// Runs a closure with captures over the items; values in input order.
    ///
    /// Under Fork the process is forked afresh for the call, under Threads the closure itself is
    /// shared. Returns, also by an error or a panic, only when nothing of it runs any more.
    ///
    /// # Errors
    ///
    /// As the other calls; [`Error::NotSupported`] under Spawn and ForkServer.
    pub fn map_scoped<A, R, G, I>(
        &self,
        items: I,
        closure: &G,
        options: &JobOptions,
    ) -> Result<Vec<R>, Error>
    where
        A: pool_ipc::Wire,
        R: pool_ipc::Wire,
        G: Fn(A) -> R + Sync,
        I: Iterator<Item = A>,
    {
        options.check()?;
        self.refuse_if_foreign()?;
        let method = self.plan.method;
        let workers = self.plan.n_jobs;
        match method {
            StartMethod::Fork => {
                #[allow(irrefutable_let_patterns)]
                let Crew::Processes(session) = start_of(method)?.open(&self.plan)? else {
                    unreachable!("fork makes processes");
                };
                let call = Call::scoped::<crate::task::Scoped<'_, G, A, R>>(closure)?;
                let lane = ProcessLane::<crate::task::Scoped<'_, G, A, R>>::open(
                    session.clone(),
                    call,
                    false,
                )?;
                let job = Job::new(Lane::Processes(lane), items, options, workers, false);
                // The session ends, and its processes with it, when this returns or unwinds.
                let result = job.values(true);
                drop(session);
                result
            }
            #[cfg(feature = "threads")]
            StartMethod::Threads => {
                #[allow(irrefutable_let_patterns, clippy::infallible_destructuring_match)]
                let Crew::Threads(crew) = self.crew()? else {
                    unreachable!("threads make threads");
                };
                // SAFETY: the lane is dropped in this function, at the latest when it unwinds; the
                // closure is borrowed for longer.
                let lane = unsafe {
                    ThreadLane::<crate::task::Scoped<'_, G, A, R>>::open_scoped(crew, closure, ())?
                };
                Job::new(Lane::Threads(lane), items, options, workers, false).values(true)
            }
            method => {
                Err(Error::NotSupported { method, what: "map_scoped: captures cannot cross" })
            }
        }
    }

    /// The process ids of the workers that run now, in order of their ids; none before the first
    /// call and under Threads.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        if self.is_foreign() {
            return Vec::new();
        }
        match &self.slot().crew {
            Some(Crew::Processes(session)) => session.worker_pids(),
            _ => Vec::new(),
        }
    }

    /// Waits until the first worker has a process id; `None` under Threads.
    pub(crate) fn wait_for_pid(&self) -> Result<Option<u32>, Error> {
        let crew = self.slot().crew.as_ref().map(Crew::share);
        match crew {
            Some(Crew::Processes(session)) => session.wait_for_pid().map(Some),
            _ => Ok(None),
        }
    }

    /// Lets blocking calls of other threads finish, ends lazy ones, lets the workers end what they
    /// run, and waits until they have ended. The pool can be used again; a second call does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignProcess`], or [`Error::PoolBroken`] when there was nobody left to stop.
    pub fn stop_and_join(&self) -> Result<(), Error> {
        self.end(true, Session::stop, |crew| {
            #[cfg(feature = "threads")]
            if let Crew::Threads(crew) = crew {
                crew.stop();
            }
            let _ = crew;
        })
    }

    /// Kills the workers at once and ends all calls with [`Error::Terminated`]; under Threads running
    /// items are told and waited for. The pool can be used again; a second call does nothing.
    ///
    /// # Errors
    ///
    /// As [`Pool::stop_and_join`].
    pub fn terminate(&self) -> Result<(), Error> {
        self.end(false, Session::terminate, |crew| {
            #[cfg(feature = "threads")]
            if let Crew::Threads(crew) = crew {
                crew.terminate();
            }
            let _ = crew;
        })
    }

    fn end(
        &self,
        waits_for_calls: bool,
        processes: fn(&Session),
        threads: fn(&Crew),
    ) -> Result<(), Error> {
        self.refuse_if_foreign()?;
        // Not under the lock: a call that has to end may need it.
        #[cfg(feature = "threads")]
        let retired = std::mem::take(&mut self.slot().retired);
        #[cfg(feature = "threads")]
        for crew in retired.iter().filter_map(std::sync::Weak::upgrade) {
            threads(&Crew::Threads(crew));
        }
        let crew = self.slot().crew.as_ref().map(Crew::share);
        let waits = |crew: &Crew| (waits_for_calls && is_inside(crew.id(), None)) || crew.is_mine();
        if crew.as_ref().is_some_and(waits) {
            return Err(Error::NestedUse);
        }
        match &crew {
            None => return Ok(()),
            Some(Crew::Processes(session)) => {
                processes(session);
                if session.is_broken() {
                    return Err(Error::PoolBroken);
                }
            }
            #[cfg(feature = "threads")]
            Some(other) => threads(other),
        }
        #[cfg(not(feature = "threads"))]
        let _ = threads;
        let mut slot = self.slot();
        slot.used = false;
        // The snapshot that Fork took stays: it is what the next workers come from.
        if self.plan.method != StartMethod::Fork {
            slot.crew = None;
        }
        Ok(())
    }

    /// The crew, made now if there is none.
    fn crew(&self) -> Result<Crew, Error> {
        self.refuse_if_foreign()?;
        #[cfg(feature = "threads")]
        let retired; // dropped when the lock is not held any more
        let mut slot = self.slot();
        #[cfg(feature = "threads")]
        {
            retired = if slot.used && !self.keep_alive { slot.retire_threads() } else { None };
        }
        if slot.crew.is_none() {
            slot.crew = Some(start_of(self.plan.method)?.open(&self.plan)?);
        }
        let crew = slot.crew.as_ref().map(Crew::share).expect("made just now");
        let used = std::mem::replace(&mut slot.used, true);
        drop(slot);
        #[cfg(feature = "threads")]
        drop(retired);
        if used && !self.keep_alive {
            #[allow(irrefutable_let_patterns)]
            if let Crew::Processes(session) = &crew {
                session.renew_workers();
            }
        }
        Ok(crew)
    }

    fn slot(&self) -> MutexGuard<'_, ManuallyDrop<CrewSlot>> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
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
            return; // mappings and descriptors are the parent's business
        }
        let slot = self.crew.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the slot is not used after this.
        let CrewSlot { crew, .. } = unsafe { ManuallyDrop::take(slot) };
        match &crew {
            // A job that outlives its pool finds its workers killed.
            Some(Crew::Processes(session)) if std::sync::Arc::strong_count(session) > 1 => {
                session.terminate();
                session.end();
            }
            Some(Crew::Processes(_)) => {}
            #[cfg(feature = "threads")]
            Some(Crew::Threads(crew)) => crew.terminate(),
            None => {}
        }
    }
}
