//! What the parent knows of a set of processes, behind one lock.
//!
//! Invariant: no code of the user runs while the lock is held; `actions` is empty when a thread
//! releases it.

use std::{
    collections::BTreeMap,
    mem::ManuallyDrop,
    num::NonZeroU64,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pool_ipc::{
    Arena,
    board::{Board, Incarnation},
};
use pool_shm::ForkMark;

use super::{
    arenas::{OnTheWay, WorkerArena},
    buffers::BufferPool,
    idle_watch::IdleWatch,
    inboxes::{Inbox, Inboxes},
    log_area::LogCapture,
    sleepers::Sleepers,
};
use crate::{
    cancel::CancelToken,
    deferred_log::DeferredLog,
    engine::{Action, Engine, JobId},
    error::{Error, LateOutput, WorkerStage},
    hooks::{Bounds, Exits},
    ids::{ItemIndex, WorkerId},
    insights::OpenArea,
    mutex::lock,
    os::KeptFd,
    output::Capture,
    protocol::ClaimedChunk,
    segments::SegmentClient,
    zygote::ZygoteLink,
};

/// How long the second socket of a zygote may stay open after the first one was closed.
const ITS_SOCKETS: Duration = Duration::from_millis(100);

/// Passes after which the driver looks at the time although results keep coming.
const PASSES_WITHOUT_TIME: u32 = 64;
/// Reports are read that often although results keep coming: two system calls, which one of 64
/// short calls would feel.
const BETWEEN_REPORTS: Duration = Duration::from_millis(1);

/// A set of worker processes as its parent sees it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) state: Mutex<SessionState>,
    /// Notified whenever something arrives for futures.
    pub(super) answered: Condvar,
    /// Notified whenever a thread that stands by has to look.
    pub(super) vacant: Condvar,
    /// What brings the logs of the workers here.
    pub(super) log_capture: LogCapture,
    /// The times of the workers.
    pub(super) insights: Option<OpenArea>,
    pub(super) board: Board,
    pub(super) link: ManuallyDrop<ZygoteLink>,
    /// The parent's wake counter: an event counter that workers write to.
    pub(super) wake_counter: ManuallyDrop<KeptFd>,
    /// Whether the program has closed the wake counter, as far as a driver has seen.
    pub(super) wake_counter_is_lost: AtomicBool,
    /// Fetches and announces the segments of handles.
    pub(super) broker: ManuallyDrop<Arc<SegmentClient>>,
    /// What captures the output of workers.
    pub(super) output: ManuallyDrop<Option<Arc<Capture>>>,
    pub(super) mark: ForkMark,
    pub(super) spin: u32,
    pub(super) items_limit: u64,
    pub(super) bounds: Bounds,
    pub(super) shared_timeout: Option<Duration>,
    /// Bytes of address space for each worker's arena.
    pub(super) reservation: u64,
    /// The size of arenas that the user asked for, if any: for those that are made when the system
    /// grants less.
    pub(super) asked_arena: Option<u64>,
    /// Tasks after which a worker's life ends.
    pub(super) lifespan: Option<NonZeroU64>,
    /// Whether workers live on from call to call.
    pub(super) keep_alive: AtomicBool,
    /// Whether a call waits for the exits of workers that end with it.
    pub(super) waits_for_exits: bool,
    pub(super) exits: Arc<Exits>,
    /// Whether another session has replaced this one, which ends with the last of its calls.
    pub(super) retired: AtomicBool,
    /// Whether the session has ended before its zygote could begin.
    pub(super) renewable: AtomicBool,
    /// How often calls were told that they cannot go on.
    pub(super) failures: AtomicU64,
    /// Whether any endpoint of a channel has gone to a worker or come from one, or the output of a
    /// worker's end was asked for.
    pub(super) reports_matter: AtomicBool,
    /// What has it looked at while no call is under way.
    pub(super) idle: Mutex<Option<IdleWatch>>,
}

/// What the session's lock guards.
#[derive(Debug)]
pub(crate) struct SessionState {
    pub(super) engine: Engine,
    pub(super) items: Arena,
    /// The arenas of living workers, read-only.
    pub(super) arenas: BTreeMap<Incarnation, Arc<WorkerArena>>,
    pub(super) on_the_way: OnTheWay,
    /// Whether results have brought endpoints of channels, which count as long as the zygote has
    /// not heard that a worker's last result was read.
    pub(super) endpoints_came: bool,
    /// For each place, how many finished slots were collected.
    pub(super) cursors: Vec<u64>,
    /// A copy of them that the driver reads without the lock; its memory is used again.
    pub(super) cursors_seen: Vec<u64>,
    pub(super) inboxes: Inboxes,
    /// Buffers of jobs that are over.
    pub(super) spare: BufferPool,
    /// Actions of the engine that are to be carried out.
    pub(super) actions: Vec<Action>,
    /// The actions that are being carried out; its memory is used again.
    pub(super) round: Vec<Action>,
    /// Whether some thread drives: collects, reads reports, sleeps on the descriptors.
    pub(super) driving: bool,
    /// Threads that wait for the driver, and those of them that have not been woken.
    pub(super) waiting: usize,
    pub(super) sleepers: Sleepers,
    /// Whether the driver sleeps until several chunks have ended.
    pub(super) awaits_several: bool,
    /// Threads that leave the driving to others as soon as one waits.
    pub(super) giving_way: usize,
    /// Threads that wait for futures while others drive.
    pub(super) waiting_for_futures: usize,
    /// Whether threads sleep that drive only while no other one does (`standby.rs`).
    pub(super) standing_by: bool,
    /// Whether something was collected that the driver does not sleep over: a failure, a chunk cut
    /// short.
    pub(super) urgent: bool,
    /// Whether the board says that several calls have chunks under way and some wait.
    pub(super) others_wait: bool,
    /// Passes of the driver since it looked at the time last, or read reports.
    pub(super) passes: u32,
    pub(super) reports_read: Instant,
    pub(super) phase: Phase,
    /// Why calls cannot go on once the zygote is gone.
    pub(super) gone: Error,
    pub(super) next_context: u64,
    pub(super) watch: Watch,
    /// Calls under way whose items have a limit, and one more if `worker_init` or `worker_exit`
    /// has.
    pub(super) limited: usize,
    /// Workers that were timed out and are not reaped yet.
    pub(super) timed_out: Vec<Incarnation>,
    /// Chunks of cancelled calls that the zygote is to end with their workers.
    pub(super) kills: Vec<Kill>,
    /// Calls that have returned and of which items may still run.
    pub(super) detached_calls: Vec<DetachedCall>,
    /// Places that stay vacant for a pause, and its end.
    pub(super) rests: Vec<(WorkerId, Instant)>,
    /// How many time-outs the zygote has reported.
    pub(super) time_outs: u64,
    /// Whether a job was opened or given a chunk since workers were renewed.
    pub(crate) used: bool,
    /// The first worker's serial whose exit result counts: those of older workers belong to calls
    /// that are over.
    pub(super) exits_from: u64,
    /// The outputs of items that have just failed, by job and item, for the errors that the engine
    /// makes of them.
    pub(super) outputs: Vec<(JobId, ItemIndex, LateOutput)>,
    /// What is to be logged when the lock is free again.
    pub(super) deferred_log: DeferredLog,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Calls under way run to their end, new ones wait.
    Closing,
    /// Workers leave or are killed; none is replaced.
    Ending,
    /// The zygote is gone; [`SessionState::gone`] says why.
    Broken,
}

impl Phase {
    /// Whether workers that end are replaced.
    pub(super) fn replaces_workers(self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

/// What the checks for stopped processes have found so far (`watch.rs`).
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) last: Option<Instant>,
    /// Checks in a row, each `INTERVAL` after the one before, at which the zygote was stopped with
    /// something to report.
    pub(super) found: u32,
    /// Incarnations of workers that calls wait for and that were stopped while they ran no code of
    /// the user, with the number of such checks in a row.
    pub(super) exiting: Vec<(Incarnation, u32)>,
}

/// A chunk that the zygote was asked to end by killing its worker.
#[derive(Debug)]
pub(super) struct Kill {
    pub(super) chunk: ClaimedChunk,
    /// The end of the grace, by the clock that all processes share.
    pub(super) due: u64,
}

/// A call that has returned though items of it run, and the token that may still have them killed.
#[derive(Debug)]
pub(super) struct DetachedCall {
    pub(super) job: JobId,
    pub(super) token: CancelToken,
    /// The shortest grace that the items were given.
    pub(super) grace: Option<Duration>,
}

impl SessionState {
    /// Counts a pass of the driver; whether reports have not been read for so long that they are
    /// read although results keep coming.
    #[inline]
    pub(super) fn reports_are_due(&mut self) -> bool {
        self.passes += 1;
        if self.passes < PASSES_WITHOUT_TIME {
            return false;
        }
        self.passes = 0;
        self.reports_read.elapsed() >= BETWEEN_REPORTS
    }

    /// Whether the job is that of a queue, whose items are calls of one item each.
    pub(super) fn is_queue(&self, job: JobId) -> bool {
        self.inboxes.get(job).is_some_and(|inbox| inbox.queue() == Some(job))
    }

    /// Whether any call but that of this job is under way. The own job of a queue counts only while
    /// it has chunks: it is open all the time.
    pub(super) fn has_calls_but(&self, job: JobId) -> bool {
        let is_idle =
            |job, inbox: &Inbox| inbox.queue() == Some(job) && !self.engine.has_chunks_of(job);
        self.inboxes.iter().any(|(other, inbox)| other != job && !is_idle(other, inbox))
    }

    /// Notes that the present workers get something to do.
    pub(super) fn use_workers(&mut self) {
        if !std::mem::replace(&mut self.used, true) {
            self.exits_from = self.engine.workers.min_serial();
        }
    }
}

impl Session {
    pub(super) fn lock(&self) -> MutexGuard<'_, SessionState> {
        lock(&self.state)
    }

    /// The stage of this worker.
    pub(super) fn stage_of(&self, worker: WorkerId) -> WorkerStage {
        WorkerStage::from_number(self.board.stage(worker.index()))
    }

    /// Whether this process is a forked child of the one that made the session.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// Tasks after which a worker's life ends.
    #[inline]
    pub(crate) fn lifespan(&self) -> Option<NonZeroU64> {
        self.lifespan
    }

    /// Whether workers live on from call to call.
    #[inline]
    pub(super) fn keeps_alive(&self) -> bool {
        self.keep_alive.load(Relaxed)
    }

    /// Sets whether workers live on from call to call.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        self.keep_alive.store(on, Relaxed);
    }

    /// Marks the session as replaced: no new call comes, and the workers leave when the last one
    /// under way has ended.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    /// Whether no job is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().inboxes.is_empty()
    }

    /// Checks whether the zygote is gone after one of its sockets was closed: at its end they are
    /// closed one after the other.
    #[cold]
    pub(crate) fn check_for_end(&self) -> bool {
        if self.is_foreign() {
            return false;
        }
        let until = Instant::now() + ITS_SOCKETS;
        loop {
            let mut state = self.lock();
            self.handle_reports(&mut state);
            let is_broken = state.phase == Phase::Broken;
            drop(state);
            let left = until.saturating_duration_since(Instant::now());
            if is_broken || left.is_zero() {
                return is_broken;
            }
            self.link.wait_for_report(left);
        }
    }

    /// Whether the zygote is gone, and no other one can take its place.
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().phase == Phase::Broken && !self.is_renewable()
    }

    /// Whether the session has ended before its zygote could begin, so that the next call may open
    /// another one.
    #[inline]
    pub(crate) fn is_renewable(&self) -> bool {
        // Relaxed: a call that sees it late is told so by the session.
        self.renewable.load(Relaxed)
    }

    /// The error of a call that finds the zygote gone.
    #[cold]
    pub(crate) fn end_error(&self) -> Error {
        self.lock().gone.clone()
    }

    /// The process ids of the workers that run now, in order of their ids.
    pub(crate) fn worker_pids(&self) -> Vec<u32> {
        let mut state = self.lock();
        self.handle_reports(&mut state);
        let pid = |(worker, incarnation, pid)| self.pid_of(worker, incarnation, pid);
        state.engine.workers.iter().map(pid).filter(|pid| *pid > 0).map(|pid| pid as u32).collect()
    }

    /// The process id of a worker, 0 if it is not known yet. A worker may run a task before the
    /// zygote reports its start, and writes its process id to the board before all else.
    pub(super) fn pid_of(&self, worker: WorkerId, incarnation: Incarnation, reported: i32) -> i32 {
        let (written, of) = self.board.occupant(worker.index());
        if reported == 0 && of == incarnation { written as i32 } else { reported }
    }
}
