//! The thread that shows how far calls are.
//!
//! Invariant: there is one such thread while a call is shown, and none otherwise; it is a driver
//! thread, so it pauses while this process is forked. It holds no lock of a pool while it runs code
//! of the user, and a panic there ends what shows one call. A call waits for it at its end, for a
//! second at most, and not where the thread cannot come to it.

use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::report::{LONGEST, Progress, ProgressOption, SHORTEST};
use crate::{
    calls::{WatchedCall, WorkerSteps},
    driver::{self, Driven, Driver, Leave, Work},
    error::Error,
    mutex::lock,
    panic::drop_quietly,
    stack,
};

/// How long a call waits at its end until that is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two looks whether the thread is there.
const SLICE: Duration = Duration::from_millis(20);

thread_local! {
    /// Whether this thread is the one that shows calls.
    static DRAWS: Cell<bool> = const { Cell::new(false) };
}

/// The thread of this process, while a call is shown.
static DRAWER: Mutex<(u32, Weak<Drawer>)> = Mutex::new((0, Weak::new()));

struct Drawer {
    driver: Driver,
    state: Arc<DrawerState>,
}

struct DrawerState {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// There can be no thread.
    broken: AtomicBool,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Arc<Entry>>,
    /// Counts what is to end a sleep.
    news: u64,
    /// Counts the calls that were looked at.
    looks: u64,
    /// The value of `looks` at which a call had no patience any more: until the thread goes on, no
    /// other one has.
    stuck_at: Option<u64>,
}

/// A call that is shown.
struct Entry {
    call: Arc<WatchedCall>,
    showing: Mutex<Showing>,
    /// The end was shown, or nothing is shown any more.
    over: AtomicBool,
}

struct Showing {
    /// `None` after the end, and after a panic.
    reporter: Option<Box<dyn Progress>>,
    begun: bool,
    /// What was shown last.
    done: (u64, u64),
    total: Option<u64>,
    steps: Vec<WorkerSteps>,
    /// When it is looked at again.
    due: Instant,
}

/// A call that is shown, for its job.
pub(crate) struct Shown {
    entry: Arc<Entry>,
    /// `None` once it is dropped.
    drawer: Option<Arc<Drawer>>,
    process: u32,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("call", &self.entry.call.number()).finish_non_exhaustive()
    }
}

impl Drawer {
    /// The drawer of this process.
    fn get() -> Arc<Self> {
        let (mut present, here) = (lock(&DRAWER), process::id());
        if present.0 == here
            && let Some(drawer) = present.1.upgrade()
        {
            return drawer;
        }
        let (queue, changed, broken) = Default::default();
        let state = Arc::new(DrawerState { queue, changed, broken });
        let as_driven: Arc<dyn Driven> = state.clone();
        let driver = Driver::new(Arc::downgrade(&as_driven), stack::size_beside(None));
        let drawer = Arc::new(Self { driver, state });
        *present = (here, Arc::downgrade(&drawer));
        drawer
    }
}

impl Shown {
    /// Shows a call that begins; `None` where there is nothing that would, and no thread.
    pub(crate) fn begin(call: &Arc<WatchedCall>, option: &ProgressOption) -> Option<Self> {
        let reporter = option.take()?;
        let showing = Showing {
            reporter: Some(reporter),
            begun: false,
            done: (0, 0),
            total: None,
            steps: Vec::new(),
            due: Instant::now(),
        };
        let over = AtomicBool::new(false);
        let entry = Arc::new(Entry { call: call.clone(), showing: Mutex::new(showing), over });
        let drawer = Drawer::get();
        lock(&drawer.state.queue).entries.push(entry.clone());
        let started = drawer.driver.start();
        if started.is_err() {
            drawer.state.broken.store(true, Ordering::Relaxed); // no call waits for it
        }
        drawer.state.wake();
        drawer.driver.unpark();
        let shown = Self { entry, drawer: Some(drawer), process: process::id() };
        started.is_ok().then_some(shown)
    }

    /// Waits until the end of the call is shown, if the thread can come to it.
    fn wait(&self, state: &DrawerState) {
        if DRAWS.get() {
            return; // this thread would wait for itself
        }
        let until = Instant::now() + PATIENCE;
        let mut queue = lock(&state.queue);
        while !self.entry.over.load(Ordering::Acquire)
            && !state.broken.load(Ordering::Relaxed)
            && Instant::now() < until
            && queue.stuck_at != Some(queue.looks)
            && !driver::are_paused()
        {
            let waited = state.changed.wait_timeout(queue, SLICE);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if Instant::now() >= until {
            queue.stuck_at = Some(queue.looks);
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let Some(drawer) = self.drawer.take() else { return };
        if self.process != process::id() {
            std::mem::forget(drawer);
            return;
        }
        drawer.state.wake();
        self.wait(&drawer.state);
        let mut queue = lock(&drawer.state.queue);
        queue.entries.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        drop(queue);
        // The last one ends the thread, unless code of the user holds that up.
        let over = self.entry.over.load(Ordering::Acquire);
        if let Some(drawer) = Arc::into_inner(drawer) {
            drawer.driver.stop_within(Some(if over { PATIENCE } else { Duration::ZERO }));
        }
    }
}

impl DrawerState {
    fn wake(&self) {
        lock(&self.queue).news += 1;
        self.changed.notify_all();
    }
}

impl Driven for DrawerState {
    fn demand(&self) -> (Work, u64) {
        let idle = lock(&self.queue).entries.is_empty();
        (if idle { Work::Nothing } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        DRAWS.set(true);
        loop {
            let queue = lock(&self.queue);
            let (entries, news) = (queue.entries.clone(), queue.news);
            drop(queue);
            let mut due = None;
            for entry in &entries {
                if leave() {
                    return true;
                }
                let next = entry.show(Instant::now());
                lock(&self.queue).looks += 1;
                due = due.into_iter().chain(next).min();
            }
            let mut queue = lock(&self.queue);
            queue.entries.retain(|entry| !entry.over.load(Ordering::Acquire));
            // With the lock: a call that waits has either seen its end or hears this.
            self.changed.notify_all();
            let Some(due) = due.filter(|_| !queue.entries.is_empty()) else { return true };
            while queue.news == news && !leave() {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = self.changed.wait_timeout(queue, left);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(queue);
            if leave() {
                return true;
            }
        }
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        self.wake();
    }

    fn no_driver(&self, _: Error) {
        self.broken.store(true, Ordering::Relaxed);
        self.wake();
    }
}

impl Entry {
    /// Shows what has changed; when it is to be looked at again, if it is.
    fn show(&self, now: Instant) -> Option<Instant> {
        let mut showing = lock(&self.showing);
        // Before the counts: those of a call that has ended do not change any more.
        let outcome = self.call.outcome();
        if outcome.is_none() && showing.begun && now < showing.due {
            return Some(showing.due);
        }
        let showing = &mut *showing;
        let reporter = showing.reporter.as_mut()?;
        let (call, last, known) = (&self.call, &mut showing.done, &mut showing.total);
        let steps = &mut showing.steps;
        let (begun, ends) = (std::mem::replace(&mut showing.begun, true), outcome.is_some());
        let shown = catch_unwind(AssertUnwindSafe(|| {
            let total = call.total();
            if !begun {
                reporter.begin(total);
                *known = total;
            }
            if let Some(total) = total.filter(|total| *known != Some(*total)) {
                reporter.total(total);
                *known = Some(total);
            }
            let (done, steps_now) = if ends { (call.done(), Vec::new()) } else { call.now() };
            if done.1 != last.1
                && let Some(text) = call.last_failure()
            {
                reporter.message(&text);
            }
            if done != *last || ends {
                reporter.advance(done.0, done.1);
                *last = done;
            }
            if *steps != steps_now {
                reporter.steps(&steps_now);
                *steps = steps_now;
            }
            if let Some(outcome) = &outcome {
                reporter.end(outcome);
            }
            reporter.interval().clamp(SHORTEST, LONGEST)
        }));
        match shown {
            Ok(interval) if !ends => {
                showing.due = now + interval;
                Some(showing.due)
            }
            shown => {
                // Its drop is the user's code, too.
                drop_quietly(showing.reporter.take());
                if let Err(payload) = shown {
                    drop_quietly(payload);
                }
                self.over.store(true, Ordering::Release);
                None
            }
        }
    }
}
