//! The thread that wakes the tasks which await descriptors: of processes, and of channels.
//!
//! Invariant: there is one such thread while something is awaited by a `Future` or a stream, and
//! none otherwise; it is a driver thread, so it pauses while this process is forked. It runs no
//! code of the user but wakers, and holds no lock meanwhile.

use std::{
    fmt,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd},
    process,
    sync::{Arc, Mutex, Weak},
    task::Waker,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
};

use crate::{
    driver::{Driven, Driver, Leave, Work},
    error::{Error, OrResources},
    mutex::lock,
    os::{self, Listed},
    panic::quietly,
    stack,
};

/// What a task awaits.
pub(crate) trait Awaited: Send + Sync {
    /// A descriptor that is readable when the task is to look.
    fn fd(&self) -> BorrowedFd<'_>;

    /// How long a task waits at most before it looks, where the descriptor may miss an event.
    fn longest(&self) -> Option<Duration> {
        None
    }
}

/// The thread, and what it watches.
pub(crate) struct Watcher {
    driver: Driver,
    watched: Arc<Watched>,
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// Keeps the watcher of this process. In a forked child it leaves that of the parent, whose thread
/// is not there.
#[derive(Debug)]
pub(crate) struct WatcherHandle {
    watcher: ManuallyDrop<Arc<Watcher>>,
    process: u32,
}

impl WatcherHandle {
    pub(crate) fn new() -> Result<Self, Error> {
        let watcher = ManuallyDrop::new(Watcher::get()?);
        Ok(Self { watcher, process: process::id() })
    }

    /// The watcher, unless it is that of the process that this one was forked from.
    pub(crate) fn here(&self) -> Option<&Arc<Watcher>> {
        (self.process == process::id()).then_some(&*self.watcher)
    }
}

impl Drop for WatcherHandle {
    fn drop(&mut self) {
        if self.here().is_some() {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.watcher) }
        }
    }
}

/// What is awaited, and by which task.
struct Entry {
    awaited: Arc<dyn Awaited>,
    /// When the task looks, whatever the descriptor says.
    due: Option<Instant>,
    waker: Waker,
}

struct Watched {
    entries: Mutex<Vec<Entry>>,
    /// Why there is no thread any more.
    broken: Mutex<Option<Error>>,
    /// An event counter that ends a sleep.
    counter: Listed,
}

/// The watcher of this process, while something is awaited.
static WATCHER: Mutex<(u32, Weak<Watcher>)> = Mutex::new((0, Weak::new()));

impl Watcher {
    /// The watcher of this process.
    fn get() -> Result<Arc<Self>, Error> {
        let mut present = lock(&WATCHER);
        let here = process::id();
        // That of the process that this one was forked from has no thread here.
        if present.0 == here
            && let Some(watcher) = present.1.upgrade()
        {
            return Ok(watcher);
        }
        let counter = os::new_counter()
            .and_then(Listed::new)
            .or_resources("awaiting a process or a channel")?;
        let (entries, broken) = (Mutex::default(), Mutex::default());
        let watched = Arc::new(Watched { entries, broken, counter });
        let as_driven: Arc<dyn Driven> = watched.clone();
        let driver = Driver::new(Arc::downgrade(&as_driven), stack::size(None));
        let watcher = Arc::new(Self { driver, watched });
        *present = (here, Arc::downgrade(&watcher));
        Ok(watcher)
    }

    /// Has the waker called once when the descriptor is readable.
    pub(crate) fn watch(&self, awaited: &Arc<dyn Awaited>, waker: &Waker) -> Result<(), Error> {
        if let Some(error) = lock(&self.watched.broken).clone() {
            return Err(error);
        }
        let old = {
            let mut entries = lock(&self.watched.entries);
            match entries.iter_mut().find(|entry| is_same(&entry.awaited, awaited)) {
                Some(entry) if entry.waker.will_wake(waker) => return Ok(()),
                Some(entry) => Some(std::mem::replace(&mut entry.waker, waker.clone())),
                None => {
                    let due = awaited.longest().map(|longest| Instant::now() + longest);
                    let (awaited, waker) = (awaited.clone(), waker.clone());
                    entries.push(Entry { awaited, due, waker });
                    None
                }
            }
        };
        // A waker's end is the user's code, too.
        drop(old);
        self.driver.start()?;
        self.driver.unpark();
        self.watched.interrupt();
        Ok(())
    }

    /// Forgets what was awaited.
    pub(crate) fn forget(&self, awaited: &Arc<dyn Awaited>) {
        let mut entries = lock(&self.watched.entries);
        let at = entries.iter().position(|entry| is_same(&entry.awaited, awaited));
        let removed = at.map(|at| entries.swap_remove(at));
        drop(entries);
        drop(removed);
        self.watched.interrupt();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.driver.stop();
    }
}

fn is_same(one: &Arc<dyn Awaited>, other: &Arc<dyn Awaited>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

impl Driven for Watched {
    fn demand(&self) -> (Work, u64) {
        let idle = lock(&self.entries).is_empty();
        (if idle { Work::Nothing } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        // What is added from here on ends the sleep.
        self.counter.reset();
        let awaited: Vec<_> = {
            let entries = lock(&self.entries);
            entries.iter().map(|entry| (entry.awaited.clone(), entry.due)).collect()
        };
        let pollin = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![pollin(self.counter.as_fd())];
        fds.extend(awaited.iter().map(|(awaited, _)| pollin(awaited.fd())));
        if leave() {
            return true;
        }
        let due = awaited.iter().filter_map(|(_, due)| *due).min();
        let limit = due.map(|due| due.saturating_duration_since(Instant::now()));
        let all = match os::poll(&mut fds, limit) {
            Ok(_) => false,
            Err(Errno::EINTR) => return true,
            // Without memory for the call the futures look for themselves.
            Err(_) => true,
        };
        let now = Instant::now();
        let is_ready = |(one, fd): (&(Arc<dyn Awaited>, Option<Instant>), &PollFd<'_>)| {
            let is_due = one.1.is_some_and(|due| due <= now);
            (all || is_due || fd.any() != Some(false)).then(|| one.0.clone())
        };
        let ready: Vec<_> = awaited.iter().zip(&fds[1..]).filter_map(is_ready).collect();
        let is_over = |entry: &Entry| ready.iter().any(|one| is_same(one, &entry.awaited));
        let mut entries = lock(&self.entries);
        let (woken, waiting) = std::mem::take(&mut *entries).into_iter().partition(is_over);
        *entries = waiting;
        drop(entries);
        let woken: Vec<Entry> = woken;
        // A waker's panic must not end the thread that others wait for.
        woken.into_iter().for_each(|entry| quietly(|| entry.waker.wake()));
        true
    }

    fn stand_by(&self, _leave: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        self.counter.increment();
    }

    fn no_driver(&self, why: Error) {
        *lock(&self.broken) = Some(why);
        let entries = std::mem::take(&mut *lock(&self.entries));
        entries.into_iter().for_each(|entry| entry.waker.wake());
    }
}
