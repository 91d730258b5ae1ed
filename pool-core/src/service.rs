//! A thread of another crate that serves something beside the pools, and its descriptors.
//!
//! Invariant: while this process may be forked by a pool the thread is not there, and what a pool
//! forks has none of its descriptors: they are on the list of those that are closed in a child.

use std::{
    fmt, io,
    mem::ManuallyDrop,
    ops::Deref,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::Arc,
};

use crate::{
    driver::{Driven, Driver, Leave, Work},
    error::Error,
    os,
    panic::drop_quietly,
    stack,
};

/// What the thread of a [`Service`] does.
#[doc(hidden)]
pub trait Serve: Send + Sync {
    /// Serves until `leave` says that it is to end: it is called again after a fork.
    fn serve(&self, leave: &dyn Fn() -> bool);

    /// Makes `serve` ask `leave` soon.
    fn interrupt(&self);

    /// Whether there will never be anything to serve again: then the thread ends.
    fn is_over(&self) -> bool;

    /// Nothing is served any more: no thread could be started after a fork, or `serve` has
    /// panicked. From now on `is_over` is true.
    fn fail(&self, why: Error);
}

/// The thread. It ends when this is dropped; in a forked child that changes nothing.
#[doc(hidden)]
pub struct Service {
    inner: ManuallyDrop<Inner>,
    process: u32,
}

struct Inner {
    driver: Driver,
    /// Keeps what the driver has a weak reference to.
    _driven: Arc<dyn Driven>,
}

struct Adapter<S>(Arc<S>);

impl Service {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`] when no thread can be started.
    pub fn start<S: Serve + 'static>(serve: &Arc<S>) -> Result<Self, Error> {
        let driven: Arc<dyn Driven> = Arc::new(Adapter(serve.clone()));
        let driver = Driver::new(Arc::downgrade(&driven), stack::size(None));
        driver.start()?;
        let inner = ManuallyDrop::new(Inner { driver, _driven: driven });
        Ok(Self { inner, process: process::id() })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.process == process::id() {
            self.inner.driver.stop();
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.inner) }
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("process", &self.process).finish_non_exhaustive()
    }
}

impl<S: Serve> Driven for Adapter<S> {
    fn demand(&self) -> (Work, u64) {
        (if self.0.is_over() { Work::Over } else { Work::Now }, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        // The hook for panics has told the defect already.
        let served = catch_unwind(AssertUnwindSafe(|| self.0.serve(leave)));
        if let Err(payload) = served {
            drop_quietly(payload);
            let reason = Some("the thread that serves has panicked".to_string());
            self.0.fail(Error::Resources { what: "a service", reason, source: None });
        }
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {}

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn no_driver(&self, why: Error) {
        self.0.fail(why);
    }
}

/// A descriptor that no process of a pool has.
#[doc(hidden)]
#[derive(Debug)]
pub struct PrivateFd<T: AsFd>(T);

impl<T: AsFd> PrivateFd<T> {
    /// The descriptor that `make` makes. No process of a pool is forked meanwhile, which would have
    /// a copy.
    ///
    /// # Errors
    ///
    /// That of `make`.
    pub fn new(make: impl FnOnce() -> io::Result<T>) -> io::Result<Self> {
        os::list_made(make).map(Self)
    }
}

impl<T: AsFd> Deref for PrivateFd<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsFd> AsFd for PrivateFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T: AsFd> Drop for PrivateFd<T> {
    fn drop(&mut self) {
        os::unlist(self.0.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc::{Sender, channel},
        },
        time::Duration,
    };

    use super::*;

    struct Defect(AtomicBool, Sender<String>);

    impl Serve for Defect {
        fn serve(&self, _: &dyn Fn() -> bool) {
            panic!("a defect, as asked for");
        }

        fn interrupt(&self) {}

        fn is_over(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }

        fn fail(&self, why: Error) {
            self.0.store(true, Ordering::SeqCst);
            let _ = self.1.send(why.to_string());
        }
    }

    #[test]
    fn a_panic_ends_the_service() {
        let (sender, failures) = channel();
        let serve = Arc::new(Defect(AtomicBool::new(false), sender));
        let service = Service::start(&serve).unwrap();
        let why = failures.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(why, "a service failed: the thread that serves has panicked");
        drop(service);
        assert!(failures.try_recv().is_err(), "it was not served again");
    }
}
