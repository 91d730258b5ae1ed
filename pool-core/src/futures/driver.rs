//! The thread that works for futures while nobody waits for them.
//!
//! Invariant: the thread never keeps others from driving: it drives only while no other thread does or wants to, and
//! naps otherwise. Before this process is forked for a new zygote all these threads have ended (`pause_drivers`).

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{JoinHandle, ThreadId},
    time::Duration,
};

use super::lock;
use crate::error::{Error, OrResources};

/// Its name.
pub(super) const NAME: &str = "pool-driver";
/// Between two looks while all that is outstanding is with workers, and for as long after that before it parks.
const LONG_NAP: Duration = Duration::from_millis(50);
/// Between two looks while somebody else works.
const SHORT_NAP: Duration = Duration::from_millis(1);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing any more.
    Over,
    Nothing,
    /// Only what cannot be foreseen: deaths.
    Later,
    /// Something waits for what arrives next.
    Now,
}

/// Whether a drive shall end.
pub(super) type Leave<'l> = dyn Fn() -> bool + 'l;

/// What the thread works for.
pub(super) trait Driven: Send + Sync {
    /// What there is to do, and how often anybody has done any of it.
    fn demand(&self) -> (Work, u64);
    /// Drives until there is something to do, and does it; `false` when another thread drives.
    fn drive(&self, leave: &Leave<'_>) -> bool;
    /// Does what there is to do, without waiting for more.
    fn pass(&self);
    /// Makes a drive ask whether it shall end.
    fn interrupt(&self);
}

/// See the module.
pub(super) struct Driver(Arc<Inner>);

struct Inner {
    driven: Weak<dyn Driven>,
    /// Whether the thread was started and has not been told to stop.
    runs: AtomicBool,
    parked: AtomicBool,
    stops: AtomicBool,
    nap: Mutex<Nap>,
    poked: Condvar,
}

#[derive(Debug, Default)]
struct Nap {
    poked: bool,
    thread: Option<JoinHandle<()>>,
}

static DRIVERS: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

impl Driver {
    pub(super) fn new(driven: Weak<dyn Driven>) -> Self {
        Self(Arc::new(Inner {
            driven,
            runs: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            nap: Mutex::default(),
            poked: Condvar::new(),
        }))
    }

    /// Starts the thread, if that has not been done.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when there can be no thread.
    #[inline]
    pub(super) fn start(&self) -> Result<(), Error> {
        if self.0.runs.load(Ordering::Acquire) { Ok(()) } else { self.0.start() }
    }

    /// Lets a thread that parks see what there is to do.
    #[inline]
    pub(super) fn poke_if_parked(&self) {
        // SeqCst: the thread says that it parks, then looks once more.
        if self.0.parked.load(Ordering::SeqCst) {
            self.poke();
        }
    }

    /// Ends a nap.
    pub(super) fn poke(&self) {
        lock(&self.0.nap).poked = true;
        self.0.poked.notify_all();
    }

    /// Ends the thread and waits for it, unless it is the calling one.
    pub(super) fn stop(&self) {
        self.0.stop();
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
        let mut nap = lock(&self.nap);
        if nap.thread.is_some() {
            return Ok(());
        }
        self.stops.store(false, Ordering::SeqCst);
        let (inner, driven) = (self.clone(), self.driven.clone());
        let thread = std::thread::Builder::new()
            .name(NAME.to_string())
            .spawn(move || inner.run(&driven))
            .or_resources("starting the thread for a pool's futures")?;
        nap.thread = Some(thread);
        self.runs.store(true, Ordering::Release);
        drop(nap);
        let mut drivers = lock(&DRIVERS);
        drivers.retain(|driver| driver.strong_count() > 0);
        if !drivers.iter().any(|driver| std::ptr::eq(driver.as_ptr(), Arc::as_ptr(self))) {
            drivers.push(Arc::downgrade(self));
        }
        Ok(())
    }

    /// Whether there was a thread, which has ended now.
    fn stop(&self) -> bool {
        let mut nap = lock(&self.nap);
        let thread = nap.thread.take();
        self.stops.store(true, Ordering::SeqCst);
        self.runs.store(false, Ordering::Release);
        nap.poked = true;
        drop(nap);
        self.poked.notify_all();
        let Some(thread) = thread else { return false };
        if let Some(driven) = self.driven.upgrade() {
            driven.interrupt();
        }
        // What it works for may be dropped by the thread itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
        true
    }

    fn is_thread(&self, id: ThreadId) -> bool {
        lock(&self.nap).thread.as_ref().is_some_and(|thread| thread.thread().id() == id)
    }

    fn run(&self, driven: &Weak<dyn Driven>) {
        let (mut seen, mut lingers) = (0, false);
        while !self.stops()
            && let Some(driven) = driven.upgrade()
        {
            let (work, passes) = driven.demand();
            match work {
                Work::Over => return,
                Work::Nothing if lingers => {
                    lingers = false;
                    drop(driven);
                    self.nap(LONG_NAP);
                    continue;
                }
                Work::Nothing => {
                    self.park(driven);
                    continue;
                }
                // Somebody else works, or will in a moment.
                Work::Now if passes != seen => self.nap(SHORT_NAP),
                Work::Now if driven.drive(&|| self.stops()) => {}
                Work::Now => {
                    self.nap(SHORT_NAP);
                    driven.pass();
                }
                Work::Later => {
                    self.nap(LONG_NAP);
                    driven.pass();
                }
            }
            lingers = true;
            // What was done here counts as done by nobody else.
            seen = if work == Work::Now && passes != seen { passes } else { driven.demand().1 };
        }
    }

    fn stops(&self) -> bool {
        self.stops.load(Ordering::SeqCst)
    }

    fn nap(&self, limit: Duration) {
        let nap = lock(&self.nap);
        let sleeps = |nap: &mut Nap| !nap.poked && !self.stops();
        let woken = self.poked.wait_timeout_while(nap, limit, sleeps);
        woken.unwrap_or_else(PoisonError::into_inner).0.poked = false;
    }

    /// Sleeps until there is something to do.
    fn park(&self, driven: Arc<dyn Driven>) {
        // SeqCst: whoever makes something to do looks at it afterwards.
        self.parked.store(true, Ordering::SeqCst);
        let idle = driven.demand().0 == Work::Nothing;
        drop(driven);
        if idle {
            let nap = lock(&self.nap);
            let woken = self.poked.wait_while(nap, |nap| !nap.poked && !self.stops());
            woken.unwrap_or_else(PoisonError::into_inner).poked = false;
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

/// Restarts the threads that were ended.
#[allow(missing_debug_implementations)]
pub(crate) struct Paused(Vec<Arc<Inner>>);

/// Ends the threads of all desks, so that this process can be forked, until the answer is dropped.
pub(crate) fn pause_drivers() -> Paused {
    let drivers: Vec<_> = lock(&DRIVERS).iter().filter_map(Weak::upgrade).collect();
    let own = std::thread::current().id();
    Paused(drivers.into_iter().filter(|driver| !driver.is_thread(own) && driver.stop()).collect())
}

impl Drop for Paused {
    fn drop(&mut self) {
        for driver in &self.0 {
            // Where there can be no thread now, the next call says so.
            let _ = driver.start();
        }
    }
}
