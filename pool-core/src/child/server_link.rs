//! The parent's link to the server that forks the processes of ForkServer.
//!
//! Invariant: there is at most one server, which lives while a process of it does, or the handle of
//! one; then it is killed and reaped. It is this process's own child.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    unistd::Pid,
};

use super::{
    messages::{Inbox, Kind, Message},
    server::{SYSTEM, THREADS},
};
use crate::{
    bootstrap::{self, ROLE_PROCESS_SERVER},
    error::{Error, OrResources},
    mutex::lock,
    os::{self, ChildState, Listed},
    protocol::{Received, packet},
};

/// The order to start a process. One to kill a process is its id.
const START: u8 = 0;

/// The link to a server.
#[derive(Debug)]
pub(crate) struct ServerLink {
    process: u32,
    control: Listed,
    pidfd: Listed,
}

/// A process, and its server.
pub(super) type ServerOfProcess = (u32, Weak<ServerLink>);

/// The server of this process.
static SERVER: Mutex<ServerOfProcess> = Mutex::new((0, Weak::new()));

pub(super) fn locked() -> MutexGuard<'static, ServerOfProcess> {
    lock(&SERVER)
}

/// A process that the server has forked.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) pidfd: Listed,
    /// What was received of it so far.
    pub(crate) inbox: Inbox,
    pub(crate) early: Option<Message>,
}

/// The server's end before it has started a process.
pub(crate) enum NotStarted {
    /// It was killed: another one may start the process.
    Gone,
    Error(Error),
}

impl ServerLink {
    /// The server of this process, which is started if there is none.
    pub(crate) fn get() -> Result<Arc<Self>, Error> {
        let mut server = locked();
        let here = process::id();
        let known = server.1.upgrade().filter(|link| server.0 == here && !link.has_ended());
        if let Some(link) = known {
            return Ok(link);
        }
        let link = Arc::new(Self::start().or_resources("starting the server of processes")?);
        *server = (here, Arc::downgrade(&link));
        Ok(link)
    }

    fn start() -> io::Result<Self> {
        let (control, others) = Listed::with_other(packet_pair)?;
        let pid = bootstrap::spawn_copy(ROLE_PROCESS_SERVER, &[], &[others.as_fd()], &[])?;
        Ok(Self::of(control, child_pidfd(pid)?))
    }

    /// The link to a child of this process.
    pub(super) fn of(control: Listed, pidfd: Listed) -> Self {
        Self { process: process::id(), control, pidfd }
    }

    /// Has the server fork a process that has `theirs`, the other end of `socket`.
    pub(crate) fn fork_process(
        &self,
        theirs: OwnedFd,
        socket: BorrowedFd<'_>,
    ) -> Result<Started, NotStarted> {
        let failed = |error| NotStarted::Error(Error::resources("starting a process", error));
        self.order(&[START], Some(theirs.as_fd())).map_err(failed)?;
        // Its other end is the process's and the server's alone from here on.
        drop(theirs);
        let (mut inbox, mut early) = (Inbox::default(), None);
        loop {
            match inbox.receive(socket).map_err(failed)? {
                Received::Message(mut message)
                    if matches!(message.kind, Kind::Started | Kind::NotStarted) =>
                {
                    let number = i32::try_from(message.numbers[0]).unwrap_or(libc::EIO);
                    if message.kind == Kind::NotStarted {
                        return Err(failed(io::Error::from_raw_os_error(number)));
                    }
                    // Without one there was no number left for it.
                    let pidfd = message.fds.pop().ok_or(Errno::EMFILE.into());
                    return match pidfd.and_then(Listed::new) {
                        Ok(pidfd) => {
                            Ok(Started { pid: Pid::from_raw(number), pidfd, inbox, early })
                        }
                        Err(error) => {
                            self.give_up(number).map_err(failed)?;
                            Err(failed(error))
                        }
                    };
                }
                // The process may be faster than the server.
                Received::Message(message) => early = Some(message),
                Received::Closed => return Err(self.why_unable()),
                // It may have sent something just before its end.
                Received::Empty if self.has_ended() => {
                    if let Ok(Received::Empty) = inbox.receive(socket) {
                        return Err(self.why_unable());
                    }
                }
                Received::Empty => self.wait_with(socket).map_err(failed)?,
            }
        }
    }

    /// Has the server kill a process that it has started.
    fn give_up(&self, pid: i32) -> io::Result<()> {
        self.order(&pid.to_ne_bytes(), None)
    }

    /// Sends an order; waits while the socket has no room for it.
    fn order(&self, order: &[u8], theirs: Option<BorrowedFd<'_>>) -> io::Result<()> {
        loop {
            match packet::send(&self.control.intact()?, order, theirs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let control = self.control.intact()?;
                    let mut room = [
                        PollFd::new(control, PollFlags::POLLOUT),
                        PollFd::new(self.pidfd.intact()?, PollFlags::POLLIN),
                    ];
                    os::poll(&mut room, None).map(drop).or_else(|errno| match errno {
                        Errno::EINTR => Ok(()),
                        errno => Err(io::Error::from(errno)),
                    })?;
                }
                // The server is gone, which the socket of the process tells.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                result => return result,
            }
        }
    }

    /// Waits until the server has ended, or the socket has something to read.
    pub(crate) fn wait_with(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let pollin = |fd| PollFd::new(fd, PollFlags::POLLIN);
        match os::poll(&mut [pollin(socket), pollin(self.pidfd.intact()?)], None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A descriptor that is readable when the server has ended.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.pidfd.intact().map_or(true, |pidfd| os::readable_within(pidfd, Duration::ZERO))
    }

    /// Why the server has ended.
    fn why_unable(&self) -> NotStarted {
        let mut room = [0; 8];
        let Ok(Received::Message((5, _))) = packet::receive(&*self.control, &mut room) else {
            return NotStarted::Gone;
        };
        let number = room[1..5].try_into().map_or(0, i32::from_ne_bytes);
        NotStarted::Error(match room[0] {
            THREADS => Error::InitialiserThreads { threads: usize::try_from(number).unwrap_or(0) },
            SYSTEM => Error::resources(
                "starting the server of processes",
                io::Error::from_raw_os_error(number),
            ),
            _ => return NotStarted::Gone,
        })
    }
}

impl Drop for ServerLink {
    fn drop(&mut self) {
        // In a process that was forked from the one that has started it, it is no child.
        if self.process != process::id() {
            return;
        }
        if let Ok(pidfd) = self.pidfd.intact() {
            end_child(pidfd);
        }
    }
}

/// Kills a child of this process, and reaps it.
fn end_child(pidfd: BorrowedFd<'_>) {
    // It has ended already, or ends now.
    let _ = os::send_signal(pidfd, libc::SIGKILL);
    while let Ok(ChildState::Running) = os::reap(pidfd) {
        let mut watched = [PollFd::new(pidfd, PollFlags::POLLIN)];
        let _ = os::poll(&mut watched, None);
    }
}

/// A pidfd of a child that was just started; if the system has none, kills the child.
pub(crate) fn child_pidfd(pid: Pid) -> io::Result<Listed> {
    os::pidfd_open(pid).and_then(Listed::new).inspect_err(|_| {
        // It was not reaped, so the number is its own.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
    })
}

/// A pair of sockets for packets.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}
