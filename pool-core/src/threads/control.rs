//! A job as its backend sees it: how far it is, and who is told.
//!
//! Invariant: nothing in it is the user's, and no code of the user runs while its flow is locked.

use std::{
    slice,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use pool_shm::ForkMark;

use super::{
    busy::Busy,
    exiting::Exiting,
    time_limits::{Deadlines, InHand},
    worker::{Failed, Host},
};
use crate::{
    cancel::{Bell, CancelToken, sleep_for},
    error::{Cause, Error, Stage},
    mutex::lock,
    shared::SharedValue,
};

/// How long a caller sleeps at most that waits for several chunks: one long task holds up the
/// results of others no longer.
const SLEEP_FOR_SEVERAL: Duration = Duration::from_millis(50);
/// How long a caller sleeps at most: the program may have closed its bell.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// What all jobs of a backend have in common.
pub(super) struct Shared {
    pub(super) mark: Arc<ForkMark>,
    pub(super) busy: Arc<Busy>,
    pub(super) exiting: Arc<Exiting>,
    pub(super) init_limit: Option<Duration>,
}

/// A job as its backend sees it: nothing in it is the user's.
pub(super) struct Control {
    pub(super) flow: Mutex<Flow>,
    pub(super) changed: Condvar,
    pub(super) cancelled: AtomicBool,
    /// As `Flow::arrived`, to be looked at without the lock.
    pub(super) arrived: AtomicUsize,
    /// Whether its consumer may be anywhere.
    pub(super) lazy: bool,
    /// How long one item may take.
    pub(super) limit: Option<Duration>,
    /// How long making a worker's state may take.
    pub(super) init_limit: Option<Duration>,
    pub(super) exiting: Arc<Exiting>,
    /// How its caller sleeps if the call can be cancelled.
    pub(super) watch: Option<Watch>,
    /// Who is told instead of a caller.
    pub(super) notice: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(super) mark: Arc<ForkMark>,
    pub(super) busy: Arc<Busy>,
}

/// A sleep that a cancel token ends, also one that is pulled in a signal handler: no condition
/// variable can be told there.
pub(super) struct Watch {
    pub(super) token: CancelToken,
    pub(super) bell: Bell,
}

pub(super) struct Flow {
    /// Chunks that were sent and have not ended.
    pub(super) under_way: usize,
    /// Chunks that have ended and whose parts lie unread.
    pub(super) arrived: usize,
    /// One of those parts does not wait for more: a failure.
    pub(super) urgent: bool,
    /// Of the items that run and have a limit.
    pub(super) deadlines: Deadlines<InHand>,
    /// How many have to arrive before the caller is woken; without a value it does not sleep.
    pub(super) wanted: Option<usize>,
    /// Nobody sleeps for it: every arrival is told of.
    pub(super) background: bool,
    pub(super) terminated: bool,
    /// What kept a worker from its first chunk or from its end, and with that ended the job.
    pub(super) failed: Option<(Stage, Cause, u32)>,
    pub(super) over: bool,
    /// The caller has all of it.
    pub(super) complete: bool,
}

impl Flow {
    /// Whether a caller that waits for `wanted` chunks goes on.
    pub(super) fn is_enough(&self, wanted: usize) -> bool {
        self.terminated || self.urgent || self.arrived >= wanted.max(1)
    }
}

impl Control {
    pub(super) fn open(
        shared: Shared,
        token: Option<CancelToken>,
        limit: Option<Duration>,
        lazy: bool,
    ) -> Result<Self, Error> {
        let Shared { mark, busy, exiting, init_limit } = shared;
        let watch = match token {
            Some(token) => Some(Watch { token, bell: Bell::new()? }),
            None => None,
        };
        Ok(Self {
            flow: Mutex::new(Flow {
                under_way: 0,
                arrived: 0,
                urgent: false,
                deadlines: Deadlines::default(),
                wanted: None,
                background: false,
                terminated: false,
                failed: None,
                over: false,
                complete: false,
            }),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
            arrived: AtomicUsize::new(0),
            lazy,
            limit,
            init_limit,
            exiting,
            watch,
            notice: OnceLock::new(),
            mark,
            busy,
        })
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// Whether nothing of it is to begin any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.is_revoked()
    }

    /// Whether its token was pulled. Workers see that before its caller does.
    pub(super) fn is_revoked(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.token.is_cancelled())
    }

    /// Wakes whoever waits for something of the job.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
        if let Some(watch) = &self.watch {
            watch.bell.ring();
        }
        if let Some(notice) = self.notice.get() {
            notice();
        }
    }

    /// The shortest limit of what workers do for the job.
    fn shortest(&self) -> Option<Duration> {
        self.limit.into_iter().chain(self.init_limit).chain(self.exiting.limit()).min()
    }

    /// When a thread has to look at a job without a caller although nothing arrives: a clock is
    /// due, or its token was pulled.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.is_revoked() {
            return Some(Instant::now());
        }
        let shortest = self.shortest()?;
        let left = lock(&self.flow).deadlines.sleep_at_most(Some(shortest))?;
        Instant::now().checked_add(left)
    }

    /// The caller sleeps until enough has arrived, but not long.
    pub(super) fn sleep<'c>(
        &'c self,
        flow: MutexGuard<'c, Flow>,
        wanted: usize,
    ) -> MutexGuard<'c, Flow> {
        let longest = if wanted > 1 { SLEEP_FOR_SEVERAL } else { LONGEST_SLEEP };
        let limit = flow.deadlines.sleep_at_most(self.shortest());
        let limit = limit.map_or(longest, |limit| limit.min(longest));
        let Some(watch) = &self.watch else {
            let sleeps = |flow: &mut Flow| !flow.is_enough(wanted);
            let woken = self.changed.wait_timeout_while(flow, limit, sleeps);
            return woken.unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(flow);
        sleep_for(&watch.bell, slice::from_ref(&watch.token), limit);
        lock(&self.flow)
    }

    /// Waits while `condition` holds.
    pub(super) fn wait_while(
        &self,
        mut condition: impl FnMut(&Flow) -> bool,
    ) -> MutexGuard<'_, Flow> {
        let flow = self.changed.wait_while(lock(&self.flow), |flow| condition(flow));
        flow.unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells running items, drops what was not begun, and makes the job's caller see its end.
    pub(super) fn terminate(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        lock(&self.flow).terminated = true;
        self.wake();
    }

    /// As [`Control::terminate`], since `worker` could not begin or end its life.
    pub(super) fn fail(&self, (stage, cause): Failed, worker: u32) {
        lock(&self.flow).failed.get_or_insert((stage, cause, worker));
        self.terminate();
    }

    /// As [`Control::fail`], with the lock in hand, since it takes longer than it may.
    pub(super) fn fail_overdue(
        &self,
        flow: &mut Flow,
        stage: Stage,
        limit: Option<Duration>,
        worker: u32,
    ) {
        let Some(limit) = limit else { return };
        flow.failed.get_or_insert((stage, Cause::Timeout { limit }, worker));
        flow.terminated = true;
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Begins the host's life, if none goes on. `false`: it could not, and the job has failed.
    pub(super) fn begin(&self, host: &mut Host, shared: Option<&SharedValue>) -> bool {
        if !host.is_to_begin() {
            return true;
        }
        let worker = host.id;
        if let Some(limit) = self.init_limit {
            lock(&self.flow).deadlines.start(InHand::State(worker), limit);
        }
        let begun = host.begin(shared);
        if self.is_foreign() {
            return false;
        }
        if self.init_limit.is_some() {
            lock(&self.flow).deadlines.stop(|what| *what == InHand::State(worker));
        }
        begun.map_err(|failed| self.fail(failed, worker)).is_ok()
    }

    /// Starts the clock of the item at `index`, which a thread has in hand, if items have a limit;
    /// when it is overdue, if ever.
    pub(super) fn start_clock(&self, index: u64, worker: u32) -> Option<Instant> {
        let limit = self.limit?;
        lock(&self.flow).deadlines.start(InHand::Item { index, worker }, limit)
    }

    /// Counts what the host has run, and ends its life if those were its last tasks: the caller
    /// waits for that, as long as it may take.
    pub(super) fn ran(&self, host: &mut Host, tasks: u64) {
        let (worker, mut watched) = (host.id, false);
        let ended = host.ran(tasks, &mut |deadline| {
            watched = true;
            lock(&self.flow).deadlines.start_until(InHand::Exit(worker), deadline);
        });
        if watched {
            lock(&self.flow).deadlines.stop(|what| *what == InHand::Exit(worker));
        }
        if let Err(failed) = ended {
            self.fail(failed, worker);
        }
    }

    /// Whether its caller has given the job up, or has all of it.
    pub(super) fn is_over(&self) -> bool {
        let flow = lock(&self.flow);
        flow.over || flow.complete
    }

    /// Waits until the caller has given the job up.
    pub(super) fn wait_for_end(&self) {
        drop(self.wait_while(|flow| !flow.over && !flow.terminated));
    }
}
