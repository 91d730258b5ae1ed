//! Starts a process of one function, by each start method.
//!
//! Invariant: whatever fails before the process is there leaves nothing behind. What fails in it is
//! the end of that process.

#[cfg(feature = "fork")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use nix::{
    fcntl::OFlag,
    sys::signal::{SigSet, SigmaskHow, pthread_sigmask},
    unistd::{ForkResult, Pid, fork, pipe2},
};
use pool_ipc::{Encoder, Wire};
use pool_shm::SharedSegment;

use super::handle::Process;
#[cfg(feature = "threads")]
use super::thread::{ThreadRun, call_of};
use crate::{
    bootstrap::{self, ROLE_PROCESS},
    child::{
        Child, ChildConfig, ChildOutput, ChildParts, ChildStart, DeathLink, ForkLocks, Kind,
        Message, NotStarted, Portable, ServerLink, Started, Work, child_pidfd, children, inherited,
        inherited_closure, inherited_message, packet_pair, run_here, send_bytes, send_with_fds,
    },
    compact::Compact,
    driver::pause_drivers,
    error::{Error, OrResources},
    os::{self, Listed, own_descriptors},
    output::OutputPlan,
    panic::drop_quietly,
    start,
    start_method::StartMethod,
};
#[cfg(feature = "capture-log")]
use crate::{
    capture::Capture,
    child::{LogSegment, send_numbers},
};

/// What was tried when a process could not be started.
const STARTING: &str = "starting a process";

/// What the process runs.
pub(super) enum Task<A, R> {
    Function { function: fn(A) -> R, argument: Compact<A> },
    Closure(Box<dyn FnOnce() -> R + Send>),
}

/// How a process is started.
pub(super) struct Start {
    pub(super) method: StartMethod,
    pub(super) config: ChildConfig,
    pub(super) fork_with_threads: bool,
    /// What of its logs is captured.
    #[cfg(feature = "capture-log")]
    pub(super) capture: Option<Capture>,
}

impl Start {
    /// Starts the process.
    pub(super) fn start<A: Wire, R: Wire>(
        self,
        task: Task<A, R>,
        plan: &OutputPlan,
    ) -> Result<Process<R>, Error> {
        let Self { method, config, fork_with_threads, .. } = self;
        #[cfg(feature = "threads")]
        if method == StartMethod::Threads {
            let act = match task {
                Task::Function { function, argument } => call_of(function, argument),
                Task::Closure(closure) => closure,
            };
            return Ok(Process::of_thread(ThreadRun::start(config, act)?));
        }
        let output = ChildOutput::begin(plan)?;
        #[cfg(feature = "capture-log")]
        let (config, logs) = match self.capture {
            Some(capture) => {
                let (segment, logs) = LogSegment::create(capture, &config.identity.name)?;
                (ChildConfig { logs: Some(segment), ..config }, Some(logs))
            }
            None => (config, None),
        };
        let child = start_process(method, config, (task, output), fork_with_threads)?;
        #[cfg(feature = "capture-log")]
        let child = match logs {
            Some(logs) => child.with_logs(logs),
            None => child,
        };
        let child = Arc::new(child);
        children::add(child.clone());
        Ok(Process::of_child(child, method))
    }
}

fn start_process<A: Wire, R: Wire>(
    method: StartMethod,
    config: ChildConfig,
    (task, output): (Task<A, R>, OutputOf),
    fork_with_threads: bool,
) -> Result<Child, Error> {
    match (method, task) {
        #[cfg(feature = "fork")]
        (StartMethod::Fork, Task::Function { function, argument }) => {
            start::check_fork(fork_with_threads)?;
            let (work, endpoints) = work_of(function, argument)?;
            by_fork(config, (work, output), endpoints, fork_with_threads)
        }
        #[cfg(feature = "fork")]
        (StartMethod::Fork, Task::Closure(closure)) => {
            by_fork(config, (inherited_closure(closure), output), Vec::new(), fork_with_threads)
        }
        #[cfg(feature = "spawn")]
        (StartMethod::Spawn, Task::Function { function, argument }) => {
            let mut config = config;
            let variables = config.environment.take_variables();
            by_spawn(encode(config, function, argument)?, output, &variables)
        }
        #[cfg(feature = "forkserver")]
        (StartMethod::ForkServer, Task::Function { function, argument }) => {
            // The server may be older than what this process has set since.
            let config = ChildConfig { environment: config.environment.completed(), ..config };
            by_server(encode(config, function, argument)?, output)
        }
        (method, Task::Closure(_)) => Err(Error::NotSupported {
            method,
            what: "closures: a function and its argument can cross, or use fork or threads",
        }),
        (method, _) => Err(Error::NotSupported { method, what: "processes" }),
    }
}

/// The ends of the socket between a process and its parent, and those of the pipe whose end ends a
/// daemonic process. What the parent keeps is listed from the beginning: a process that another
/// thread forks meanwhile has no copy of it.
struct Ends {
    ours: Listed,
    theirs: OwnedFd,
    /// The writing end, and the reading end.
    death_pipe: Option<(Listed, OwnedFd)>,
}

impl Ends {
    fn new(with_pipe: bool) -> io::Result<Self> {
        let (ours, theirs) = Listed::with_other(packet_pair)?;
        let pipe = || Ok(pipe2(OFlag::O_CLOEXEC).map(|(reader, writer)| (writer, reader))?);
        let death_pipe = with_pipe.then(|| Listed::with_other(pipe)).transpose()?;
        Ok(Self { ours, theirs, death_pipe })
    }
}

/// What captures the output of a process, and the descriptors that the process gets for it.
type OutputOf = (Option<ChildOutput>, Vec<OwnedFd>);

/// What the parent keeps, once the process is there.
fn parts(
    config: &ChildConfig,
    (pid, pidfd): (Pid, Listed),
    socket: Listed,
    death_pipe: Option<Listed>,
    (output, server): (Option<ChildOutput>, Option<Arc<ServerLink>>),
) -> ChildParts {
    ChildParts {
        name: config.identity.name.clone(),
        daemon: config.identity.daemon,
        pid,
        pidfd,
        socket,
        _death_pipe: death_pipe,
        output,
        server,
        #[cfg(feature = "capture-log")]
        logs: None,
    }
}

/// The work of a forked child, and the endpoints of channels that it is to let go of: a plain
/// function gets its own by its argument alone. With endpoints in it the argument is decoded
/// afresh in the child, since the copies that it inherits are never dropped there.
#[cfg(feature = "fork")]
fn work_of<A: Wire, R: Wire>(
    function: fn(A) -> R,
    argument: Compact<A>,
) -> Result<(Work, Vec<SharedSegment>), Error> {
    let present = SharedSegment::presences();
    if present.is_empty() {
        return Ok((inherited(function, argument), present));
    }
    let mut encoder = Encoder::new();
    let encoded = catch_unwind(AssertUnwindSafe(|| encoder.to_bytes(&*argument)));
    let bytes = match encoded {
        Ok(Ok(bytes)) => bytes,
        // Which of them it is given is not known.
        Ok(Err(_)) => return Ok((inherited(function, argument), Vec::new())),
        Err(payload) => {
            drop_quietly(payload);
            return Ok((inherited(function, argument), Vec::new()));
        }
    };
    let segments = encoder.take_segments();
    if !segments.iter().any(SharedSegment::is_presence) {
        return Ok((inherited(function, argument), present));
    }
    let message = Message::of(bytes, &segments).or_resources(STARTING)?;
    Ok((inherited_message(function, message), present))
}

/// Forks this process. The child lets go of these `endpoints` of channels.
#[cfg(feature = "fork")]
fn by_fork(
    config: ChildConfig,
    (work, (output, output_fds)): (Work, OutputOf),
    endpoints: Vec<SharedSegment>,
    with_threads: bool,
) -> Result<Child, Error> {
    let paused = pause_drivers();
    start::check_fork(with_threads)?;
    let ends = Ends::new(config.identity.daemon).or_resources(STARTING)?;
    os::flush_output();
    let locks = ForkLocks::take();
    let foreign = own_descriptors();
    // A signal must neither run a handler of this process in the child, nor get lost there.
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))
        .or_resources(STARTING)?;
    // SAFETY: one thread (checked just now), so no lock is copied while another thread holds it, or
    // the caller has promised that this does no harm.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        bootstrap::reset_signals_of_process();
        os::null_stdin();
        os::fill_output();
        // Among them are the parent's ends.
        foreign.close();
        endpoints.iter().for_each(SharedSegment::abandon);
        std::mem::forget(endpoints);
        drop(locks);
        let death_link = match &ends.death_pipe {
            None => DeathLink::None,
            Some((_, reader)) => DeathLink::Pipe(os::take_for_good(reader)),
        };
        let socket = os::take_for_good(&ends.theirs);
        let mine = config.output.sort(output_fds.iter().map(os::take_for_good));
        std::mem::forget((ends, paused, output, output_fds));
        let start = ChildStart { socket, death_link, starter: None, output: mine };
        run_here(config, start, work)
    }
    drop((foreign, locks));
    let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    debug_assert_eq!(restored, Ok(()));
    let pid = match forked {
        Ok(ForkResult::Parent { child }) => child,
        Ok(ForkResult::Child) => unreachable!("the child runs its function"),
        Err(errno) => return Err(Error::resources("forking this process", errno)),
    };
    let pidfd = child_pidfd(pid).or_resources(STARTING)?;
    let writer = ends.death_pipe.map(|(writer, _)| writer);
    Ok(Child::new(parts(&config, (pid, pidfd), ends.ours, writer, (output, None))))
}

/// What a fresh process is sent: its configuration and its argument, encoded.
struct Sent {
    config: ChildConfig,
    config_bytes: pool_ipc::AlignedBytes,
    argument: pool_ipc::AlignedBytes,
    /// Kept until the descriptors are on their way.
    segments: Vec<SharedSegment>,
}

#[cfg(any(feature = "forkserver", feature = "spawn"))]
fn encode<A: Wire, R: Wire>(
    config: ChildConfig,
    function: fn(A) -> R,
    argument: Compact<A>,
) -> Result<Sent, Error> {
    start::check_fresh()?;
    let portable = Portable::new(function)?;
    let failed = |fault| Error::unencodable(0, fault);
    let mut encoder = Encoder::new();
    let bytes = encoder.to_bytes(&*argument).map_err(failed)?;
    let config_bytes = config.to_bytes(portable).map_err(|_| {
        Error::InvalidInput("name, env and current_dir are too large to be sent".to_string())
    })?;
    Ok(Sent { config, config_bytes, argument: bytes, segments: encoder.take_segments() })
}

impl Sent {
    /// Sends the segment for its logs, if they are captured.
    #[cfg(feature = "capture-log")]
    fn send_logs(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        match self.config.logs.as_ref().and_then(|logs| logs.descriptor()) {
            Some(fd) => send_numbers(socket, Kind::Logs, [0, 0], Some(fd)),
            None => Ok(()),
        }
    }

    #[cfg(not(feature = "capture-log"))]
    fn send_logs(&self, _: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Puts both messages into the socket.
    fn send(&self, socket: BorrowedFd<'_>, output: &[OwnedFd]) -> Result<(), Error> {
        send_with_fds(socket, Kind::Config, &self.config_bytes, output)
            .and_then(|()| self.send_logs(socket))
            .and_then(|()| send_bytes(socket, Kind::Argument, &self.argument, &self.segments))
            .or_resources("sending the argument of a process")
    }
}

/// Starts a fresh copy of the executable.
#[cfg(feature = "spawn")]
fn by_spawn(
    sent: Sent,
    (output, output_fds): OutputOf,
    variables: &[(OsString, OsString)],
) -> Result<Child, Error> {
    let ends = Ends::new(sent.config.identity.daemon).or_resources(STARTING)?;
    sent.send(ends.ours.as_fd(), &output_fds)?;
    let reader = ends.death_pipe.as_ref().map(|(_, reader)| reader.as_fd());
    let fds: Vec<_> = [ends.theirs.as_fd()].into_iter().chain(reader).collect();
    let pid = bootstrap::spawn_copy(ROLE_PROCESS, &[], &fds, variables)
        .or_resources("starting a copy of this executable")?;
    let pidfd = child_pidfd(pid).or_resources(STARTING)?;
    let writer = ends.death_pipe.map(|(writer, _)| writer);
    Ok(Child::new(parts(&sent.config, (pid, pidfd), ends.ours, writer, (output, None))))
}

/// Has the server fork a process.
#[cfg(feature = "forkserver")]
fn by_server(sent: Sent, (output, output_fds): OutputOf) -> Result<Child, Error> {
    let Ends { ours, theirs, .. } = Ends::new(false).or_resources(STARTING)?;
    sent.send(ours.as_fd(), &output_fds)?;
    let server = ServerLink::get()?;
    match server.fork_process(theirs, ours.as_fd()) {
        Ok(Started { pid, pidfd, inbox, early }) => {
            let parts = parts(&sent.config, (pid, pidfd), ours, None, (output, Some(server)));
            Ok(Child::with_early(parts, inbox, early))
        }
        Err(NotStarted::Error(error)) => Err(error),
        // The process may have been started, so no other server is asked for another one.
        Err(NotStarted::Gone) => {
            Err(Error::resources(STARTING, "the server that forks it ended meanwhile"))
        }
    }
}
