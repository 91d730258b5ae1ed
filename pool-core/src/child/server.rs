//! The server that forks the processes of ForkServer: a small fresh copy of the executable.
//!
//! Invariant: it has one thread for life and runs no code of the user, so whatever it forks is
//! clean. It says of each process how it ended, in the socket of that process. It ends with the
//! process that it works for; what it has forked is killed by the kernel then if it is daemonic,
//! and otherwise lives on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    panic::AssertUnwindSafe,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid},
};

use super::{
    messages::{Kind, send_numbers},
    run::{ChildStart, DeathLink, run_received},
};
use crate::{
    bootstrap,
    os::{self, DescriptorLimit, ENDING},
    panic::end_quietly,
    protocol::{Received, packet},
};

/// The name of the server.
const NAME: os::ProcessName = os::process_name("pool-forkserver");

/// Milliseconds until the server tries again to tell what a socket had no room for.
const AGAIN_MS: u16 = 50;

/// What the server sends when it cannot fork: how many threads there are, or an error number.
pub(super) const THREADS: u8 = 1;
pub(super) const SYSTEM: u8 = 2;

struct Server {
    control: OwnedFd,
    parent_fd: OwnedFd,
    signals: SignalFd,
    limit: DescriptorLimit,
    /// The processes whose end was not told.
    processes: Vec<Process>,
}

/// A process that the server has forked.
struct Process {
    pid: Pid,
    /// The sending end of its socket.
    socket: OwnedFd,
    /// Its pidfd, until the parent was told that it is there.
    untold: Option<OwnedFd>,
    /// Its wait status, once it was reaped.
    status: Option<i32>,
}

/// Runs the server until its parent is gone or closes `control`, and then ends this process.
pub(crate) fn run_server(control: OwnedFd, parent: Pid) -> ! {
    // A panic here is a defect; the parent sees this process's end.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        os::set_process_name(&NAME);
        match Server::set_up(&control, parent) {
            Ok((signals, parent_fd, limit)) => {
                let processes = Vec::new();
                let mut server = Server { control, parent_fd, signals, limit, processes };
                while getppid() == parent && server.run_once() {}
            }
            Err(Some(error)) => unable(&control, SYSTEM, error.raw_os_error().unwrap_or(libc::EIO)),
            Err(None) => {}
        }
    }));
    end_quietly()
}

/// Tells the parent why nothing can be forked here. This fails if the parent is gone.
fn unable(control: &OwnedFd, what: u8, number: i32) {
    let mut packet = vec![what];
    packet.extend(number.to_ne_bytes());
    let _ = packet::send(control, &packet, None);
}

impl Server {
    fn set_up(
        control: &OwnedFd,
        parent: Pid,
    ) -> Result<(SignalFd, OwnedFd, DescriptorLimit), Option<io::Error>> {
        match os::lasting_thread_count()? {
            1 => {}
            threads => {
                unable(control, THREADS, i32::try_from(threads).unwrap_or(i32::MAX));
                return Err(None);
            }
        }
        let mask: SigSet = ENDING.into_iter().chain([Signal::SIGCHLD]).collect();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = mask.thread_block().and_then(|()| SignalFd::with_flags(&mask, flags));
        let signals = signals.map_err(io::Error::from)?;
        Ok((signals, os::pidfd_open(parent)?, DescriptorLimit::raise()))
    }

    /// Waits for something to happen and handles it; `false` when it is time to end.
    fn run_once(&mut self) -> bool {
        let pollin = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let fds = [self.control.as_fd(), self.signals.as_fd(), self.parent_fd.as_fd()];
        let mut watched = fds.map(pollin);
        let is_late = self.processes.iter().any(Process::has_unsent);
        let timeout = if is_late { PollTimeout::from(AGAIN_MS) } else { PollTimeout::NONE };
        match nix::poll::poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        if watched[2].any() == Some(true) {
            return false;
        }
        // Signals that ask the program to end are the parent's, and those of the processes.
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.reap();
        self.processes.retain_mut(Process::tell);
        self.handle_orders()
    }

    fn reap(&mut self) {
        while let Some(reaped) = os::reap_any() {
            let is_it = |process: &&mut Process| process.is(reaped.pid);
            if let Some(process) = self.processes.iter_mut().find(is_it) {
                process.status = Some(reaped.status);
            }
        }
    }

    fn handle_orders(&mut self) -> bool {
        loop {
            let mut order = [0; 4];
            match packet::receive(&self.control, &mut order) {
                Ok(Received::Message((_, Some(socket)))) => self.start(socket),
                Ok(Received::Message((4, None))) => self.kill(i32::from_ne_bytes(order)),
                // No number was left for the descriptor: the parent sees its socket closed.
                Ok(Received::Message(_)) => {}
                Ok(Received::Empty) => return true,
                Ok(Received::Closed) | Err(_) => return false,
            }
        }
    }

    /// Forks a process; tells its id, or why there is none.
    fn start(&mut self, socket: OwnedFd) {
        // Asked for here: in the child it may be that of a stranger, if this process was killed.
        let server = getpid();
        // SAFETY: the server has one thread for life, so the child may do whatever it likes.
        let child = match unsafe { fork() } {
            Ok(ForkResult::Child) => self.become_process(&socket, server),
            Ok(ForkResult::Parent { child }) => child,
            Err(errno) => return not_started(&socket, errno as i32),
        };
        // It was not reaped, so the number is its own.
        let pidfd = match os::pidfd_open(child) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
                return not_started(&socket, error.raw_os_error().unwrap_or(libc::EIO));
            }
        };
        let mut process = Process { pid: child, socket, untold: Some(pidfd), status: None };
        process.tell();
        self.processes.push(process);
    }

    /// Kills a process that the parent could not take over.
    fn kill(&self, pid: i32) {
        self.processes.iter().filter(|process| process.is(pid)).for_each(Process::kill);
    }

    fn become_process(&self, socket: &OwnedFd, starter: Pid) -> ! {
        let own = [&self.control, &self.parent_fd].into_iter();
        let sockets = self.processes.iter().map(|process| &process.socket);
        let pidfds = self.processes.iter().filter_map(|process| process.untold.as_ref());
        own.chain(sockets).chain(pidfds).for_each(os::close_for_good);
        os::close_for_good(&self.signals);
        bootstrap::reset_signals_of_process();
        self.limit.restore();
        run_received(ChildStart {
            output: crate::output::OutputFds::default(),
            socket: os::take_for_good(socket),
            death_link: DeathLink::Starter,
            starter: Some(starter),
        })
    }
}

impl Process {
    /// Whether it has this number, which is its own until it was reaped.
    fn is(&self, pid: i32) -> bool {
        self.pid.as_raw() == pid && self.status.is_none()
    }

    fn kill(&self) {
        // Once it was reaped the number may be another process's.
        if self.status.is_none() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    fn has_unsent(&self) -> bool {
        self.untold.is_some() || self.status.is_some()
    }

    /// Tells the parent what it does not know: that the process is there, then how it has ended.
    /// `false` once all was told. What there is no room for now stays to be told; a process that
    /// the parent cannot be told of is killed.
    fn tell(&mut self) -> bool {
        if let Some(pidfd) = &self.untold {
            let numbers = [u64::from(self.pid.as_raw().unsigned_abs()), 0];
            let fd = Some(pidfd.as_fd());
            let sent = send_numbers(self.socket.as_fd(), Kind::Started, numbers, fd);
            let refused = sent.as_ref().err().and_then(io::Error::raw_os_error);
            if has_no_room(sent) {
                return true;
            }
            self.untold = None;
            if let Some(errno) = refused {
                self.kill(); // no handle would own it
                not_started(&self.socket, errno);
            }
        }
        let Some(status) = self.status else { return true };
        let numbers = [u64::from(status.cast_unsigned()), 0];
        has_no_room(send_numbers(self.socket.as_fd(), Kind::Ended, numbers, None))
    }
}

/// Whether the socket or the kernel had no room for a packet, which passes.
fn has_no_room(sent: io::Result<()>) -> bool {
    let errno = sent.err().and_then(|error| error.raw_os_error());
    let passing = [libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::ETOOMANYREFS];
    errno.is_some_and(|errno| passing.contains(&errno))
}

/// This fails if the parent is gone; then this process ends, too.
fn not_started(socket: &OwnedFd, errno: i32) {
    let numbers = [u64::from(errno.unsigned_abs()), 0];
    let _ = send_numbers(socket.as_fd(), Kind::NotStarted, numbers, None);
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::Command};

    use super::{
        super::{messages::Inbox, packet_pair},
        *,
    };

    #[test]
    fn what_the_kernel_has_no_room_for_is_sent_later() {
        let later = |errno: Errno| has_no_room(Err(errno.into()));
        assert!(
            [Errno::EAGAIN, Errno::ENOBUFS, Errno::ENOMEM, Errno::ETOOMANYREFS]
                .into_iter()
                .all(later)
        );
        assert!(![Errno::EPIPE, Errno::ECONNRESET].into_iter().any(later));
        assert!(!has_no_room(Ok(())));
    }

    #[test]
    fn a_process_that_cannot_be_told_of_is_killed_unless_it_was_reaped() {
        for (status, signal) in [(None, Signal::SIGKILL), (Some(0), Signal::SIGTERM)] {
            let mut program = Command::new("sleep").arg("600").spawn().unwrap();
            let pid = Pid::from_raw(program.id().cast_signed());
            let (_, socket) = packet_pair().unwrap();
            let untold = Some(os::pidfd_open(pid).unwrap());
            Process { pid, socket, untold, status }.tell();
            // SIGKILL is first, if it was sent.
            kill(pid, Signal::SIGTERM).unwrap();
            assert_eq!(program.wait().unwrap().signal(), Some(signal as i32), "{status:?}");
        }
    }

    #[test]
    fn a_start_and_an_end_are_told_in_their_order_once_there_is_room() {
        let (parent, socket) = packet_pair().unwrap();
        let mut inbox = Inbox::default();
        let mut next = || match inbox.receive(parent.as_fd()) {
            Ok(Received::Message(message)) => Some(message),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        };
        let full = || send_numbers(socket.as_fd(), Kind::Value, [0, 0], None).is_err();
        while !full() {}
        let (pid, pidfd) = (Pid::from_raw(7), os::pidfd_open(getpid()).unwrap());
        let socket = socket.try_clone().unwrap();
        let mut process = Process { pid, socket, untold: Some(pidfd), status: None };
        assert!(process.tell() && process.has_unsent());
        process.status = Some(3);
        assert!(process.tell() && process.untold.is_some() && !process.is(7));
        while next().is_some() {}
        assert!(!process.tell());
        let [started, ended] = [(); 2].map(|()| next().unwrap());
        assert_eq!((started.kind, started.numbers[0], started.fds.len()), (Kind::Started, 7, 1));
        assert_eq!((ended.kind, ended.numbers[0]), (Kind::Ended, 3));
        assert!(next().is_none());
    }
}
