//! A template: it makes the shared value, then forks workers as the zygote orders.

#[cfg(feature = "capture-log")]
use std::sync::Arc;
use std::{
    io::IoSlice,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, sendmsg},
    unistd::Pid,
};
use pool_ipc::board::Incarnation;
#[cfg(feature = "capture-log")]
use pool_shm::Segment;
use pool_shm::exclusive_borrows;

#[cfg(feature = "capture-log")]
use crate::capture;
use crate::{
    error::{Fault, Stage, StartFailure, full_text},
    ids::WorkerId,
    os::{self, DescriptorLimit, FileId},
    panic::{end_quietly, learn_locations},
    protocol::{MessageKind, Order, Received},
    shared::{SharedConfig, SharedSpec, SharedValue, make_in_thread},
    worker::{self, SharedMappings, WorkerFds, WorkerStart, arena_from},
};

/// How long threads that are about to end may take: thread pools do not wait for their threads.
const GRACE: Duration = Duration::from_millis(500);

/// What a template gets from its zygote.
pub(crate) struct TemplateArgs {
    pub(crate) zygote: Pid,
    pub(crate) socket: OwnedFd,
    pub(crate) shared_spec: SharedSpec,
    /// Bytes of the stack that the value is made on, if the user has set them.
    pub(crate) stack: Option<usize>,
    /// The descriptors of the segments that the specification names.
    pub(crate) segment_fds: Vec<OwnedFd>,
    pub(crate) board: OwnedFd,
    pub(crate) items: OwnedFd,
    pub(crate) wake_counter: OwnedFd,
    pub(crate) handshake_socket: OwnedFd,
    /// Those of the output of workers.
    pub(crate) output: Vec<OwnedFd>,
    pub(crate) limit: DescriptorLimit,
}

/// Runs as a template until the zygote is gone; `config` makes the start-up configuration of a
/// worker from its place and incarnation.
pub(crate) fn live(args: TemplateArgs, config: impl Fn(WorkerId, Incarnation) -> WorkerStart) -> ! {
    // A panic here is a defect; the zygote sees the end.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        os::unblock_signals();
        os::set_process_name(&os::process_name("pool-template"));
        if !os::arm_parent_death(args.zygote) {
            end_quietly();
        }
        learn_locations(true);
        let TemplateArgs {
            zygote,
            socket,
            shared_spec,
            stack,
            segment_fds,
            board,
            items,
            wake_counter,
            handshake_socket,
            output,
            limit,
        } = args;
        limit.restore();
        #[cfg(feature = "capture-log")]
        capture_logs(&board, &config(WorkerId::FIRST, Incarnation::new(1)).config);
        let identities = || {
            let fixed = [&socket, &wake_counter, &handshake_socket].into_iter();
            fixed.chain(&output).map(|fd| FileId::of(fd.as_fd())).collect::<Vec<_>>()
        };
        let before = identities();
        let made = make(shared_spec, segment_fds, stack);
        // The user's code has closed one of them, and may have opened another file at its number.
        // The zygote sees this process's end.
        if identities() != before {
            end_quietly();
        }
        // What the user's code has printed must not be written by every worker once more.
        os::flush_output();
        // The user's code may have changed credentials, which disarms the signal.
        if !os::arm_parent_death(zygote) {
            end_quietly();
        }
        let refused = |error: pool_shm::Error| Fault::Refused { why: full_text(&error) };
        let mapped = |value| Ok((value, SharedMappings::new(board, items).map_err(refused)?));
        match made.and_then(mapped) {
            Ok((value, mappings)) => {
                send(&socket, MessageKind::Ready, 0, &[]);
                let template =
                    Template { socket, mappings, wake_counter, handshake_socket, output, value };
                while template.handle_orders(&config) {}
            }
            Err(fault) => {
                let failure = StartFailure { stage: Stage::Shared, fault };
                send(&socket, MessageKind::Failed, 0, &failure.to_bytes());
            }
        }
    }));
    end_quietly()
}

/// Makes this process capture its logs, in the ring behind those of the workers. Where that is
/// refused, its logs are lost, which is no reason to do without the value.
#[cfg(feature = "capture-log")]
fn capture_logs(board: &OwnedFd, workers: &worker::WorkerConfig) {
    if workers.log_area == 0 {
        return;
    }
    let segment = board.try_clone().ok().and_then(|board| Segment::from_fd(board).ok());
    let mapping = segment.and_then(|segment| segment.map_unlocked().ok());
    if let Some(mapping) = mapping.filter(|mapping| mapping.dont_fork().is_ok()) {
        capture::begin(&Arc::new(mapping), workers.log_area, workers.shape.places);
    }
}

fn make(
    shared_spec: SharedSpec,
    segment_fds: Vec<OwnedFd>,
    stack: Option<usize>,
) -> Result<SharedValue, Fault> {
    let limit = shared_spec.limit;
    let value = make_in_thread((limit, stack), move || shared_spec.construct(segment_fds, true))?;
    let names = threads_left().map_err(|error| Fault::Refused { why: error.to_string() })?;
    if !names.is_empty() {
        return Err(Fault::LeftThreads { names });
    }
    // Each worker would have the borrow, behind a lock of its own.
    if exclusive_borrows() > 0 { Err(Fault::Borrowed) } else { Ok(value) }
}

/// The names of the threads that still run beside this one after a grace.
fn threads_left() -> std::io::Result<Vec<String>> {
    let until = Instant::now() + GRACE;
    loop {
        let names = os::other_threads()?;
        if names.is_empty() || Instant::now() >= until {
            return Ok(names);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Template {
    socket: OwnedFd,
    mappings: SharedMappings,
    wake_counter: OwnedFd,
    handshake_socket: OwnedFd,
    output: Vec<OwnedFd>,
    value: SharedValue,
}

impl Template {
    /// Waits for an order and carries it out; `false` when the zygote is gone.
    fn handle_orders(&self, config: &impl Fn(WorkerId, Incarnation) -> WorkerStart) -> bool {
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        match Order::receive(&self.socket) {
            Ok(Received::Message(Order::Start { worker, incarnation, arena })) => {
                let mut start = config(worker, incarnation);
                start.config.shared = SharedConfig::Value(self.value.clone());
                // The template has restored it; what the user's code has set since stays.
                start.config.descriptors = DescriptorLimit::default();
                let (word, number) = match self.fork_worker(&start, arena) {
                    Ok(pid) => (MessageKind::Started, pid.as_raw()),
                    Err(error) => {
                        (MessageKind::NotStarted, error.raw_os_error().unwrap_or(libc::EAGAIN))
                    }
                };
                send(&self.socket, word, number, &[])
            }
            Ok(Received::Empty) => true,
            Ok(Received::Message(_) | Received::Closed) | Err(_) => false,
        }
    }

    fn fork_worker(&self, config: &WorkerStart, arena: Option<OwnedFd>) -> std::io::Result<Pid> {
        let arena = arena_from(arena)?;
        let life = || {
            os::unblock_signals();
            os::close_for_good(&self.socket);
            let [wake_counter, handshake_socket] =
                [&self.wake_counter, &self.handshake_socket].map(os::take_for_good);
            let output = config.config.output.sort(self.output.iter().map(os::take_for_good));
            let shared = Vec::new();
            let fds = WorkerFds { arena, wake_counter, handshake_socket, output, shared };
            worker::live(config, || Some((self.mappings.clone(), fds)))
        };
        // SAFETY: the process has one thread, as `make` has checked after it made the value, and
        // nothing here starts another. (The value must not refer to threads that have ended: the
        // documentation of `shared_built` asks that of its constructor.) Nor has the process
        // exclusive access to shared memory, which `make` has checked, too.
        unsafe { os::fork_adopted(life) }
    }
}

/// Sends a message to the zygote; `false` when it is gone.
fn send(socket: &OwnedFd, kind: MessageKind, number: i32, text: &[u8]) -> bool {
    let head = [kind as i32, number].map(i32::to_ne_bytes);
    let parts = [IoSlice::new(head.as_flattened()), IoSlice::new(text)];
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, &[], MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}
