//! What a future knows of the crew that it was given to, and what its pool allows.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{background::Background, callbacks::Callbacks};
use crate::{engine::JobId, error::Error};

/// Why a desk did not take a call: the desk is closed, and another one may be open, or for good.
#[derive(Debug)]
pub(crate) enum Unaccepted<A> {
    Closed(A),
    Refused(super::Refused<A>),
}

/// What one call may take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// How long.
    pub(crate) limit: Option<Duration>,
    /// How long it may go on beyond that before its worker is killed.
    pub(crate) grace: Duration,
    /// How often it may be tried again whose worker died.
    pub(crate) retries: u32,
}

/// Bytes of results that lie in handles, or that callbacks wait with, and of the stacks of the
/// threads that handle them; and how many futures the pool has had.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicU64,
    /// The number of the next future.
    next: AtomicU64,
    limit: u64,
    /// Whether values that are not encoded are measured, too: then the limit means the same under every start method.
    exact: bool,
    pub(super) stack: usize,
}

impl Budget {
    pub(crate) fn new(set: Option<u64>, otherwise: u64, stack: usize) -> Self {
        let limit = set.unwrap_or(otherwise);
        Self {
            held: AtomicU64::new(0),
            next: AtomicU64::new(0),
            limit,
            exact: set.is_some(),
            stack,
        }
    }

    /// # Errors
    ///
    /// [`Error::ResultsUnread`] when there is more than the limit.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (bytes, limit) = (self.held.load(Ordering::Relaxed), self.limit);
        if bytes > limit { Err(Error::ResultsUnread { bytes, limit }) } else { Ok(()) }
    }

    /// A number that no other future of the pool has.
    pub(super) fn take_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The number was taken for a call that is refused: the next future has it, if no other one has
    /// taken its own meanwhile.
    pub(super) fn give_number_back(&self, number: u64) {
        let (taken, free) = (number + 1, number);
        let _ = self.next.compare_exchange(taken, free, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    pub(super) fn add(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that a callback waits with.
pub(super) struct Held(Arc<Budget>, u64);

impl Held {
    pub(super) fn new(budget: &Arc<Budget>, bytes: u64) -> Self {
        budget.add(bytes);
        Self(budget.clone(), bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.remove(self.1);
    }
}

/// Who completes the futures of a crew, as their handles see it.
pub(super) trait Desk: Send + Sync {
    /// Refuses to wait where that could last for ever: in a forked child, in a task of the crew itself.
    fn check(&self) -> Result<(), Error>;

    /// Waits until `done` says so, or it is `until`; futures of the desk are completed meanwhile.
    fn wait(&self, until: Option<Instant>, done: &dyn Fn() -> bool);

    /// Completes what has arrived, without waiting.
    fn look(&self);

    /// Lets somebody work although nobody waits: a callback or a waker does.
    fn attend(&self);

    /// Takes a call back that no worker has begun; whether there was one. Its future is not told, and nobody is who waits.
    fn withdraw(&self, entry: *const ()) -> bool;

    /// Has a call that is about to be completed as cancelled ended: what has not begun is taken
    /// back, what runs is told, and killed after `grace` where that can be.
    fn kill(&self, entry: *const (), grace: Duration);

    /// Items of the job in the background that has this number are killed after `grace` that run
    /// when it ends, where they can be.
    fn kill_at_end(&self, number: u64, grace: Duration);

    /// Something has left the desk without work at it: whoever waits for a future, for room or for the end looks again.
    fn recount(&self);

    /// Something has arrived for the job in the background that has this number. Called by workers that are threads.
    fn heard(&self, number: u64);
}

/// What all futures of a desk share.
pub(super) struct Home {
    pub(super) budget: Arc<Budget>,
    /// Threads that wait for a future of the desk, and a driver thread of processes while it
    /// sleeps. SeqCst, as `Entry::stage`: a thread that completes one looks for them.
    pub(super) waiting: AtomicUsize,
    /// Futures and streams that are not complete and that a callback or a waker waits for.
    pub(super) watched: AtomicUsize,
    pub(super) callbacks: Arc<Callbacks>,
    /// What tells the crew from all others.
    pub(super) crew: usize,
    pub(super) background: Background,
    /// The desk's own job, if it is one for processes.
    pub(super) job: Option<JobId>,
    desk: Weak<dyn Desk>,
}

impl Home {
    pub(super) fn new(
        budget: Arc<Budget>,
        (crew, job): (usize, Option<JobId>),
        desk: Weak<dyn Desk>,
    ) -> Arc<Self> {
        let (waiting, watched) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (callbacks, background) =
            (Arc::new(Callbacks::new(crew, budget.stack)), Background::default());
        Arc::new(Self { budget, waiting, watched, callbacks, crew, background, job, desk })
    }

    /// What tells the desk of something that has arrived.
    pub(super) fn listener(&self) -> impl Fn(u64) + Send + Sync + use<> {
        let desk = self.desk.clone();
        move |number| {
            if let Some(desk) = desk.upgrade() {
                desk.heard(number);
            }
        }
    }

    /// The desk, if it is still there: otherwise all its futures are complete.
    pub(super) fn desk(&self) -> Option<Arc<dyn Desk>> {
        self.desk.upgrade()
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("budget", &self.budget).finish_non_exhaustive()
    }
}
