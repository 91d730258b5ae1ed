//! What has an idle session looked at.
//!
//! Invariant: it keeps no session alive.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Weak},
    task::{Wake, Waker},
    time::Duration,
};

use crate::{
    error::{Error, OrResources},
    os::{self, Listed},
    watcher::{Awaited, WatcherHandle},
};

/// How long an endpoint may count that a worker had which has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A session that looks at what has come while no call is under way.
pub(super) trait LookWhileIdle: Send + Sync {
    fn look_while_idle(self: Arc<Self>);
}

pub(super) struct IdleWatch {
    watcher: WatcherHandle,
    idle: Arc<Idle>,
}

/// An idle session, for the watcher.
struct Idle {
    session: Weak<dyn LookWhileIdle>,
    /// Never counts: the watcher looks by the time alone.
    counter: Listed,
}

impl Awaited for Idle {
    fn fd(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }

    fn longest(&self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Wake for Idle {
    fn wake(self: Arc<Self>) {
        if let Some(session) = self.session.upgrade() {
            session.look_while_idle();
        }
    }
}

impl IdleWatch {
    pub(super) fn new(session: Weak<dyn LookWhileIdle>) -> Result<Self, Error> {
        let counter = os::new_counter().and_then(Listed::new);
        let counter = counter.or_resources("watching an idle pool")?;
        let idle = Arc::new(Idle { session, counter });
        Ok(Self { watcher: WatcherHandle::new()?, idle })
    }

    /// What has the session look once, after a pause.
    pub(super) fn begin(&self) -> impl FnOnce() -> Result<(), Error> + use<> {
        let (watcher, idle) = (self.watcher.here().cloned(), self.idle.clone());
        move || {
            let awaited: Arc<dyn Awaited> = idle.clone();
            watcher.map_or(Ok(()), |watcher| watcher.watch(&awaited, &Waker::from(idle)))
        }
    }
}

impl fmt::Debug for IdleWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleWatch").finish_non_exhaustive()
    }
}
