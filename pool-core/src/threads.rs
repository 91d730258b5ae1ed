//! A crew of worker threads: tasks move by value through a channel, nothing is encoded.
//!
//! Invariant: a chunk that is not cancelled is run by exactly one thread, item by item; no panic of a
//! task ends a thread.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use pool_ipc::Decoder;

use crate::{
    error::{Error, OrResources},
    start::CrewPlan,
    task::{ContextCell, FailureKind, Form, Surroundings},
    worker::{in_task, learn_locations, take_panic},
};

/// What a thread runs; it gets the thread's worker id.
type Errand = Box<dyn FnOnce(u32) + Send>;

thread_local! {
    /// The crew that this thread works in.
    static CREW: Cell<usize> = const { Cell::new(0) };
}

/// See the module.
pub(crate) struct ThreadCrew {
    errands: Mutex<Option<Sender<Errand>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    jobs: Mutex<Vec<Weak<dyn Control>>>,
    number: usize,
}

impl fmt::Debug for ThreadCrew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadCrew").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A job as its crew sees it.
pub(crate) trait Control: Send + Sync {
    /// Tells running items, drops what was not begun, and makes the job's caller see its end.
    fn terminate(&self);
    /// Whether its consumer may be anywhere.
    fn is_lazy(&self) -> bool;
    /// Waits until the caller has given the job up.
    fn wait_for_end(&self);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ThreadCrew {
    pub(crate) fn start(plan: &CrewPlan) -> Result<Self, Error> {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        learn_locations(false);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = unbounded::<Errand>();
        let crew = Self {
            errands: Mutex::new(Some(sender)),
            threads: Mutex::new(Vec::new()),
            jobs: Mutex::new(Vec::new()),
            number,
        };
        for id in 0..plan.n_jobs as u32 {
            let receiver = receiver.clone();
            let cpus = plan.cpus.cpus_of(id as usize).copied();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || {
                    if let Some(cpus) = cpus {
                        // Checked when the pool was built; a set that was taken away since then
                        // must not take the worker along.
                        let _ = cpus.pin_current_thread();
                    }
                    CREW.set(number);
                    work(&receiver, id);
                })
                .or_resources("starting a worker thread");
            match thread {
                Ok(thread) => lock(&crew.threads).push(thread),
                Err(error) => return Err(error), // dropping the crew ends and joins the others
            }
        }
        Ok(crew)
    }

    /// Whether the calling thread is one of this crew.
    pub(crate) fn is_mine(&self) -> bool {
        CREW.get() == self.number
    }

    fn send(&self, errand: Errand) -> Result<(), Error> {
        match &*lock(&self.errands) {
            Some(errands) => errands.send(errand).map_err(|_| Error::Terminated),
            None => Err(Error::Terminated),
        }
    }

    fn jobs(&self) -> Vec<Arc<dyn Control>> {
        lock(&self.jobs).iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets blocking calls of other threads finish, ends lazy ones, and joins the threads.
    pub(crate) fn stop(&self) {
        for job in self.jobs() {
            if job.is_lazy() {
                job.terminate();
            } else {
                job.wait_for_end();
            }
        }
        self.join();
    }

    /// Tells running items, ends all calls, and joins the threads.
    pub(crate) fn terminate(&self) {
        self.jobs().iter().for_each(|job| job.terminate());
        self.join();
    }

    fn join(&self) {
        lock(&self.errands).take();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A thread of the crew that drops the pool cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for ThreadCrew {
    fn drop(&mut self) {
        self.terminate();
    }
}

fn work(errands: &Receiver<Errand>, id: u32) {
    for errand in errands {
        errand(id);
    }
}

/// Results of consecutive items of a chunk, up to a failure.
pub(crate) struct Part<R> {
    pub(crate) first: u64,
    pub(crate) nanos: u64,
    pub(crate) values: Vec<R>,
    /// The failure of the item behind the values, and the worker that had it.
    pub(crate) failure: Option<(FailureKind, u32)>,
    /// Whether the chunk has ended with it.
    pub(crate) ends: bool,
}

/// One job of a crew.
pub(crate) struct ThreadJob<F: Form> {
    state: Mutex<JobState<F::Output>>,
    changed: Condvar,
    cancelled: AtomicBool,
    lazy: bool,
}

struct JobState<R> {
    parts: VecDeque<Part<R>>,
    /// Chunks that were sent and have not ended.
    under_way: usize,
    terminated: bool,
    over: bool,
}

impl<F: Form> ThreadJob<F> {
    pub(crate) fn open(crew: &ThreadCrew, lazy: bool) -> Result<Arc<Self>, Error>
    where
        F: 'static,
    {
        let job = Self::unlisted(lazy);
        let control: Arc<dyn Control> = job.clone();
        let mut jobs = lock(&crew.jobs);
        jobs.retain(|job| job.strong_count() > 0);
        jobs.push(Arc::downgrade(&control));
        Ok(job)
    }

    /// A job that its crew does not know of: it has to end before its caller goes on.
    pub(crate) fn unlisted(lazy: bool) -> Arc<Self> {
        let state =
            JobState { parts: VecDeque::new(), under_way: 0, terminated: false, over: false };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            lazy,
        })
    }

    /// Sends a chunk to the crew.
    ///
    /// # Safety
    ///
    /// What `function` borrows outlives the chunk: the caller either owns all of it, or waits in
    /// [`ThreadJob::wait_until_idle`] before the borrow ends.
    pub(crate) unsafe fn send(
        self: &Arc<Self>,
        crew: &ThreadCrew,
        function: F::Function,
        context: &Arc<F::Context>,
        first: u64,
        parcels: Vec<F::Parcel>,
    ) -> Result<(), Error> {
        lock(&self.state).under_way += 1;
        let (job, context) = (self.clone(), context.clone());
        let errand: Box<dyn FnOnce(u32) + Send + '_> = Box::new(move |id| {
            let parts = job.run(function, &context, first, parcels, id);
            drop(context);
            job.ended(parts);
        });
        // SAFETY: only the lifetime changes. The caller promises that the borrows in the errand are
        // good until `ended` has counted it, which is the last thing that the errand does with them.
        let errand =
            unsafe { std::mem::transmute::<Box<dyn FnOnce(u32) + Send + '_>, Errand>(errand) };
        crew.send(errand).inspect_err(|_| lock(&self.state).under_way -= 1)
    }

    fn run(
        &self,
        function: F::Function,
        context: &F::Context,
        first: u64,
        parcels: Vec<F::Parcel>,
        worker: u32,
    ) -> Vec<Part<F::Output>> {
        let count = parcels.len() as u64;
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        let cancelled = || self.cancelled.load(Ordering::Relaxed);
        let mut surroundings = Surroundings {
            worker,
            cancelled: &cancelled,
            decoder: &mut decoder,
            context: &mut cell,
        };
        let mut parcels = parcels.into_iter();
        let mut parts = Vec::with_capacity(1);
        loop {
            let started = Instant::now();
            let first = first + count - parcels.len() as u64;
            let mut values = Vec::with_capacity(parcels.len());
            let outcome = in_task(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    while !cancelled()
                        && let Some(parcel) = parcels.next()
                    {
                        values.push(F::call_parcel(function, context, &mut surroundings, parcel));
                    }
                }))
            });
            let failure = outcome.err().map(|payload| (take_panic(payload), worker));
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let goes_on = failure.is_some() && parcels.len() > 0;
            parts.push(Part { first, nanos, values, failure, ends: !goes_on });
            if !goes_on {
                return parts;
            }
        }
    }

    fn ended(&self, parts: Vec<Part<F::Output>>) {
        let mut state = lock(&self.state);
        if !state.over {
            state.parts.extend(parts);
        }
        state.under_way -= 1;
        self.changed.notify_all();
    }

    pub(crate) fn has_arrived(&self) -> bool {
        let state = lock(&self.state);
        state.terminated || !state.parts.is_empty()
    }

    /// Waits for parts; `None` when the job was terminated.
    pub(crate) fn next(&self, most: usize) -> Option<Vec<Part<F::Output>>> {
        let mut state = lock(&self.state);
        while state.parts.is_empty() && !state.terminated {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.parts.len().min(most);
        (!state.terminated).then(|| state.parts.drain(..count).collect())
    }

    /// The caller gives the job up: running items are told, the others are dropped.
    pub(crate) fn close(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.over = true;
        state.parts.clear();
        self.changed.notify_all();
    }

    /// Waits until no chunk of the job runs any more.
    pub(crate) fn wait_until_idle(&self) {
        let mut state = lock(&self.state);
        while state.under_way > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<F: Form> Control for ThreadJob<F> {
    fn terminate(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        lock(&self.state).terminated = true;
        self.changed.notify_all();
    }

    fn is_lazy(&self) -> bool {
        self.lazy
    }

    fn wait_for_end(&self) {
        let mut state = lock(&self.state);
        while !state.over && !state.terminated {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
