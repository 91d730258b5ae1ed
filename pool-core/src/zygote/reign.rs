//! What the zygote does until its parent is gone or tells it to end.
//!
//! Invariant: whatever it started is dead and reaped before it ends in order. When it is killed
//! itself, its workers get the parent-death signal, and `guard.rs` says what becomes of the rest.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, OwnedFd},
    panic::AssertUnwindSafe,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid},
};

use super::{
    papers::{ZygoteFds, ZygotePapers},
    protocol::{Order, Received, Report},
};
use crate::{
    birth, start, sys,
    worker::{self, WorkerFds, WorkerPapers},
};

/// How often parents and children are looked for where the system has no pidfd.
pub(super) const LOOK_FOR_PARENT_MS: u16 = 250;

/// Those with whom a zygote ends: whose child it is (its guard, or the pool's process), and above.
pub(super) struct Overlords {
    parent: Pid,
    fds: Vec<OwnedFd>,
    /// Whether each of them has a descriptor that tells.
    known: bool,
}

impl Overlords {
    pub(super) fn new(parent: Pid, fds: Vec<Option<OwnedFd>>) -> Self {
        let known = fds.iter().all(Option::is_some);
        Self { parent, fds: fds.into_iter().flatten().collect(), known }
    }
}

/// Reigns until the parent is gone or says so; never returns to whoever made this process.
pub(super) fn reign(papers: ZygotePapers, fds: ZygoteFds, overlords: Overlords) -> ! {
    // A panic here is a defect; the workers still die with this process.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
        if let Some(mut zygote) = Zygote::set_up(papers, fds, overlords) {
            while zygote.turn() {}
            zygote.kill_all();
        }
    }));
    worker::end_quietly()
}

struct Worker {
    pid: Pid,
    incarnation: u32,
}

struct Zygote {
    papers: ZygotePapers,
    fds: ZygoteFds,
    overlords: Overlords,
    children: SignalFd,
    workers: Vec<Worker>,
    /// Reports that the socket had no room for.
    unsent: VecDeque<Report>,
}

impl Zygote {
    fn set_up(papers: ZygotePapers, fds: ZygoteFds, overlords: Overlords) -> Option<Self> {
        birth::set_process_name("pool-zygote");
        birth::become_subreaper();
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().ok()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let children = SignalFd::with_flags(&mask, flags).ok()?;
        Report::Reigns { pid: getpid().as_raw() }.send(&fds.control).ok()?;
        let guarded = getppid() == overlords.parent;
        let (workers, unsent) = (Vec::new(), VecDeque::new());
        guarded.then_some(Self { papers, fds, overlords, children, workers, unsent })
    }

    /// Waits for something to happen and answers it; `false` when it is time to end.
    fn turn(&mut self) -> bool {
        let (control, gone) = match self.wait() {
            Ok(events) => events,
            Err(Errno::EINTR) => return true,
            Err(_) => return false,
        };
        if gone || getppid() != self.overlords.parent {
            return false;
        }
        while let Ok(Some(_)) = self.children.read_signal() {}
        self.reap();
        !control || (self.send_reports() && self.obey())
    }

    /// Whether the socket has something to read or room, and whether parent or guard is gone.
    fn wait(&self) -> nix::Result<(bool, bool)> {
        let mut control = PollFlags::POLLIN;
        control.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        let mut watched = vec![
            PollFd::new(self.fds.control.as_fd(), control),
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
        ];
        let fds = self.overlords.fds.iter();
        watched.extend(fds.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        let look = PollTimeout::from(LOOK_FOR_PARENT_MS);
        poll(&mut watched, if self.overlords.known { PollTimeout::NONE } else { look })?;
        let happened = |fd: &PollFd<'_>| fd.any() == Some(true);
        Ok((happened(&watched[0]), watched[2..].iter().any(happened)))
    }

    /// Carries out all orders that are there; `false` when the parent says so or is gone.
    fn obey(&mut self) -> bool {
        loop {
            match Order::receive(&self.fds.control) {
                Ok(Received::Message(Order::Start { place, incarnation, arena })) => {
                    let report = match self.start(place, incarnation, arena) {
                        Ok(pid) => {
                            self.workers.push(Worker { pid, incarnation });
                            Report::Started { incarnation, pid: pid.as_raw() }
                        }
                        Err(error) => {
                            let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                            Report::NotStarted { incarnation, errno }
                        }
                    };
                    if !self.report(report) {
                        return false;
                    }
                }
                Ok(Received::Message(Order::Kill { incarnation })) => {
                    if let Some(worker) = self.workers.iter().find(|w| w.incarnation == incarnation)
                    {
                        // It may have ended already; then it is reaped and reported all the same.
                        let _ = kill(worker.pid, Signal::SIGKILL);
                    }
                }
                Ok(Received::Empty) => return true,
                Ok(Received::Closed) | Err(_) => return false,
            }
        }
    }

    /// Reports behind what waits to be sent; `false` when the parent is gone.
    fn report(&mut self, report: Report) -> bool {
        self.unsent.push_back(report);
        self.send_reports()
    }

    /// Sends what there is room for; `false` when the parent is gone.
    fn send_reports(&mut self) -> bool {
        while let Some(report) = self.unsent.front() {
            match report.send(&self.fds.control) {
                Ok(()) => self.unsent.pop_front(),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
        }
        true
    }

    fn start(&self, place: u32, incarnation: u32, arena: Option<OwnedFd>) -> io::Result<Pid> {
        let arena = arena.ok_or(Errno::EMFILE)?;
        let papers = self.papers.worker(place, incarnation);
        if self.papers.fresh_workers {
            let fds = [
                self.fds.board.as_fd(),
                self.fds.items.as_fd(),
                arena.as_fd(),
                self.fds.bell.as_fd(),
            ];
            return birth::spawn_copy(start::ROLE_WORKER, &papers.to_words(), &fds);
        }
        self.fork_worker(&papers, arena)
    }

    fn fork_worker(&self, papers: &WorkerPapers, arena: OwnedFd) -> io::Result<Pid> {
        let fds = WorkerFds {
            board: self.fds.board.try_clone()?,
            items: self.fds.items.try_clone()?,
            bell: self.fds.bell.try_clone()?,
            arena,
        };
        // SAFETY: the zygote has one thread for life, so the child may do whatever it likes.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(child),
            ForkResult::Child => {
                self.leave_to_worker();
                worker::live(papers, fds)
            }
        }
    }

    /// In a forked worker: gives up what is the zygote's alone.
    fn leave_to_worker(&self) {
        let _ = SigSet::all().thread_unblock();
        let mut own = vec![&self.fds.control, &self.fds.board, &self.fds.items, &self.fds.bell];
        own.extend(&self.overlords.fds);
        for fd in own {
            close_for_good(fd);
        }
        close_for_good(&self.children);
    }

    /// Reaps what has ended, and with each worker the programs that it left behind.
    fn reap(&mut self) {
        loop {
            let Some((pid, status)) = sys::reap_any() else { return };
            let pid = Pid::from_raw(pid);
            let Some(at) = self.workers.iter().position(|worker| worker.pid == pid) else {
                continue;
            };
            let worker = self.workers.swap_remove(at);
            let workers = &self.workers;
            birth::kill_strays(&|pid| workers.iter().any(|worker| worker.pid == pid));
            // A parent that is gone does not read it; the next turn ends the reign.
            let _ = self.report(Report::Reaped { incarnation: worker.incarnation, status });
        }
    }

    fn kill_all(&mut self) {
        birth::kill_strays(&|_| false);
        self.workers.clear();
    }
}

/// Closes a descriptor that its owner will never use again in this process.
fn close_for_good(fd: &impl AsFd) {
    use std::os::fd::AsRawFd;
    // SAFETY: only called in a forked child that never returns to the owner, so nobody uses the
    // number again for what it was.
    unsafe { libc::close(fd.as_fd().as_raw_fd()) };
}
