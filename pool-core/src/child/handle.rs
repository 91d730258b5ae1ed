//! What a parent keeps of a process that runs one function.
//!
//! Invariant: how the process ended is known once, and the same for all who ask; only what the
//! kernel or the server has told counts. A process is reaped by its own pidfd, so no other child of
//! the program is.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags},
    unistd::Pid,
};

#[cfg(feature = "capture-log")]
use super::logs::ChildLogs;
use super::{
    children::{Running, SERVER_LIMIT},
    deliveries::deliver_at_end,
    messages::{Inbox, Kind, Message},
    run::Step,
    server_link::ServerLink,
};
use crate::{
    error::{Error, ExitStatus, Failure, FailureKind, LateOutput, OrResources},
    mutex::lock,
    os::{self, ChildState, Listed},
    output::{Capture, Failed, ONLY_PROCESS, OutputPlan},
    protocol::Received,
    watcher::Awaited,
};

/// The parts of a [`Child`].
pub(crate) struct ChildParts {
    pub(crate) name: String,
    pub(crate) daemon: bool,
    pub(crate) pid: Pid,
    pub(crate) pidfd: Listed,
    pub(crate) socket: Listed,
    /// The writing end of the pipe whose end ends a daemonic process.
    pub(crate) _death_pipe: Option<Listed>,
    pub(crate) output: Option<ChildOutput>,
    /// The server that has forked it, if it is no child of this process.
    pub(crate) server: Option<Arc<ServerLink>>,
    /// What collects its logs.
    #[cfg(feature = "capture-log")]
    pub(crate) logs: Option<ChildLogs>,
}

/// The captured output of a process.
pub(crate) struct ChildOutput {
    capture: Arc<Capture>,
    last: LateOutput,
    owner: u32,
}

impl ChildOutput {
    /// Begins to capture what a process will write; answers with the descriptors for it, too.
    ///
    /// # Errors
    ///
    /// [`Error::Resources`].
    pub(crate) fn begin(plan: &OutputPlan) -> Result<(Option<Self>, Vec<OwnedFd>), Error> {
        let what = "capturing the output of a process";
        let files = plan.duplicate_files().or_resources(what)?;
        if !plan.captures() {
            return Ok((None, files));
        }
        let (capture, socket) = Capture::new(plan, 1).or_resources(what)?;
        let last = capture.output_of(ONLY_PROCESS, Failed::Last);
        let this = Self { capture, last, owner: process::id() };
        this.capture.start()?;
        deliver_at_end(&this.capture);
        Ok((Some(this), [socket].into_iter().chain(files).collect()))
    }
}

impl Drop for ChildOutput {
    fn drop(&mut self) {
        if self.owner == process::id() {
            self.capture.finish();
        }
    }
}

/// A process that runs one function, as its parent knows it.
pub(crate) struct Child {
    parts: ChildParts,
    /// The process that has started it.
    owner: u32,
    detached: AtomicBool,
    state: Mutex<State>,
}

struct State {
    inbox: Inbox,
    report: Option<Report>,
    end: Option<End>,
}

/// What a process has said of its function.
enum Report {
    /// `None`: it was taken.
    Value(Option<Message>),
    Failed(FailureKind),
    /// It could not do this.
    Unable(Error),
}

/// How a process has ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// Its function has returned.
    Value,
    Failed(FailureKind),
    Unable(Error),
    /// Before its function has returned.
    Death(ExitStatus),
}

/// The end, with what the function has returned.
pub(crate) enum Outcome {
    Value(Message),
    /// It was taken before.
    Taken,
    End(End),
}

impl Child {
    pub(crate) fn new(parts: ChildParts) -> Self {
        Self::with_early(parts, Inbox::default(), None)
    }

    /// A process that has said something already.
    pub(crate) fn with_early(parts: ChildParts, inbox: Inbox, early: Option<Message>) -> Self {
        let report = early.map(Report::of);
        let state = Mutex::new(State { inbox, report, end: None });
        Self { parts, owner: process::id(), detached: AtomicBool::new(false), state }
    }

    /// The process, with what collects its logs.
    #[cfg(feature = "capture-log")]
    pub(crate) fn with_logs(mut self, logs: ChildLogs) -> Self {
        self.parts.logs = Some(logs);
        self
    }

    /// Whether this process has started it, and not one that this process was forked from.
    pub(crate) fn is_mine(&self) -> bool {
        self.owner == process::id()
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.parts.pid.as_raw().unsigned_abs()
    }

    /// The end of what it has written, once all of it was delivered; it has ended.
    pub(crate) fn output(&self) -> LateOutput {
        self.parts.output.as_ref().map_or(LateOutput::none(), |output| {
            output.capture.finish();
            output.last.clone()
        })
    }

    pub(crate) fn detach(&self) {
        self.detached.store(true, Relaxed);
    }

    /// How it has ended, if it has; reaps it then. Waits for a server that was stopped at most
    /// [`SERVER_LIMIT`].
    pub(crate) fn end(&self) -> Option<End> {
        self.end_within(SERVER_LIMIT)
    }

    /// How it has ended, if it has; waits for its server at most for `limit`.
    fn end_within(&self, limit: Duration) -> Option<End> {
        let mut state = lock(&self.state);
        self.look(&mut state, limit);
        state.end.clone()
    }

    /// Notes how it has ended, if it has.
    fn look(&self, state: &mut State, limit: Duration) {
        if state.end.is_none() && self.is_over() {
            state.end = self.find_end(state, limit);
        }
    }

    /// How it has ended, with the value, which is taken; `None` while it runs.
    pub(crate) fn take(&self) -> Option<Outcome> {
        let end = self.end()?;
        #[cfg(feature = "capture-log")]
        self.parts.logs.iter().for_each(ChildLogs::end);
        Some(match (end, &mut lock(&self.state).report) {
            (End::Value, Some(Report::Value(value))) => {
                value.take().map_or(Outcome::Taken, Outcome::Value)
            }
            (end, _) => Outcome::End(end),
        })
    }

    /// Waits until it has ended, at most for `limit`; whether it has.
    pub(crate) fn wait_within(&self, limit: Option<Duration>) -> bool {
        let begin = Instant::now();
        while self.end().is_none() {
            let left = limit.map(|limit| limit.saturating_sub(begin.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            // Any answer: the loop looks again.
            let _ = self.poll(left);
        }
        true
    }

    /// Waits for what brings its end nearer.
    fn poll(&self, limit: Option<Duration>) -> nix::Result<i32> {
        let pollin = |fd| PollFd::new(fd, PollFlags::POLLIN);
        match &self.parts.server {
            // It has ended, and the server has not said how.
            Some(server) if self.is_over() => {
                let (socket, server) = (self.parts.socket.as_fd(), server.pidfd());
                os::poll(&mut [pollin(socket), pollin(server)], limit)
            }
            _ => os::poll(&mut [pollin(self.fd())], limit),
        }
    }

    /// Whether the kernel says that it has ended. A program that has closed the descriptor cannot
    /// be told.
    fn is_over(&self) -> bool {
        let pidfd = self.parts.pidfd.intact();
        pidfd.map_or(true, |pidfd| os::readable_within(pidfd, Duration::ZERO))
    }

    /// How it has ended; `None` while its server, which is waited for at most for `limit`, has not
    /// said it.
    fn find_end(&self, state: &mut State, limit: Duration) -> Option<End> {
        let status = match &self.parts.server {
            Some(server) => {
                let until = Instant::now() + limit;
                loop {
                    // Without its socket nothing more can be heard of it.
                    let gone = server.has_ended() || self.parts.socket.intact().is_err();
                    match self.read(state) {
                        Some(status) => break status,
                        None if gone => break ExitStatus::Unknown,
                        None => {}
                    }
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    // Any answer: the loop looks again.
                    let _ = self.poll(Some(left));
                }
            }
            None => {
                let status = match self.parts.pidfd.intact().and_then(os::reap) {
                    Ok(ChildState::Ended(status)) => ExitStatus::from_wait(status),
                    Ok(ChildState::Running) => return None,
                    Ok(ChildState::NotMine) | Err(_) => ExitStatus::Unknown,
                };
                self.read(state);
                status
            }
        };
        Some(match (&state.report, status) {
            (Some(Report::Failed(kind)), _) => End::Failed(kind.clone()),
            (Some(Report::Unable(error)), _) => End::Unable(error.clone()),
            (Some(Report::Value(_)), ExitStatus::Code(0) | ExitStatus::Unknown) => End::Value,
            (_, status) => End::Death(status),
        })
    }

    /// Reads what has come; the status, if the server has sent it.
    fn read(&self, state: &mut State) -> Option<ExitStatus> {
        // A program that has closed the socket finds out no more.
        let socket = self.parts.socket.intact().ok()?;
        loop {
            match state.inbox.receive(socket) {
                Ok(Received::Message(message)) if message.kind == Kind::Ended => {
                    let status = u32::try_from(message.numbers[0]).unwrap_or(0).cast_signed();
                    return Some(ExitStatus::from_wait(status));
                }
                Ok(Received::Message(message)) => state.report = Some(Report::of(message)),
                Ok(Received::Empty) => return None,
                // The server keeps its end until it has told the status, or could not.
                Ok(Received::Closed) => return Some(ExitStatus::Unknown),
                Err(error) => {
                    let failed = Error::resources("receiving what a process returned", error);
                    let lost = state.report.is_none();
                    if lost {
                        state.report = Some(Report::Unable(failed));
                    }
                    return None;
                }
            }
        }
    }

    /// Sends it a signal, unless it has ended.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        // While the state is locked, no other thread reaps it.
        let mut state = lock(&self.state);
        self.look(&mut state, SERVER_LIMIT);
        if state.end.is_some() {
            return Ok(());
        }
        match os::send_signal(self.parts.pidfd.intact()?, signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }
}

impl Report {
    fn of(message: Message) -> Self {
        match message.kind {
            Kind::Value => Self::Value(Some(message)),
            Kind::Failed => match pool_ipc::from_bytes::<Failure>(&message.bytes) {
                Ok(failure) => Self::Failed(failure.kind),
                Err(_) => Self::Failed(FailureKind::BadResult),
            },
            _ => {
                let [step, errno] = message.numbers;
                let errno = i32::try_from(errno).unwrap_or(libc::EIO);
                let source = io::Error::from_raw_os_error(errno);
                Self::Unable(Error::resources(Step::what(step), source))
            }
        }
    }
}

impl Awaited for Child {
    fn fd(&self) -> BorrowedFd<'_> {
        self.parts.pidfd.as_fd()
    }
}

impl Running for Child {
    fn has_ended(&self, limit: Duration) -> bool {
        self.end_within(limit).is_some()
    }

    fn wait(&self) {
        self.wait_within(None);
    }

    fn kill(&self) {
        // It has ended, or has other rights than this process by now.
        let _ = self.signal(libc::SIGKILL);
    }

    fn is_daemon(&self) -> bool {
        self.parts.daemon
    }

    fn is_detached(&self) -> bool {
        self.detached.load(Relaxed)
    }

    fn is_current(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        &self.parts.name
    }

    fn has_own_fd(&self) -> bool {
        self.parts.pidfd.is_intact()
    }

    fn pid(&self) -> Option<u32> {
        Some(self.process_id())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{
        super::{child_pidfd, packet_pair, send_bytes},
        *,
    };

    /// A process that has ended, whose server runs and says no more; the server's socket.
    fn ended_child() -> (Child, std::os::fd::OwnedFd) {
        let start = |seconds: &str| {
            #[expect(clippy::zombie_processes, reason = "it is reaped by its pidfd")]
            let program = Command::new("sleep").arg(seconds).spawn().unwrap();
            let pid = Pid::from_raw(program.id().cast_signed());
            (pid, child_pidfd(pid).unwrap())
        };
        let (control, _) = packet_pair().unwrap();
        let server = ServerLink::of(Listed::new(control).unwrap(), start("600").1);
        let (pid, pidfd) = start("0");
        assert!(os::readable_within(pidfd.as_fd(), Duration::from_secs(60)));
        assert!(matches!(os::reap(pidfd.as_fd()), Ok(ChildState::Ended(0))));
        let (socket, theirs) = packet_pair().unwrap();
        let child = Child::new(ChildParts {
            name: "ended".to_string(),
            daemon: false,
            pid,
            pidfd,
            socket: Listed::new(socket).unwrap(),
            _death_pipe: None,
            output: None,
            server: Some(Arc::new(server)),
            #[cfg(feature = "capture-log")]
            logs: None,
        });
        (child, theirs)
    }

    #[test]
    fn a_status_that_was_lost_is_unknown() {
        let (child, theirs) = ended_child();
        assert!(!child.has_ended(Duration::ZERO));
        drop(theirs);
        assert!(child.wait_within(Some(Duration::from_secs(60))));
        assert!(matches!(child.end(), Some(End::Death(ExitStatus::Unknown))));

        let (child, theirs) = ended_child();
        send_bytes(theirs.as_fd(), Kind::Value, b"x", &[]).unwrap();
        drop(theirs);
        assert!(child.wait_within(Some(Duration::from_secs(60))));
        assert!(matches!(child.take(), Some(Outcome::Value(value)) if value.bytes[..] == *b"x"));
    }
}
