//! A crew of worker threads: tasks move by value through a channel, nothing is encoded.
//!
//! Invariant: a chunk that is not cancelled is run by exactly one thread, item by item; every chunk is
//! counted when it ends, also one that never ran; no panic of a task or of a value's `Drop` ends a
//! thread. A forked child, which has none of the threads, finds nothing but refusals here.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt, mem,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
    vec,
};

use crossbeam::channel::{Receiver, Sender, unbounded};
use pool_ipc::Decoder;
use pool_shm::ForkMark;

use crate::{
    error::{Error, OrResources},
    start::CrewPlan,
    task::{ContextCell, FailureKind, Form, Surroundings},
    worker::{end_quietly, in_task, learn_locations, take_panic},
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
    jobs: Mutex<Vec<Weak<Control>>>,
    number: usize,
    mark: Arc<ForkMark>,
}

impl fmt::Debug for ThreadCrew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadCrew").field("number", &self.number).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops a value of the user's; what its `Drop` panics with goes no further.
fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        take_panic(payload);
    }
}

/// The same, one by one: a second panic while the first one unwinds would abort.
fn drop_parts<R>(parts: impl IntoIterator<Item = Part<R>>) {
    parts.into_iter().flat_map(|part| part.values).for_each(drop_quietly);
}

impl ThreadCrew {
    pub(crate) fn start(plan: &CrewPlan) -> Result<Self, Error> {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        learn_locations(false);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("a page of memory")?;
        let mark = Arc::new(mark);
        let (sender, receiver) = unbounded::<Errand>();
        let crew = Self {
            errands: Mutex::new(Some(sender)),
            threads: Mutex::new(Vec::new()),
            jobs: Mutex::new(Vec::new()),
            number,
            mark,
        };
        let (pinned, pins) = unbounded();
        for id in 0..plan.n_jobs as u32 {
            let (receiver, mark, pinned) = (receiver.clone(), crew.mark.clone(), pinned.clone());
            let cpus = plan.cpus.cpus_of(id as usize).copied();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{id}"))
                .spawn(move || {
                    if let Some(cpus) = cpus
                        && let Err(error) = cpus.pin_current_thread()
                    {
                        // Whoever starts the crew listens until every thread has got past here.
                        let _ = pinned.send(error);
                        return;
                    }
                    drop(pinned);
                    CREW.set(number);
                    work(&receiver, &mark, id);
                })
                .or_resources("starting a worker thread");
            match thread {
                Ok(thread) => lock(&crew.threads).push(thread),
                Err(error) => return Err(error), // dropping the crew ends and joins the others
            }
        }
        drop(pinned);
        match pins.recv() {
            Ok(error) => Err(error).or_resources("pinning a worker thread (cpu_ids)"),
            Err(_) => Ok(crew),
        }
    }

    /// Whether the calling thread is one of this crew.
    pub(crate) fn is_mine(&self) -> bool {
        CREW.get() == self.number
    }

    /// Whether this process was forked from the one that has the threads.
    fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    fn send(&self, errand: Errand) -> Result<(), Error> {
        let unsent = match &*lock(&self.errands) {
            Some(errands) => errands.send(errand).err().map(|error| error.0),
            None => Some(errand),
        };
        // The lock is not held any more when the errand is dropped, and the user's items with it.
        unsent.map_or(Ok(()), |_| Err(Error::Terminated))
    }

    fn jobs(&self) -> Vec<Arc<Control>> {
        lock(&self.jobs).iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets blocking calls of other threads finish, ends lazy ones, and joins the threads.
    pub(crate) fn stop(&self) {
        if self.is_foreign() {
            return;
        }
        for job in self.jobs() {
            if job.lazy {
                job.terminate();
            } else {
                job.wait_for_end();
            }
        }
        self.join();
    }

    /// Tells running items, ends all calls, and joins the threads.
    pub(crate) fn terminate(&self) {
        if self.is_foreign() {
            return;
        }
        self.jobs().iter().for_each(|job| job.terminate());
        self.join();
    }

    fn join(&self) {
        lock(&self.errands).take();
        let threads = mem::take(&mut *lock(&self.threads));
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
        if self.is_foreign() {
            // Another thread may have been at any of this when the process was forked.
            mem::forget(self.errands.get_mut().unwrap_or_else(PoisonError::into_inner).take());
            mem::forget(mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner)));
            mem::forget(mem::take(self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner)));
            return;
        }
        self.terminate();
    }
}

fn work(errands: &Receiver<Errand>, mark: &ForkMark, id: u32) {
    for errand in errands {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| errand(id))) {
            take_panic(payload);
        }
        if mark.get() == 0 {
            end_quietly(); // a task has forked and come back: the child is no worker
        }
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

/// A job as its crew sees it: nothing in it is the user's.
struct Control {
    flow: Mutex<Flow>,
    changed: Condvar,
    cancelled: AtomicBool,
    /// Whether its consumer may be anywhere.
    lazy: bool,
    mark: Arc<ForkMark>,
}

struct Flow {
    /// Chunks that were sent and have not ended.
    under_way: usize,
    terminated: bool,
    over: bool,
}

impl Control {
    fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Waits while `condition` holds.
    fn wait_while(&self, mut condition: impl FnMut(&Flow) -> bool) -> MutexGuard<'_, Flow> {
        let flow = self.changed.wait_while(lock(&self.flow), |flow| condition(flow));
        flow.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells running items, drops what was not begun, and makes the job's caller see its end.
    fn terminate(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        lock(&self.flow).terminated = true;
        self.changed.notify_all();
    }

    /// Waits until the caller has given the job up.
    fn wait_for_end(&self) {
        drop(self.wait_while(|flow| !flow.over && !flow.terminated));
    }
}

/// One job of a crew.
pub(crate) struct ThreadJob<F: Form> {
    control: Arc<Control>,
    /// Locked only while the control's flow is.
    parts: Mutex<VecDeque<Part<F::Output>>>,
}

impl<F: Form> ThreadJob<F> {
    pub(crate) fn open(crew: &ThreadCrew, lazy: bool) -> Result<Arc<Self>, Error> {
        if crew.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let control = Arc::new(Control {
            flow: Mutex::new(Flow { under_way: 0, terminated: false, over: false }),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            lazy,
            mark: crew.mark.clone(),
        });
        let mut jobs = lock(&crew.jobs);
        jobs.retain(|job| job.strong_count() > 0);
        jobs.push(Arc::downgrade(&control));
        Ok(Arc::new(Self { control, parts: Mutex::new(VecDeque::new()) }))
    }

    /// Sends a chunk to the crew.
    ///
    /// # Errors
    ///
    /// [`Error::Terminated`] when the crew has ended, [`Error::ForeignProcess`] in a forked child.
    ///
    /// # Safety
    ///
    /// What `function` and the types of the form borrow outlives the chunk: the caller either owns
    /// all of it, or waits in [`ThreadJob::close`] before the borrow ends, however it ends.
    pub(crate) unsafe fn send(
        self: &Arc<Self>,
        crew: &ThreadCrew,
        function: F::Function,
        context: &Arc<F::Context>,
        first: u64,
        parcels: Vec<F::Parcel>,
    ) -> Result<(), Error> {
        if self.control.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        lock(&self.control.flow).under_way += 1;
        let chunk = Chunk {
            job: self.clone(),
            function,
            context: Some(context.clone()),
            first,
            parcels: parcels.into_iter(),
            parts: Vec::new(),
        };
        let errand: Box<dyn FnOnce(u32) + Send + '_> = Box::new(move |id| chunk.run(id));
        // SAFETY: only the lifetime changes. The errand owns the chunk, so that whether it runs,
        // unwinds or is discarded, it ends in `Chunk::drop`, which counts it after the last use of
        // anything borrowed: only the job's own memory is touched after that. The caller promises
        // that the borrows are good until then: `close` waits for the count. An errand that is
        // leaked is never counted, and the wait never ends.
        let errand = unsafe { mem::transmute::<Box<dyn FnOnce(u32) + Send + '_>, Errand>(errand) };
        crew.send(errand)
    }

    /// A chunk has ended with these parts, or was discarded without any.
    fn ended(&self, parts: Vec<Part<F::Output>>) {
        let control = &*self.control;
        let mut flow = lock(&control.flow);
        if flow.over {
            drop(flow);
            drop_parts(parts);
            flow = lock(&control.flow);
        } else {
            // Nobody is left to run it: its caller must not wait for its end.
            flow.terminated |= !parts.last().is_some_and(|part| part.ends);
            lock(&self.parts).extend(parts);
        }
        flow.under_way -= 1;
        control.changed.notify_all();
    }

    pub(crate) fn has_arrived(&self) -> bool {
        if self.control.is_foreign() {
            return true;
        }
        let flow = lock(&self.control.flow);
        flow.terminated || !lock(&self.parts).is_empty()
    }

    /// Waits for parts.
    ///
    /// # Errors
    ///
    /// [`Error::Terminated`] when the job was, [`Error::ForeignProcess`] in a forked child.
    pub(crate) fn next(&self, most: usize) -> Result<Vec<Part<F::Output>>, Error> {
        if self.control.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let flow = self.control.wait_while(|flow| !flow.terminated && lock(&self.parts).is_empty());
        if flow.terminated {
            return Err(Error::Terminated);
        }
        let mut parts = lock(&self.parts);
        let count = parts.len().min(most);
        Ok(parts.drain(..count).collect())
    }

    /// The caller gives the job up: running items are told, the others are dropped. `wait`: until no
    /// chunk of the job runs any more. Does not panic.
    pub(crate) fn close(self: &Arc<Self>, wait: bool) {
        if self.control.is_foreign() {
            // Another thread may have been at the parts when the process was forked.
            mem::forget(self.clone());
            return;
        }
        self.control.cancelled.store(true, Ordering::Relaxed);
        let mut flow = lock(&self.control.flow);
        flow.over = true;
        let parts = mem::take(&mut *lock(&self.parts));
        drop(flow);
        self.control.changed.notify_all();
        drop_parts(parts);
        if wait {
            drop(self.control.wait_while(|flow| flow.under_way > 0));
        }
    }
}

/// Consecutive items on their way to a thread, and what has become of them there.
///
/// Its drop hands the parts over and counts the chunk as ended.
struct Chunk<F: Form> {
    job: Arc<ThreadJob<F>>,
    function: F::Function,
    /// Gone only while the chunk is dropped.
    context: Option<Arc<F::Context>>,
    first: u64,
    parcels: vec::IntoIter<F::Parcel>,
    parts: Vec<Part<F::Output>>,
}

impl<F: Form> Chunk<F> {
    fn run(mut self, worker: u32) {
        let (mut decoder, mut cell) = (Decoder::new(), ContextCell::default());
        let control = self.job.control.clone();
        let cancelled = || control.is_cancelled();
        let mut surroundings = Surroundings {
            worker,
            cancelled: &cancelled,
            decoder: &mut decoder,
            context: &mut cell,
        };
        let (function, parcels) = (self.function, &mut self.parcels);
        let context = self.context.as_deref().expect("the chunk is not being dropped");
        let behind = self.first + parcels.len() as u64;
        loop {
            let started = Instant::now();
            let first = behind - parcels.len() as u64;
            let mut values = Vec::with_capacity(parcels.len());
            let outcome = in_task(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    while !control.is_foreign()
                        && !cancelled()
                        && let Some(parcel) = parcels.next()
                    {
                        values.push(F::call_parcel(function, context, &mut surroundings, parcel));
                    }
                }))
            });
            let failure = outcome.err().map(|payload| (take_panic(payload), worker));
            let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let goes_on = failure.is_some() && parcels.len() > 0;
            self.parts.push(Part { first, nanos, values, failure, ends: !goes_on });
            if !goes_on {
                return;
            }
        }
    }
}

impl<F: Form> Drop for Chunk<F> {
    fn drop(&mut self) {
        let (parcels, parts) = (mem::take(&mut self.parcels), mem::take(&mut self.parts));
        let context = self.context.take();
        if self.job.control.is_foreign() {
            // A task has forked: all of it is the parent's.
            mem::forget((parcels, parts, context, self.job.clone()));
            return;
        }
        parcels.for_each(drop_quietly);
        drop_quietly(context);
        self.job.ended(parts);
    }
}
