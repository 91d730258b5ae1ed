//! The calls of one pool.
//!
//! Invariant: no code of the user runs under the lock.

use std::{
    collections::VecDeque,
    fmt, process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{call::WatchedCall, snapshot::CallSnapshot};
use crate::{
    cancel::CancelToken,
    insights::{Collection, Insights, WorkerActivity},
    mutex::lock,
    start_method::StartMethod,
};

/// How many calls that have ended are kept.
const HISTORY: usize = 100;

/// What tells the process ids of a pool's workers.
type WorkerPids = Box<dyn Fn() -> Vec<u32> + Send>;

/// What a list says of its pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolParts {
    pub(crate) n_jobs: usize,
    pub(crate) method: StartMethod,
    /// Whether the pool was built to be watched.
    pub(crate) watched: bool,
}

/// The calls of one pool that are recorded.
pub(crate) struct CallList {
    number: u64,
    pool: PoolParts,
    /// The process that made it: a child has a copy, and its lock may be taken for ever.
    process: u32,
    is_listed: AtomicBool,
    is_open: AtomicBool,
    worker_pids: Mutex<Option<WorkerPids>>,
    insights: Option<Arc<Collection>>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    running: Vec<Arc<WatchedCall>>,
    ended: VecDeque<CallSnapshot>,
}

impl CallList {
    pub(crate) fn new(pool: PoolParts, insights: Option<Arc<Collection>>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            pool,
            process: process::id(),
            is_listed: AtomicBool::new(false),
            is_open: AtomicBool::new(true),
            worker_pids: Mutex::default(),
            insights,
            calls: Mutex::default(),
        })
    }

    /// Whether the pool was built to be watched.
    pub(super) fn is_watched(&self) -> bool {
        self.pool.watched
    }

    /// Notes that the pool is listed among those of the process; whether it was before.
    pub(super) fn note_listed(&self) -> bool {
        self.is_listed.swap(true, Ordering::Relaxed)
    }

    /// Tells how to find the process ids of the pool's present workers.
    pub(crate) fn set_worker_pids(&self, pids: WorkerPids) {
        let before = lock(&self.worker_pids).replace(pids);
        drop(before);
    }

    /// The pool is dropped.
    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
        let pids = lock(&self.worker_pids).take();
        drop(pids);
    }

    /// Records a call that begins.
    pub(crate) fn begin(&self, call: &Arc<WatchedCall>) {
        lock(&self.calls).running.push(call.clone());
    }

    /// Moves a call to those that have ended.
    pub(crate) fn end(&self, call: &Arc<WatchedCall>) {
        let snapshot = call.snapshot();
        let mut calls = lock(&self.calls);
        calls.running.retain(|running| !Arc::ptr_eq(running, call));
        let oldest = if calls.ended.len() == HISTORY { calls.ended.pop_front() } else { None };
        calls.ended.push_back(snapshot);
        drop(calls);
        drop(oldest);
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn n_jobs(&self) -> usize {
        self.pool.n_jobs
    }

    pub(crate) fn start_method(&self) -> StartMethod {
        self.pool.method
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    pub(crate) fn worker_pids(&self) -> Vec<u32> {
        if self.is_foreign() {
            return Vec::new();
        }
        lock(&self.worker_pids).as_ref().map_or_else(Vec::new, |pids| pids())
    }

    /// What the workers spend their time with; `None` where the pool records no insights.
    pub(crate) fn insights(&self) -> Option<Insights> {
        let insights = self.insights.as_ref().filter(|_| !self.is_foreign());
        insights.map(|insights| insights.insights())
    }

    /// What the workers are at, with the numbers of calls that are recorded.
    pub(crate) fn worker_activity(&self) -> Vec<WorkerActivity> {
        let Some(insights) = self.insights.as_ref().filter(|_| !self.is_foreign()) else {
            return Vec::new();
        };
        let mut activity = insights.activity();
        let calls = lock(&self.calls);
        for worker in &mut activity {
            let job = worker.call.take();
            let call = calls.running.iter().find(|call| Some(call.job()) == job);
            worker.call = call.map(|call| call.number());
        }
        activity
    }

    /// The calls that go on, and those that have ended: the latest first.
    pub(crate) fn snapshots(&self) -> Vec<CallSnapshot> {
        if self.is_foreign() {
            return Vec::new();
        }
        let calls = lock(&self.calls);
        let (running, ended) = (calls.running.clone(), calls.ended.clone());
        drop(calls);
        let mut snapshots: Vec<_> = running.iter().map(|call| call.snapshot()).collect();
        snapshots.extend(ended);
        snapshots.sort_by_key(|call| std::cmp::Reverse(call.number));
        // A call that has ended in between is there once.
        snapshots.dedup_by_key(|call| call.number);
        snapshots
    }

    /// Cancels a call that goes on; whether there is one.
    pub(crate) fn cancel(&self, number: u64) -> bool {
        if self.is_foreign() {
            return false;
        }
        let calls = lock(&self.calls);
        let goes_on = |call: &&Arc<WatchedCall>| call.number() == number && !call.has_ended();
        let call = calls.running.iter().find(goes_on).cloned();
        drop(calls);
        let token = call.as_ref().and_then(|call| call.token());
        token.inspect(|token| CancelToken::cancel(token)).is_some()
    }

    fn is_foreign(&self) -> bool {
        self.process != process::id()
    }
}

impl fmt::Debug for CallList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallList").field("pool", &self.pool).finish_non_exhaustive()
    }
}
