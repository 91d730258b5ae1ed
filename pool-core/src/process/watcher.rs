//! The thread that wakes the tasks which await processes.
//!
//! Invariant: there is one such thread while a process is awaited by its `Future`, and none
//! otherwise; it is a driver thread, so it pauses while this process is forked. It runs no code of
//! the user but wakers, and holds no lock meanwhile.

use std::{
    os::fd::AsFd,
    process,
    sync::{Arc, Mutex, Weak},
    task::Waker,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
};

use crate::{
    child::Running,
    driver::{Driven, Driver, Leave, Work},
    error::{Error, OrResources},
    mutex::lock,
    os::{self, Listed},
    stack,
};

/// The thread, and what it watches.
pub(super) struct Watcher {
    driver: Driver,
    watched: Arc<Watched>,
}

/// One awaited process.
struct Entry {
    running: Arc<dyn Running>,
    waker: Waker,
}

struct Watched {
    entries: Mutex<Vec<Entry>>,
    /// Why there is no thread any more.
    broken: Mutex<Option<Error>>,
    /// An event counter that ends a sleep.
    counter: Listed,
}

/// The watcher of this process, while a process is awaited.
static WATCHER: Mutex<(u32, Weak<Watcher>)> = Mutex::new((0, Weak::new()));

impl Watcher {
    /// The watcher of this process.
    pub(super) fn get() -> Result<Arc<Self>, Error> {
        let mut present = lock(&WATCHER);
        let here = process::id();
        // That of the process that this one was forked from has no thread here.
        if present.0 == here
            && let Some(watcher) = present.1.upgrade()
        {
            return Ok(watcher);
        }
        let counter = os::new_counter().and_then(Listed::new).or_resources("awaiting a process")?;
        let (entries, broken) = (Mutex::default(), Mutex::default());
        let watched = Arc::new(Watched { entries, broken, counter });
        let as_driven: Arc<dyn Driven> = watched.clone();
        let driver = Driver::new(Arc::downgrade(&as_driven), stack::size(None));
        let watcher = Arc::new(Self { driver, watched });
        *present = (here, Arc::downgrade(&watcher));
        Ok(watcher)
    }

    /// Has the waker called once when the process has ended.
    pub(super) fn watch(&self, running: &Arc<dyn Running>, waker: &Waker) -> Result<(), Error> {
        if let Some(error) = lock(&self.watched.broken).clone() {
            return Err(error);
        }
        let old = {
            let mut entries = lock(&self.watched.entries);
            match entries.iter_mut().find(|entry| is_same(&entry.running, running)) {
                Some(entry) if entry.waker.will_wake(waker) => return Ok(()),
                Some(entry) => Some(std::mem::replace(&mut entry.waker, waker.clone())),
                None => {
                    entries.push(Entry { running: running.clone(), waker: waker.clone() });
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

    /// Forgets the process.
    pub(super) fn forget(&self, running: &Arc<dyn Running>) {
        let mut entries = lock(&self.watched.entries);
        let at = entries.iter().position(|entry| is_same(&entry.running, running));
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

fn is_same(one: &Arc<dyn Running>, other: &Arc<dyn Running>) -> bool {
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
        let running: Vec<_> =
            lock(&self.entries).iter().map(|entry| entry.running.clone()).collect();
        let pollin = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![pollin(self.counter.as_fd())];
        fds.extend(running.iter().map(|running| pollin(running.fd())));
        if leave() {
            return true;
        }
        let all = match os::poll(&mut fds, None) {
            Ok(_) => false,
            Err(Errno::EINTR) => return true,
            // Without memory for the call the futures look for themselves.
            Err(_) => true,
        };
        let ready = running.iter().zip(&fds[1..]);
        let ended: Vec<_> =
            ready.filter(|(_, fd)| all || fd.any() != Some(false)).map(|(one, _)| one).collect();
        let has_ended = |entry: &Entry| ended.iter().any(|one| is_same(one, &entry.running));
        let mut entries = lock(&self.entries);
        let (woken, waiting) = std::mem::take(&mut *entries).into_iter().partition(has_ended);
        *entries = waiting;
        drop(entries);
        let woken: Vec<Entry> = woken;
        woken.into_iter().for_each(|entry| entry.waker.wake());
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
