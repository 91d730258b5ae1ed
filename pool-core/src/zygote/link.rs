//! The parent's end of the zygote: orders out, reports in, and its end.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::protocol::{Order, Received, Report, send_order};
use crate::birth;

/// How long a zygote that was told to end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A zygote as its parent sees it.
#[derive(Debug)]
pub(crate) struct ZygoteLink {
    control: OwnedFd,
    /// The guard's: the child of this process.
    pid: Pid,
    pidfd: Option<OwnedFd>,
    /// The zygote's own, once it has said so; 0 before.
    zygote: AtomicI32,
}

impl ZygoteLink {
    pub(crate) fn new(control: OwnedFd, pid: Pid) -> Self {
        Self { control, pid, pidfd: birth::pidfd_open(pid).ok(), zygote: AtomicI32::new(0) }
    }

    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.control.as_fd()).chain(self.pidfd.as_ref().map(AsFd::as_fd))
    }

    pub(crate) fn start(
        &self,
        place: u32,
        incarnation: u32,
        arena: BorrowedFd<'_>,
    ) -> io::Result<()> {
        send_order(&self.control, Order::START, place, incarnation, Some(arena))
    }

    pub(crate) fn kill(&self, incarnation: u32) -> io::Result<()> {
        send_order(&self.control, Order::KILL, 0, incarnation, None)
    }

    /// The next report; `Err` when the zygote is gone.
    pub(crate) fn report(&self) -> Result<Option<Report>, ZygoteGone> {
        match Report::receive(&self.control) {
            Ok(Received::Message(Report::Reigns { pid })) => {
                self.zygote.store(pid, Ordering::Relaxed);
                Ok(Some(Report::Reigns { pid }))
            }
            Ok(Received::Message(report)) => Ok(Some(report)),
            Ok(Received::Empty) => Ok(None),
            Ok(Received::Closed) | Err(_) => Err(ZygoteGone),
        }
    }

    /// Tells the zygote to kill its workers and end, and waits until it has.
    pub(crate) fn end(&self) {
        let _ = send_order(&self.control, Order::QUIT, 0, 0, None);
        self.wait_for_end();
    }

    /// Waits until the zygote has ended, by force if it takes too long.
    pub(crate) fn wait_for_end(&self) {
        if !self.ends_within(PATIENCE) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        let status = loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                // ECHILD: somebody else reaped it, or SIGCHLD is ignored.
                status => break status,
            }
        };
        if matches!(status, Ok(WaitStatus::Signaled(..))) {
            self.reap_zygote();
        }
    }

    /// Waits for a zygote that this process has inherited, as the init of a container does when the
    /// guard is killed. A guard that ends in order has reaped it: then its number may be another's.
    fn reap_zygote(&self) {
        while let Ok(Some(_)) = self.report() {}
        let zygote = Pid::from_raw(self.zygote.load(Ordering::Relaxed));
        if zygote.as_raw() > 0 && zygote != self.pid {
            // It notices, and ends what it has started.
            if let Ok(pidfd) = birth::pidfd_open(zygote) {
                readable_within(pidfd.as_fd(), PATIENCE);
            }
            reap_orphan(zygote);
        }
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let Some(pidfd) = &self.pidfd else {
            // Without a pidfd its end of the socket tells.
            return self.closes_within(patience);
        };
        readable_within(pidfd.as_fd(), patience)
    }

    fn closes_within(&self, patience: Duration) -> bool {
        let until = std::time::Instant::now() + patience;
        while std::time::Instant::now() < until {
            match Report::receive(&self.control) {
                Ok(Received::Empty) => readable_within(self.control.as_fd(), patience),
                Ok(Received::Message(_)) => true,
                Ok(Received::Closed) | Err(_) => return true,
            };
        }
        false
    }
}

/// The zygote's end of the socket is closed.
#[derive(Debug)]
pub(crate) struct ZygoteGone;

fn readable_within(fd: BorrowedFd<'_>, patience: Duration) -> bool {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    let mut watched = [PollFd::new(fd, PollFlags::POLLIN)];
    loop {
        match poll(&mut watched, timeout) {
            Err(Errno::EINTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Waits for a process of the pool that this process may have inherited: as PID 1, or as a subreaper.
pub(crate) fn reap_orphan(pid: Pid) {
    // Any other answer: reaped now, or not a child of this process.
    if waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}
