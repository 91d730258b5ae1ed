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
        signal::{SigSet, Signal},
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
    /// The processes that have not been reaped, each with the sending end of its socket.
    processes: Vec<(Pid, OwnedFd)>,
    /// Wait statuses that a socket had no room for.
    unsent: Vec<(i32, OwnedFd)>,
}

/// Runs the server until its parent is gone or closes `control`, and then ends this process.
pub(crate) fn run_server(control: OwnedFd, parent: Pid) -> ! {
    // A panic here is a defect; the parent sees this process's end.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        os::set_process_name(&NAME);
        match Server::set_up(&control, parent) {
            Ok((signals, parent_fd, limit)) => {
                let (processes, unsent) = (Vec::new(), Vec::new());
                let mut server = Server { control, parent_fd, signals, limit, processes, unsent };
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
        let all_sent = self.unsent.is_empty();
        let timeout = if all_sent { PollTimeout::NONE } else { PollTimeout::from(AGAIN_MS) };
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
        self.send_unsent();
        self.handle_orders()
    }

    fn reap(&mut self) {
        while let Some(reaped) = os::reap_any() {
            let is_it = |(pid, _): &(Pid, OwnedFd)| pid.as_raw() == reaped.pid;
            if let Some(at) = self.processes.iter().position(is_it) {
                self.unsent.push((reaped.status, self.processes.swap_remove(at).1));
            }
        }
    }

    fn send_unsent(&mut self) {
        self.unsent.retain(|(status, socket)| {
            let numbers = [u64::from(status.cast_unsigned()), 0];
            let sent = send_numbers(socket.as_fd(), Kind::Ended, numbers, None);
            // Otherwise the parent sees its socket closed, once the process has ended.
            sent.is_err_and(|error| may_be_sent_later(&error))
        });
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
        let numbers = [u64::from(child.as_raw().unsigned_abs()), 0];
        // This fails if the parent is gone; then this process ends, too.
        let _ = send_numbers(socket.as_fd(), Kind::Started, numbers, Some(pidfd.as_fd()));
        self.processes.push((child, socket));
    }

    /// Kills a process that the parent could not take over.
    fn kill(&self, pid: i32) {
        if self.processes.iter().any(|(known, _)| known.as_raw() == pid) {
            // It was not reaped, so the number is its own.
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn become_process(&self, socket: &OwnedFd, starter: Pid) -> ! {
        let own = [&self.control, &self.parent_fd].into_iter();
        let others = self.processes.iter().map(|(_, fd)| fd);
        own.chain(others).chain(self.unsent.iter().map(|(_, fd)| fd)).for_each(os::close_for_good);
        os::close_for_good(&self.signals);
        bootstrap::reset_signals_of_process();
        self.limit.restore();
        run_received(ChildStart {
            socket: os::take_for_good(socket),
            death_link: DeathLink::Starter,
            starter: Some(starter),
        })
    }
}

/// Whether the socket or the kernel had no room for a packet, which passes.
fn may_be_sent_later(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM))
}

/// This fails if the parent is gone; then this process ends, too.
fn not_started(socket: &OwnedFd, errno: i32) {
    let numbers = [u64::from(errno.unsigned_abs()), 0];
    let _ = send_numbers(socket.as_fd(), Kind::NotStarted, numbers, None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_no_room_for_is_sent_later() {
        let later = |errno: Errno| may_be_sent_later(&errno.into());
        assert!([Errno::EAGAIN, Errno::ENOBUFS, Errno::ENOMEM].into_iter().all(later));
        assert!(![Errno::EPIPE, Errno::ECONNRESET].into_iter().any(later));
    }
}
