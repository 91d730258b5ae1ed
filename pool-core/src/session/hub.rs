//! What the parent knows of a crew of processes, behind one lock.
//!
//! Invariant: no code of the user runs while the lock is held; whoever holds it leaves with
//! `actions` empty.

use std::{
    collections::{BTreeMap, VecDeque},
    mem::ManuallyDrop,
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pool_ipc::{
    Arena, ArenaFull, Block,
    board::{Appetite, Board},
};
use pool_shm::ForkMark;

use super::{
    batch::ResultBatch,
    end::ANYTHING,
    kit::{Kit, Spare},
    segments::{Carried, OnTheWay, WorkerArena},
    watch::Watch,
};
use crate::{
    broker::BrokerLink,
    cancel::CancelToken,
    engine::{Action, Chunk, Engine, JobId, JobTable},
    error::{Error, TaskError},
    job::is_inside,
    journal::Journal,
    life::{Bounds, Exits},
    mutex::lock,
    shared::StartFailure,
    zygote::ZygoteLink,
};

/// How long after one socket of the zygote the other may be open.
const ITS_SOCKETS: Duration = Duration::from_millis(100);

/// A crew of worker processes as its parent sees it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) hub: Mutex<Hub>,
    /// Told whenever a thread that does not drive may go on.
    pub(super) changed: Condvar,
    /// Told whenever something arrives for futures.
    pub(super) answered: Condvar,
    pub(super) board: Board,
    pub(super) link: ManuallyDrop<ZygoteLink>,
    /// The parent's bell: an event counter that workers write to.
    pub(super) bell: ManuallyDrop<OwnedFd>,
    /// What leads to the segments of handles.
    pub(super) broker: ManuallyDrop<Arc<BrokerLink>>,
    pub(super) mark: ForkMark,
    pub(super) spin: u32,
    pub(super) items_limit: u64,
    pub(super) bounds: Bounds,
    pub(super) shared_timeout: Option<Duration>,
    /// Bytes of address space for each worker's arena.
    pub(super) reservation: u64,
    /// Whether workers live on from call to call.
    pub(super) keep_alive: AtomicBool,
    /// Whether a call that its workers end with waits for that.
    pub(super) waits_for_exits: bool,
    pub(super) exits: Arc<Exits>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) engine: Engine,
    pub(super) items: Arena,
    /// The arenas of living workers, read-only.
    pub(super) arenas: BTreeMap<u32, Arc<WorkerArena>>,
    pub(super) on_the_way: OnTheWay,
    /// For each place, how many finished slots were collected.
    pub(super) cursors: Vec<u64>,
    /// A copy for the driver to look at without the lock, kept for its room.
    pub(super) cursors_seen: Vec<u64>,
    pub(super) inboxes: JobTable<Inbox>,
    /// Buffers of jobs that are over.
    pub(super) spare: Spare,
    /// What the engine wants done.
    pub(super) actions: Vec<Action>,
    /// What is being done of it, kept for its room.
    pub(super) round: Vec<Action>,
    /// Whether some thread drives: collects, reads reports, sleeps on the descriptors.
    pub(super) driving: bool,
    /// Threads that wait for the one that drives.
    pub(super) waiting: usize,
    /// Threads that wait for futures while others drive.
    pub(super) listening: usize,
    /// Whether something was collected that does not wait for more: a failure, a chunk cut short.
    pub(super) urgent: bool,
    /// Turns since reports were read last.
    pub(super) turns: u32,
    pub(super) state: State,
    pub(super) next_context: u64,
    pub(super) watch: Watch,
    /// Calls under way whose items have a limit, and one more if making a worker's state has.
    pub(super) limited: usize,
    /// Workers that were condemned and are not reaped.
    pub(super) condemned: Vec<u32>,
    /// How many items were reported as overdue.
    pub(super) overruns: u64,
    /// Whether a job was opened since workers were renewed.
    pub(super) used: bool,
    /// Exit results of older workers belong to calls that are over.
    pub(super) exits_from: u32,
    /// What is to be said when the lock is free again.
    pub(super) journal: Journal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Calls under way run to their end, new ones wait.
    Closing,
    /// Workers leave or are killed; none is replaced.
    Ending,
    /// The zygote is gone.
    Broken,
}

impl State {
    /// Whether workers that end are replaced.
    pub(super) fn staffs(self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

/// Why a job cannot go on.
#[derive(Debug, Clone)]
pub(crate) enum Fatal {
    Foreign,
    Broken,
    Terminated,
    Cancelled,
    WorkersDie(String),
    NotStarted(i32),
    /// The worker at this place did not come up.
    Start(StartFailure, u32),
}

/// What a job finds in its inbox.
#[derive(Debug)]
pub(crate) enum Message {
    Results(ResultBatch),
    Failed(TaskError),
    Ended { bytes: u64 },
}

/// Why there is no block for items.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// Nothing is under way that could give room back.
    Never,
    Fatal(Fatal),
}

#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) messages: VecDeque<Message>,
    pub(super) fatal: Option<Fatal>,
    /// What may end the call from outside.
    pub(super) token: Option<CancelToken>,
    /// Its consumer may be anywhere: nobody waits for it.
    pub(super) lazy: bool,
    /// Whether its items have a limit.
    pub(super) limited: bool,
    /// It belongs to futures: whoever is there takes what arrives.
    pub(super) shared: bool,
    /// Something has arrived since anybody looked.
    pub(super) news: bool,
    /// Workers from this one on were started while the job was there.
    pub(super) first_incarnation: u32,
    /// All its items are told of: it waits for its workers' ends only.
    pub(super) over: bool,
}

impl Inbox {
    /// Its job cannot go on.
    pub(super) fn fail(&mut self, fatal: &Fatal) {
        self.fatal.get_or_insert_with(|| fatal.clone());
        self.news = true;
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Foreign => Self::ForeignProcess,
            Fatal::Broken => Self::PoolBroken,
            Fatal::Terminated => Self::Terminated,
            Fatal::Cancelled => Self::Cancelled,
            Fatal::WorkersDie(how) => Self::WorkersDie(how),
            Fatal::Start(failure, worker) => failure.into_error(worker),
            Fatal::NotStarted(errno) => Self::Resources {
                what: "starting a worker process",
                source: std::io::Error::from_raw_os_error(errno).into(),
            },
        }
    }
}

impl Session {
    pub(super) fn lock(&self) -> MutexGuard<'_, Hub> {
        lock(&self.hub)
    }

    /// Whether this process is a forked child of the one that made the session.
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.mark.get() == 0
    }

    /// Whether workers live on from call to call.
    #[inline]
    pub(super) fn keeps_alive(&self) -> bool {
        self.keep_alive.load(Relaxed)
    }

    /// Sets whether they do from now on.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        self.keep_alive.store(on, Relaxed);
    }

    /// Whether there is no call.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().inboxes.is_empty()
    }

    /// Opens a job: workers are started if there are none.
    pub(crate) fn open_job(
        &self,
        token: Option<CancelToken>,
        lazy: bool,
        limited: bool,
    ) -> Result<(JobId, Box<Kit>), Error> {
        // Reports are read when waiting for the first result does not pay off at once: until then
        // the dead and a dead zygote cost nothing here.
        let mut hub = self.lock();
        // A call that code inside another one makes belongs to that one.
        let nested =
            hub.state == State::Closing && is_inside(std::ptr::from_ref(self).addr(), None);
        while !nested && matches!(hub.state, State::Closing | State::Ending) {
            drop(hub);
            self.drive_until(ANYTHING, |hub| match hub.state {
                State::Open | State::Broken => true,
                State::Closing => false,
                State::Ending => hub.engine.workers().next().is_none(),
            });
            hub = self.lock();
            if hub.state == State::Ending && hub.engine.workers().next().is_none() {
                hub.state = State::Open;
            }
        }
        if hub.state == State::Broken {
            return Err(Error::PoolBroken);
        }
        self.board.expect_publication(hub.engine.likely_slot());
        hub.engine.forgive();
        let job = hub.engine.open_job();
        let mut kit = hub.spare.take(|| Kit::new(self.broker()));
        let messages = std::mem::take(&mut kit.messages);
        let first_incarnation = hub.engine.next_incarnation();
        let inbox = Inbox {
            messages,
            fatal: None,
            token,
            lazy,
            limited,
            shared: false,
            news: false,
            first_incarnation,
            over: false,
        };
        if !std::mem::replace(&mut hub.used, true) {
            hub.exits_from = hub.engine.min_incarnation();
        }
        hub.inboxes.insert(job, inbox);
        hub.limited += usize::from(limited);
        self.staff(&mut hub);
        Ok((job, kit))
    }

    /// Starts workers where there are none.
    pub(super) fn staff(&self, hub: &mut Hub) {
        hub.engine.staff(&mut hub.actions);
        self.act(hub);
    }

    /// A block of the parent's arena with room for `len` bytes.
    pub(crate) fn alloc_items(&self, len: usize) -> Result<(Block, *mut u8), ArenaFull> {
        let mut hub = self.lock();
        let block = hub.items.alloc(len as u64)?;
        Ok((block, hub.items.ptr(block)))
    }

    pub(crate) fn free_items(&self, block: Block) {
        if self.is_foreign() {
            return;
        }
        self.lock().items.free(block);
    }

    /// As [`Session::alloc_items`], but waits for chunks of any job to end as long as there are any.
    pub(crate) fn wait_for_room(&self, job: JobId, len: usize) -> Result<(Block, *mut u8), NoRoom> {
        let mut answer = Err(NoRoom::Never);
        self.drive_until(Appetite { finished: 1, hungry: false }, |hub| {
            let fatal = hub.inboxes.get(job).map_or(Some(&Fatal::Terminated), |i| i.fatal.as_ref());
            if let Some(fatal) = fatal {
                answer = Err(NoRoom::Fatal(fatal.clone()));
                return true;
            }
            match hub.items.alloc(len as u64) {
                Ok(block) => answer = Ok((block, hub.items.ptr(block))),
                Err(_) => return !hub.engine.has_chunks(),
            }
            true
        });
        answer
    }

    /// As [`Session::wait_for_room`], without waiting: `None` while chunks of any job may give room back.
    pub(crate) fn try_room(&self, len: usize) -> Result<Option<(Block, *mut u8)>, NoRoom> {
        let mut hub = self.lock();
        match hub.items.alloc(len as u64) {
            Ok(block) => Ok(Some((block, hub.items.ptr(block)))),
            Err(_) if hub.engine.has_chunks() => Ok(None),
            Err(_) => Err(NoRoom::Never),
        }
    }

    /// The most that one block of items can take.
    pub(crate) fn items_limit(&self) -> u64 {
        self.items_limit
    }

    /// Keeps a context's block for the job; answers with a number that no other context has.
    pub(crate) fn keep_context(&self, job: JobId, block: Block, carried: Option<Carried>) -> u64 {
        let mut hub = self.lock();
        if !hub.engine.keep_context(job, block) {
            hub.items.free(block); // the job was ended by another thread
        } else if let Some(carried) = carried {
            hub.on_the_way.keep(block, carried);
        }
        hub.next_context += 1;
        hub.next_context
    }

    /// Gives slots back whose results were read, takes a new chunk in, or both.
    pub(crate) fn submit(&self, released: &mut Vec<usize>, chunk: Option<Chunk>) {
        if self.is_foreign() {
            return;
        }
        self.take_in(&mut self.lock(), released, chunk);
    }

    pub(super) fn take_in(&self, hub: &mut Hub, released: &mut Vec<usize>, chunk: Option<Chunk>) {
        self.release(hub, released);
        if let Some(chunk) = chunk {
            hub.engine.submit(chunk, &mut hub.actions);
        }
        self.act(hub);
    }

    fn release(&self, hub: &mut Hub, released: &mut Vec<usize>) {
        for slot in released.drain(..) {
            self.release_slot(hub, slot);
            hub.engine.released(slot, &mut hub.actions);
        }
    }

    /// Gives slots back and ends the job: what was not begun is taken back, what runs is told and dropped when it ends.
    pub(crate) fn close_job(&self, job: JobId, mut kit: Box<Kit>) {
        let mut hub = self.lock();
        let hub = &mut *hub;
        let Some(inbox) = hub.inboxes.remove(job) else { return };
        hub.limited -= usize::from(inbox.limited);
        self.release(hub, &mut kit.released);
        kit.messages = inbox.messages;
        hub.spare.put(kit);
        let published = hub.engine.close_job(job, &mut hub.actions);
        self.take_back(hub, published);
        self.act(hub);
        if !self.keeps_alive() && hub.inboxes.is_empty() {
            self.renew_workers(hub);
        }
        if hub.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Takes chunks back that nobody has claimed, and tells the claimers of the others.
    fn take_back(&self, hub: &mut Hub, published: Vec<usize>) {
        for slot in published {
            let in_hand = hub.engine.chunk(slot).is_some_and(|chunk| chunk.in_hand.is_some());
            if !in_hand && self.board.take_back(slot) {
                hub.engine.taken_back(slot, &mut hub.actions);
            } else {
                self.board.cancel(slot);
            }
        }
    }

    /// Takes back what has not begun of jobs that have failed but whose callers do not know yet.
    pub(super) fn cancel_failed(&self, hub: &mut Hub) {
        let failed = |(job, inbox): (JobId, &Inbox)| inbox.fatal.is_some().then_some(job);
        for job in hub.inboxes.iter().filter_map(failed).collect::<Vec<_>>() {
            let published = hub.engine.cancel_job(job, &mut hub.actions);
            self.take_back(hub, published);
        }
        self.act(hub);
    }

    /// Looks whether the zygote is gone, after one of its sockets was: it closes them one after the other.
    #[cold]
    pub(crate) fn sees_end(&self) -> bool {
        if self.is_foreign() {
            return false;
        }
        let until = Instant::now() + ITS_SOCKETS;
        loop {
            let mut hub = self.lock();
            self.read_reports(&mut hub);
            let is_broken = hub.state == State::Broken;
            drop(hub);
            let left = until.saturating_duration_since(Instant::now());
            if is_broken || left.is_zero() {
                return is_broken;
            }
            self.link.wait_for_report(left);
        }
    }

    /// Whether the zygote is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.lock().state == State::Broken
    }

    /// Whether anything has arrived for the job, without waiting.
    pub(crate) fn has_arrived(&self, job: JobId) -> bool {
        if self.is_foreign() {
            return true;
        }
        let mut hub = self.lock();
        self.collect(&mut hub);
        self.read_reports(&mut hub);
        hub.inboxes.get(job).is_none_or(|i| i.fatal.is_some() || !i.messages.is_empty())
    }

    /// Waits until a worker has been started.
    pub(crate) fn wait_for_pid(&self) -> Result<u32, Error> {
        if self.is_foreign() {
            return Err(Error::ForeignProcess);
        }
        let mut pid = None;
        self.drive_until(Appetite { finished: i64::MAX, hungry: false }, |hub| {
            pid = hub.engine.workers().map(|(_, _, pid)| pid as u32).find(|pid| *pid > 0);
            let failed = hub.inboxes.iter().any(|(_, inbox)| inbox.fatal.is_some());
            pid.is_some() || failed || !hub.state.staffs()
        });
        pid.ok_or(Error::PoolBroken)
    }

    /// The process ids of the workers that run now, in order of their ids.
    pub(crate) fn worker_pids(&self) -> Vec<u32> {
        let mut hub = self.lock();
        self.read_reports(&mut hub);
        let pid = |(place, incarnation, pid)| self.pid_of(place, incarnation, pid);
        hub.engine.workers().map(pid).filter(|pid| *pid > 0).map(|pid| pid as u32).collect()
    }

    /// The process id of a worker, 0 if nobody knows it: it may have run a task before the zygote reports that it was started, and
    /// has put its number on the board first of all.
    pub(super) fn pid_of(&self, place: usize, incarnation: u32, reported: i32) -> i32 {
        let (written, of) = self.board.occupant(place);
        if reported == 0 && of == incarnation { written as i32 } else { reported }
    }
}
