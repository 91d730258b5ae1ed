//! The thread that works for futures while no thread waits for them.
//!
//! Invariant: the thread never keeps others from driving: it drives only while no other thread does
//! or wants to, and stands by otherwise. It sleeps until something happens; only while others work
//! it looks once a millisecond, since a wake-up for each of their passes would cost more.
//!
//! While this process may be forked for a new zygote it has none of these threads
//! (`pause_drivers`). No driver thread waits for the end of another, which may be waiting for it:
//! the user's code runs in them.
//!
//! * `driver/tests.rs`: the tests.

use std::{
    cell::Cell,
    fmt, mem, process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{JoinHandle, ThreadId},
    time::Duration,
};

use crate::{error::Error, mutex::lock, stack};

/// The thread's name.
pub(crate) const NAME: &str = "pool-driver";
/// How long the thread naps before it drives while workers have all that is outstanding, so that a
/// thread that waits soon can drive instead; and before it parks.
const LONG_NAP: Duration = Duration::from_millis(50);
/// Time between two looks while another thread works.
const SHORT_NAP: Duration = Duration::from_millis(1);
/// How long a fork waits for the end of a driver thread. The user's code in it may wait for a lock
/// that the caller holds: then Fork finds the thread, and refuses.
const PAUSE_LIMIT: Duration = Duration::from_millis(if cfg!(test) { 300 } else { 5_000 });

thread_local! {
    /// The process in which this is a driver thread; a process forked from it has none.
    static DRIVES_IN: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread is a driver thread.
#[cfg_attr(not(feature = "threads"), allow(dead_code))]
pub(crate) fn drives_here() -> bool {
    DRIVES_IN.get() == process::id()
}

/// How urgently the driver thread has to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There will never be work again.
    Over,
    Nothing,
    /// Only unforeseen events are possible: deaths of workers.
    Later,
    /// A future waits for what arrives next.
    Now,
}

/// Whether a drive shall end.
pub(crate) type Leave<'l> = dyn Fn() -> bool + 'l;

/// What a driver thread works for: a queue of futures.
pub(crate) trait Driven: Send + Sync {
    /// The work that there is, and a count of the passes that any thread has worked.
    fn demand(&self) -> (Work, u64);
    /// Drives until there is something to do, and does it; `false` when another thread drives.
    fn drive(&self, leave: &Leave<'_>) -> bool;
    /// Sleeps while other threads drive, until there is something to do.
    fn stand_by(&self, leave: &Leave<'_>);
    /// Does what there is to do, without waiting for more.
    fn pass(&self);
    /// Makes a drive check whether it shall end.
    fn interrupt(&self);
    /// No driver thread can be started any more: futures that only it would complete get this
    /// error.
    fn no_driver(&self, why: Error);
}

/// Starts, wakes and stops the driver thread of one queue.
pub(crate) struct Driver(Arc<Inner>);

struct Inner {
    driven: Weak<dyn Driven>,
    /// Bytes of the thread's stack.
    stack: usize,
    /// Whether the thread was started and has not been told to stop.
    runs: AtomicBool,
    /// How many threads are parked: a thread that was told to stop may still be there when the next
    /// one starts.
    parked: AtomicUsize,
    nap: Mutex<Parking>,
    wake_up: Condvar,
}

#[derive(Debug, Default)]
struct Parking {
    wake_count: u64,
    thread: Option<DriverThread>,
}

#[derive(Debug)]
struct DriverThread {
    handle: JoinHandle<()>,
    /// Told to stop, for good: the next thread has a flag of its own.
    stops: Arc<AtomicBool>,
    /// Disconnects when the thread has ended.
    over: Receiver<()>,
}

/// The loop of one driver thread.
struct DriverLoop<'i> {
    inner: &'i Inner,
    stops: &'i AtomicBool,
    /// The value of `wake_count` that it has seen.
    wake_count_seen: u64,
}

/// All drivers of this process. Locked before any `nap`.
static DRIVERS: Mutex<Drivers> = Mutex::new(Drivers::none(0));

struct Drivers {
    process: u32,
    all: Vec<Weak<Inner>>,
    /// How many `Paused` there are.
    pauses: usize,
    /// Drivers whose threads start when there is none.
    later: Vec<Arc<Inner>>,
}

/// Locks the drivers of this process: a forked child begins without the pause in which it was
/// forked.
fn lock_all() -> MutexGuard<'static, Drivers> {
    let mut drivers = lock(&DRIVERS);
    let process = std::process::id();
    if drivers.process != process {
        mem::forget(mem::replace(&mut *drivers, Drivers::none(process)));
    }
    drivers
}

impl Drivers {
    const fn none(process: u32) -> Self {
        Self { process, all: Vec::new(), pauses: 0, later: Vec::new() }
    }

    fn start_later(&mut self, driver: &Arc<Inner>) {
        if !self.later.iter().any(|later| Arc::ptr_eq(later, driver)) {
            self.later.push(driver.clone());
        }
    }
}

impl Driver {
    /// `stack`: bytes of the thread's stack.
    pub(crate) fn new(driven: Weak<dyn Driven>, stack: usize) -> Self {
        Self(Arc::new(Inner {
            driven,
            stack,
            runs: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            nap: Mutex::default(),
            wake_up: Condvar::new(),
        }))
    }

    /// Starts the thread, unless it was started before.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when no thread can be started.
    #[inline]
    pub(crate) fn start(&self) -> Result<(), Error> {
        if self.0.runs.load(Ordering::Acquire) { Ok(()) } else { self.0.start() }
    }

    /// Wakes the thread if it is parked, to look for work.
    #[inline]
    pub(crate) fn unpark_if_parked(&self) {
        // SeqCst: the thread counts itself as parked, then looks once more.
        if self.0.parked.load(Ordering::SeqCst) > 0 {
            self.unpark();
        }
    }

    /// Ends a nap.
    pub(crate) fn unpark(&self) {
        lock(&self.0.nap).wake_count += 1;
        self.0.wake_up.notify_all();
    }

    /// Ends the thread and waits for it, unless the calling thread is itself a driver thread.
    pub(crate) fn stop(&self) {
        self.stop_within(None);
    }

    /// Ends the thread and waits for it, at most for `limit`: the user's code may be endless. The
    /// thread ends once that code returns.
    pub(crate) fn stop_within(&self, limit: Option<Duration>) {
        lock_all().later.retain(|driver| !Arc::ptr_eq(driver, &self.0));
        self.0.stop(limit);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.0.runs).finish()
    }
}

impl Inner {
    #[cold]
    fn start(self: &Arc<Self>) -> Result<(), Error> {
        let mut drivers = lock_all();
        if drivers.pauses > 0 {
            drivers.start_later(self);
            return Ok(());
        }
        let mut nap = lock(&self.nap);
        if nap.thread.is_some() {
            return Ok(());
        }
        let (inner, driven) = (self.clone(), self.driven.clone());
        let stops = Arc::new(AtomicBool::new(false));
        let own_stops = stops.clone();
        let (alive, over) = mpsc::channel::<()>();
        let handle = std::thread::Builder::new()
            .name(NAME.to_string())
            .stack_size(self.stack)
            .spawn(move || {
                let _alive = alive;
                DriverLoop { inner: &inner, stops: &own_stops, wake_count_seen: 0 }.run(&driven);
            })
            .map_err(|error| {
                stack::refusal("starting the thread for a pool's futures", error, self.stack)
            })?;
        nap.thread = Some(DriverThread { handle, stops, over });
        self.runs.store(true, Ordering::Release);
        drop(nap);
        drivers.all.retain(|driver| driver.strong_count() > 0);
        if !drivers.all.iter().any(|driver| std::ptr::eq(driver.as_ptr(), Arc::as_ptr(self))) {
            drivers.all.push(Arc::downgrade(self));
        }
        Ok(())
    }

    /// Whether there was a thread. It has ended now; if a driver thread calls this, it ends soon.
    fn stop(&self, limit: Option<Duration>) -> bool {
        let mut nap = lock(&self.nap);
        let thread = nap.thread.take();
        self.runs.store(false, Ordering::Release);
        nap.wake_count += 1;
        if let Some(thread) = &thread {
            thread.stops.store(true, Ordering::SeqCst);
        }
        drop(nap);
        self.wake_up.notify_all();
        let Some(DriverThread { handle, over, .. }) = thread else { return false };
        if let Some(driven) = self.driven.upgrade() {
            driven.interrupt();
        }
        let goes_on = |limit| over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if !drives_here() && !limit.is_some_and(goes_on) {
            let _ = handle.join();
        }
        true
    }

    fn is_thread(&self, id: ThreadId) -> bool {
        lock(&self.nap).thread.as_ref().is_some_and(|thread| thread.handle.thread().id() == id)
    }
}

impl DriverLoop<'_> {
    fn run(mut self, driven: &Weak<dyn Driven>) {
        DRIVES_IN.set(process::id());
        let (mut seen, mut stays_awake) = (0, false);
        while !self.stops()
            && let Some(driven) = driven.upgrade()
        {
            let (work, passes) = driven.demand();
            let own = match work {
                Work::Over => return,
                Work::Nothing if stays_awake => {
                    stays_awake = false;
                    drop(driven);
                    self.nap(LONG_NAP);
                    continue;
                }
                Work::Nothing => {
                    self.park(driven);
                    continue;
                }
                // Another thread works, or will in a moment.
                Work::Now if passes != seen => {
                    self.nap(SHORT_NAP);
                    false
                }
                Work::Now => self.take_part(&*driven, passes),
                Work::Later => {
                    self.nap(LONG_NAP);
                    driven.demand().1 == passes && self.take_part(&*driven, passes)
                }
            };
            stays_awake = true;
            // A pass of this thread does not count as one of another thread.
            seen = if own { driven.demand().1 } else { passes };
        }
    }

    /// Waits for work and does it, unless another thread has worked since the count was `passes`;
    /// whether this thread did it.
    fn take_part(&mut self, driven: &dyn Driven, passes: u64) -> bool {
        let stops = self.stops;
        let leave = || stops.load(Ordering::SeqCst);
        if driven.drive(&leave) {
            return true;
        }
        driven.stand_by(&leave);
        // A thread that drove, or was notified as well, goes first.
        self.nap(SHORT_NAP);
        let own = driven.demand().1 == passes;
        if own {
            driven.pass();
        }
        own
    }

    fn stops(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    fn nap(&mut self, limit: Duration) {
        let nap = lock(&self.inner.nap);
        let sleeps = |nap: &mut Parking| nap.wake_count == self.wake_count_seen && !self.stops();
        let woken = self.inner.wake_up.wait_timeout_while(nap, limit, sleeps);
        self.wake_count_seen = woken.unwrap_or_else(PoisonError::into_inner).0.wake_count;
    }

    /// Sleeps until there is work.
    fn park(&mut self, driven: Arc<dyn Driven>) {
        // SeqCst: a thread that adds work looks at this count afterwards.
        self.inner.parked.fetch_add(1, Ordering::SeqCst);
        let idle = driven.demand().0 == Work::Nothing;
        drop(driven);
        if idle {
            let nap = lock(&self.inner.nap);
            let sleeps =
                |nap: &mut Parking| nap.wake_count == self.wake_count_seen && !self.stops();
            let woken = self.inner.wake_up.wait_while(nap, sleeps);
            self.wake_count_seen = woken.unwrap_or_else(PoisonError::into_inner).wake_count;
        }
        self.inner.parked.fetch_sub(1, Ordering::SeqCst);
    }
}

/// While it lives there are no driver threads, except for one that pauses the others itself, and
/// those whose user code has not ended in time: Fork finds these. Threads that were ended, or asked
/// for meanwhile, start afterwards.
#[allow(missing_debug_implementations)]
pub(crate) struct Paused(());

/// Ends the driver threads of all queues, so that this process can be forked, until the returned
/// value is dropped. The pool's own locks must not be held here, since the user's code in the
/// threads could wait for one of them.
pub(crate) fn pause_drivers() -> Paused {
    let mut drivers = lock_all();
    drivers.pauses += 1;
    let all: Vec<_> = drivers.all.iter().filter_map(Weak::upgrade).collect();
    drop(drivers);
    let paused = Paused(());
    let own = std::thread::current().id();
    for driver in all {
        if !driver.is_thread(own) && driver.stop(Some(PAUSE_LIMIT)) {
            lock_all().start_later(&driver);
        }
    }
    paused
}

/// Whether there are no driver threads now.
pub(crate) fn are_paused() -> bool {
    lock_all().pauses > 0
}

impl Drop for Paused {
    fn drop(&mut self) {
        let mut drivers = lock_all();
        drivers.pauses = drivers.pauses.saturating_sub(1);
        let later = if drivers.pauses == 0 { mem::take(&mut drivers.later) } else { Vec::new() };
        drop(drivers);
        for driver in later {
            if let Err(error) = driver.start()
                && let Some(driven) = driver.driven.upgrade()
            {
                driven.no_driver(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
