//! Opens a session: makes its board, its arena and its zygote.

use std::{
    collections::BTreeMap,
    io,
    mem::ManuallyDrop,
    num::NonZeroU64,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::Pid,
};
use pool_ipc::{
    Arena,
    board::{Board, Shape},
};
use pool_shm::{ForkMark, Segment};

use super::{
    arenas::{OnTheWay, reservation},
    buffers::BufferPool,
    insights_area::InsightsPlace,
    log_area::LogArea,
    state::{Phase, Session, SessionState, Watch},
};
use crate::{
    child::deliver_at_end,
    config::PoolConfig,
    deferred_log::DeferredLog,
    engine::Engine,
    error::{Error, OrResources},
    os::{self, DescriptorLimit, KeptFd, list},
    output::Capture,
    segments::SegmentClient,
    shared::Source,
    start_method::StartMethod,
    worker::WorkerConfig,
    zygote::{ZygoteConfig, ZygoteFds, ZygoteLink},
};

/// Starts a zygote by one of the start methods.
pub(crate) type ZygoteMaker<'a> = dyn Fn(ZygoteConfig, ZygoteFds) -> Result<Pid, Error> + 'a;

impl Session {
    /// Opens a session whose zygote comes from `maker`.
    pub(crate) fn open(
        plan: &PoolConfig,
        shared: &Source,
        fresh_workers: bool,
        maker: &ZygoteMaker<'_>,
    ) -> Result<Arc<Self>, Error> {
        let slots = (8 * plan.n_jobs).next_power_of_two().clamp(256, 8192);
        let shape = Shape { places: plan.n_jobs, slots };
        let reservation = reservation(plan.n_jobs, plan.asked_arena)?;
        let arena_limit = plan.arena_limit.min(reservation);

        let what = "mapping memory for the pool's task board";
        let log_area = LogArea::of(plan, shape.bytes());
        let insights_area = InsightsPlace::behind(log_area.end(), plan.insights.as_deref());
        let board = Segment::create("pool-board", insights_area.end() as u64).or_resources(what)?;
        let sparse = insights_area.offset() > 0 || log_area.offset() > 0;
        let board_map = if sparse { board.map_unlocked() } else { board.map() };
        let board_map = Arc::new(board_map.or_resources(what)?);
        board_map.dont_fork().or_resources(what)?;
        let insights = insights_area.open(&board_map);
        let log_capture = log_area.open(plan, &board_map)?;

        let what = "mapping memory for the pool's items";
        let items = Segment::create("pool-items", reservation).or_resources(what)?;
        let arena = Arena::new(&items, arena_limit).or_resources(what)?;
        arena.mapping().dont_fork().or_resources(what)?;

        let what = "opening descriptors for the pool's zygote";
        let wake_counter = os::new_counter().or_resources(what)?;
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (ours, theirs) =
            socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC).or_resources(what)?;
        // The lowest numbers are left to the standard streams and to what the program opens, also
        // where it has closed some of them.
        let above = |fd: OwnedFd| os::out_of_the_way(fd).or_resources(what);
        let theirs = above(theirs)?;
        let their_wake_counter = above(wake_counter.try_clone().or_resources(what)?)?;
        let (ours, wake_counter) =
            (KeptFd::new(ours).or_resources(what)?, KeptFd::new(wake_counter).or_resources(what)?);
        let mark = ForkMark::new(NonZeroU64::MIN).or_resources("mapping a page of memory")?;

        let spin = os::spin_rounds(plan.n_jobs);
        let config = ZygoteConfig {
            fresh_workers,
            cpus: plan.cpus.iter().map(|cpus| cpus.copied()).collect(),
            workers: WorkerConfig {
                shape,
                arena_limit,
                spin,
                first: plan.first_offsets()?,
                describers: plan.describer_offsets()?,
                shared: shared.config(plan.shared_timeout)?,
                life: plan.life.config()?,
                bounds: plan.bounds,
                log_area: log_area.offset(),
                insights_area: insights_area.offset(),
                output: plan.output.config,
                descriptors: DescriptorLimit::default(),
            },
        };
        let (capture, output_fds) = capture(plan).or_resources(what)?;
        let fds = ZygoteFds {
            control: theirs,
            board: above(board.into_fd())?,
            items: above(items.into_fd())?,
            wake_counter: their_wake_counter,
            output: output_fds,
            shared: shared.descriptors().or_resources(what)?,
        };
        // A forked zygote keeps these descriptors.
        let kept = [&fds.control, &fds.board, &fds.items, &fds.wake_counter];
        for fd in kept.into_iter().chain(&fds.output).chain(&fds.shared) {
            crate::os::forget_number(fd.as_fd());
        }
        // Listed before the zygote is made: a fork copies the list.
        list(ours.as_fd());
        list(wake_counter.as_fd());
        let pid = match maker(config, fds) {
            Ok(pid) => pid,
            Err(error) => {
                crate::os::unlist(ours.as_fd());
                crate::os::unlist(wake_counter.as_fd());
                return Err(error);
            }
        };
        let link = ZygoteLink::new(ours, pid, plan.method != StartMethod::Fork);
        link.descriptors().skip(1).for_each(list);
        let session = Arc::new_cyclic(|this| Self {
            items_limit: arena.limit(),
            renewable: AtomicBool::new(false),
            wake_counter_is_lost: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            reports_matter: AtomicBool::new(false),
            idle: Mutex::default(),
            state: Mutex::new(SessionState {
                engine: Engine::new(plan.n_jobs, slots).counting_from(plan.first_serial),
                items: arena,
                arenas: BTreeMap::new(),
                on_the_way: OnTheWay::default(),
                endpoints_came: false,
                cursors: vec![0; plan.n_jobs],
                cursors_seen: Vec::new(),
                inboxes: Default::default(),
                spare: BufferPool::default(),
                actions: Vec::new(),
                round: Vec::new(),
                driving: false,
                waiting: 0,
                sleepers: Default::default(),
                awaits_several: false,
                giving_way: 0,
                waiting_for_futures: 0,
                standing_by: false,
                urgent: false,
                others_wait: false,
                passes: 0,
                reports_read: Instant::now(),
                phase: Phase::Open,
                gone: Error::PoolBroken,
                next_context: 0,
                watch: Watch::default(),
                limited: usize::from(plan.bounds.init.or(plan.bounds.exit).is_some()),
                timed_out: Vec::new(),
                kills: Vec::new(),
                detached_calls: Vec::new(),
                rests: Vec::new(),
                time_outs: 0,
                used: false,
                exits_from: 0,
                outputs: Vec::new(),
                deferred_log: DeferredLog::default(),
            }),
            answered: Condvar::new(),
            vacant: Condvar::new(),
            log_capture,
            insights,
            output: ManuallyDrop::new(capture),
            board: Board::new(board_map, shape),
            link: ManuallyDrop::new(link),
            wake_counter: ManuallyDrop::new(wake_counter),
            broker: ManuallyDrop::new(broker_link(this)),
            mark,
            spin,
            bounds: plan.bounds,
            shared_timeout: plan.shared_timeout,
            reservation,
            asked_arena: plan.asked_arena,
            lifespan: plan.life.span,
            keep_alive: plan.keep_alive.into(),
            retired: false.into(),
            waits_for_exits: plan.life.exit.is_some(),
            exits: plan.exits.clone(),
        });
        if let Some(capture) = &*session.output {
            capture.start()?;
            deliver_at_end(capture);
        }
        Ok(session)
    }
}

/// What captures the output of workers, if that is asked for, and the descriptors for their output.
fn capture(plan: &PoolConfig) -> io::Result<(Option<Arc<Capture>>, Vec<OwnedFd>)> {
    let (capture, socket) = match plan.output.captures() {
        true => Some(Capture::new(&plan.output, plan.n_jobs)?).unzip(),
        false => (None, None),
    };
    let fds = socket.into_iter().chain(plan.output.duplicate_files()?);
    Ok((capture, fds.map(os::out_of_the_way).collect::<io::Result<_>>()?))
}

/// The session's link to the segments of other processes, which connects when the first handle is
/// sent.
fn broker_link(session: &Weak<Session>) -> Arc<SegmentClient> {
    let (to_introduce, to_notify) = (session.clone(), session.clone());
    let introduce = move |socket: BorrowedFd<'_>| match to_introduce.upgrade() {
        Some(session) => session.link.connect(socket),
        None => Err(Errno::EPIPE.into()),
    };
    let forgotten = move |id| {
        if let Some(session) = to_notify.upgrade() {
            session.board.announce_release(id);
        }
    };
    SegmentClient::new(Box::new(introduce), Box::new(forgotten))
}
