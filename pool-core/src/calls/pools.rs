//! The pools of this process that are watched.
//!
//! Invariant: a forked child begins with none, and does not watch because its parent does.

use std::{
    collections::VecDeque,
    fmt, mem, process,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    list::{CallList, PoolParts},
    snapshot::CallSnapshot,
};
use crate::{
    insights::{Collection, Insights, WorkerActivity},
    mutex::lock,
    start_method::StartMethod,
};

/// The pools that are listed.
static POOLS: Mutex<Pools> = Mutex::new(Pools::none(0));

/// How many pools that were dropped are kept.
const CLOSED: usize = 16;

/// The process whose pools are all watched; 0: none.
static ALL: AtomicU32 = AtomicU32::new(0);

struct Pools {
    process: u32,
    pools: Vec<Weak<CallList>>,
    /// How many [`WatchAll`] there are.
    watchers: usize,
    /// Pools that were dropped while there was one, the last ones.
    closed: VecDeque<Arc<CallList>>,
}

impl Pools {
    const fn none(process: u32) -> Self {
        Self { process, pools: Vec::new(), watchers: 0, closed: VecDeque::new() }
    }
}

/// Locks those of this process.
fn pools() -> MutexGuard<'static, Pools> {
    let (mut pools, here) = (lock(&POOLS), process::id());
    if pools.process != here {
        mem::forget(mem::replace(&mut *pools, Pools::none(here)));
    }
    pools
}

/// The list of a pool's calls, among those of the process if the pool is to be watched.
pub(crate) fn list_of(pool: PoolParts, insights: Option<Arc<Collection>>) -> Arc<CallList> {
    let list = CallList::new(pool, insights);
    if pool.watched {
        enter(&list);
    }
    list
}

/// Whether a call that begins now is to be recorded, whatever it asks for.
#[inline]
pub(crate) fn is_watched(list: &Arc<CallList>) -> bool {
    let watching = ALL.load(Ordering::Relaxed);
    let all = watching != 0 && watching == process::id();
    if all {
        enter(list);
    }
    all || list.is_watched()
}

/// Lists a pool, unless it is listed.
fn enter(list: &Arc<CallList>) {
    if !list.note_listed() {
        let mut pools = pools();
        pools.pools.retain(|pool| pool.strong_count() > 0);
        pools.pools.push(Arc::downgrade(list));
    }
}

/// Watches all pools of this process while it lives. See [`watch_all`].
#[must_use = "calls are recorded while it lives"]
pub struct WatchAll {
    process: u32,
}

/// Has all pools of this process record their calls, not only those that were built with
/// `watched(true)`: those that begin while the value lives. A pool is listed by [`watched_pools`]
/// from its first such call on.
///
/// ```
/// use pool_core::{watch_all, watched_pools};
///
/// let watch = watch_all();
/// // … calls of any pool …
/// for pool in watched_pools() {
///     pool.calls().iter().for_each(|call| println!("{} of {:?}", call.done, call.total));
/// }
/// drop(watch);
/// ```
pub fn watch_all() -> WatchAll {
    let mut pools = pools();
    pools.watchers += 1;
    ALL.store(pools.process, Ordering::Relaxed);
    WatchAll { process: pools.process }
}

impl Drop for WatchAll {
    fn drop(&mut self) {
        let mut pools = pools();
        if pools.process == self.process {
            pools.watchers -= 1;
            if pools.watchers == 0 {
                ALL.store(0, Ordering::Relaxed);
                let closed = mem::take(&mut pools.closed);
                drop(pools);
                drop(closed);
            }
        }
    }
}

impl fmt::Debug for WatchAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchAll").finish_non_exhaustive()
    }
}

/// The pools of this process that are watched and not dropped, in the order of their listing.
#[must_use]
pub fn watched_pools() -> Vec<WatchedPool> {
    let pools = pools();
    let open = pools.pools.iter().filter_map(Weak::upgrade).filter(|list| list.is_open());
    open.map(WatchedPool).collect()
}

/// The pools that were dropped while all were watched ([`watch_all`]): the last 16, the oldest
/// first. They are forgotten when no [`WatchAll`] is there any more.
#[must_use]
pub fn closed_pools() -> Vec<WatchedPool> {
    pools().closed.iter().cloned().map(WatchedPool).collect()
}

/// The pool is dropped.
pub(crate) fn close(list: &Arc<CallList>) {
    list.close();
    let mut pools = pools();
    let is_listed = pools.pools.iter().any(|pool| std::ptr::eq(pool.as_ptr(), Arc::as_ptr(list)));
    if is_listed && pools.watchers > 0 {
        let oldest = if pools.closed.len() == CLOSED { pools.closed.pop_front() } else { None };
        pools.closed.push_back(list.clone());
        drop(pools);
        drop(oldest);
    }
}

/// A pool whose calls are recorded. It does not keep the pool alive, and what was recorded can
/// still be read after the pool's end.
#[derive(Clone)]
pub struct WatchedPool(Arc<CallList>);

impl WatchedPool {
    pub(crate) fn of(list: &Arc<CallList>) -> Self {
        Self(list.clone())
    }

    /// The number of the pool, which no other pool of this process has.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number()
    }

    /// How many workers it has.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.0.n_jobs()
    }

    /// How its workers are started.
    #[must_use]
    pub fn start_method(&self) -> StartMethod {
        self.0.start_method()
    }

    /// Whether the pool was not dropped.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// The process ids of its workers, in the order of their ids; none under Threads, and while
    /// there are no workers.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        self.0.worker_pids()
    }

    /// What its workers have spent their time with until now; `None` where the pool records no
    /// insights (`enable_insights`).
    #[must_use]
    pub fn insights(&self) -> Option<Insights> {
        self.0.insights()
    }

    /// What each worker is at now, and since when, in order of their ids; nothing where the pool
    /// records no insights. `call` is the number of the call here, where it is recorded.
    #[must_use]
    pub fn worker_activity(&self) -> Vec<WorkerActivity> {
        self.0.worker_activity()
    }

    /// The calls that go on, and the last 100 that have ended: the latest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallSnapshot> {
        self.0.snapshots()
    }

    /// Cancels the call with this number, as its
    /// [`CancelToken`](crate::CancelToken::cancel) does; `false` if it does not go on. A call that
    /// was given a token is cancelled by that, with all others that have it.
    pub fn cancel(&self, number: u64) -> bool {
        self.0.cancel(number)
    }
}

impl fmt::Debug for WatchedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, n_jobs) = (self.number(), self.n_jobs());
        f.debug_struct("WatchedPool")
            .field("number", &number)
            .field("n_jobs", &n_jobs)
            .finish_non_exhaustive()
    }
}
