//! The parent's link to the zygote: sends orders, receives reports, and ends the zygote.
//!
//! Invariant: the parent waits here only for the zygote's end, and not for long. Orders that the
//! socket has no room for stay in the `Outbox`.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        socket::{Shutdown, shutdown},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use pool_ipc::board::Incarnation;

use crate::{
    ids::WorkerId,
    mutex::lock,
    os::{self, KeptFd, ProcessName},
    protocol::{ClaimedChunk, Order, Received, Report, send_kill_at, send_order},
};

/// How long a zygote that was told to end may take for it.
const END_LIMIT: Duration = Duration::from_secs(2);
/// How long a guard may take to clean up after its zygote was killed.
const GUARD_LIMIT: Duration = Duration::from_secs(1);
/// Most workers that the zygote is asked to start before it has answered: each order carries a
/// descriptor, and the kernel has room for a few hundred packets.
const MOST_UNANSWERED: usize = 64;

/// The parent's link to a zygote.
#[derive(Debug)]
pub(crate) struct ZygoteLink {
    control: KeptFd,
    /// The process id of the guard, which is a child of this process.
    pid: Pid,
    pidfd: Option<KeptFd>,
    /// The process id of the zygote, once it has reported it; 0 before.
    zygote: AtomicI32,
    /// Whether the guard is a fresh copy of the executable, which has initialisers to run before it
    /// can do anything.
    fresh: bool,
    outbox: Mutex<Outbox>,
}

/// The orders that the zygote has not got yet.
#[derive(Debug, Default)]
struct Outbox {
    /// Places and incarnations of workers to start, for which nothing was made yet.
    wanted: VecDeque<(WorkerId, Incarnation)>,
    /// Workers whose start was ordered and not answered.
    unanswered: usize,
    /// Workers to kill, whose orders the socket had no room for.
    to_kill: VecDeque<Victim>,
}

/// Which worker is to be killed, and when.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker(Incarnation),
    /// The worker that has claimed this chunk, if it still has it after so many nanoseconds.
    Claimer(ClaimedChunk, u64),
}

impl ZygoteLink {
    pub(crate) fn new(control: KeptFd, pid: Pid, fresh: bool) -> Self {
        let pidfd = os::pidfd_open(pid).and_then(KeptFd::new).ok();
        Self { control, pid, pidfd, zygote: AtomicI32::new(0), fresh, outbox: Mutex::default() }
    }

    /// Whether the zygote is a fresh copy that has not reported itself, as far as its reports have
    /// been read: it has started no worker.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.fresh && self.zygote.load(Ordering::Relaxed) == 0
    }

    /// Ends a zygote that has not reported itself ([`Self::is_on_its_way`]), and its guard.
    pub(crate) fn kill_on_its_way(&self) {
        // The guard is this process's own child. If it has ended, it may have been reaped, by the
        // kernel if the program ignores SIGCHLD.
        if !self.await_end(Duration::ZERO) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        // A zygote that the guard has made meanwhile sees that its guard is gone, and ends before
        // it carries out any order.
        self.await_close(END_LIMIT);
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.control.as_fd()).chain(self.pidfd.as_ref().map(AsFd::as_fd))
    }

    /// The process id of the zygote, or that of the guard before the zygote has reported its own.
    pub(crate) fn zygote(&self) -> Pid {
        match self.zygote.load(Ordering::Relaxed) {
            0 => self.pid,
            zygote => Pid::from_raw(zygote),
        }
    }

    /// Notes that a worker is to be started.
    pub(crate) fn awaited(&self, worker: WorkerId, incarnation: Incarnation) {
        self.outbox().wanted.push_back((worker, incarnation));
    }

    /// The next worker to start, if the zygote is ready for it.
    pub(crate) fn next_wanted(&self) -> Option<(WorkerId, Incarnation)> {
        let mut outbox = self.outbox();
        if !outbox.may_start() || !self.has_room() {
            return None;
        }
        outbox.wanted.pop_front()
    }

    /// Takes out all workers that were to be started, which the caller gives up.
    pub(crate) fn give_up_wanted(&self) -> VecDeque<(WorkerId, Incarnation)> {
        std::mem::take(&mut self.outbox().wanted)
    }

    /// Whether an order waits only for room in the socket.
    pub(crate) fn wants_to_send(&self) -> bool {
        let outbox = self.outbox();
        !outbox.to_kill.is_empty() || outbox.may_start()
    }

    /// Orders the start of a worker that [`Self::next_wanted`] named.
    pub(crate) fn start(
        &self,
        worker: WorkerId,
        incarnation: Incarnation,
        arena: BorrowedFd<'_>,
    ) -> io::Result<()> {
        send_order(&self.control.intact()?, Order::START, worker, incarnation, Some(arena))?;
        self.outbox().unanswered += 1;
        Ok(())
    }

    /// Gives the zygote its end of a connection for messages about segments.
    pub(crate) fn connect(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        send_order(
            &self.control.intact()?,
            Order::CONNECT,
            WorkerId::FIRST,
            Incarnation::NONE,
            Some(socket),
        )
    }

    pub(crate) fn kill(&self, incarnation: Incarnation) -> io::Result<()> {
        self.send_kill(Victim::Worker(incarnation))
    }

    /// Has the worker killed that has claimed the chunk, if it still has it after `grace`
    /// nanoseconds.
    pub(crate) fn kill_at(&self, chunk: ClaimedChunk, grace: u64) -> io::Result<()> {
        self.send_kill(Victim::Claimer(chunk, grace))
    }

    fn send_kill(&self, victim: Victim) -> io::Result<()> {
        let mut outbox = self.outbox();
        outbox.to_kill.push_back(victim);
        self.send_kills(&mut outbox)
    }

    fn send_kills(&self, outbox: &mut Outbox) -> io::Result<()> {
        while let Some(victim) = outbox.to_kill.front() {
            let sent = self.control.intact().and_then(|control| match *victim {
                Victim::Worker(incarnation) => {
                    send_order(&control, Order::KILL, WorkerId::FIRST, incarnation, None)
                }
                Victim::Claimer(chunk, grace) => send_kill_at(&control, chunk, grace),
            });
            match sent {
                Ok(()) => outbox.to_kill.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    outbox.to_kill.clear(); // the zygote is gone, as the end of its reports tells
                    return Err(error);
                }
            };
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let mut watched = [PollFd::new(self.control.as_fd(), PollFlags::POLLOUT)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// The next report; `Err` when the zygote is gone.
    pub(crate) fn report(&self) -> Result<Option<Report>, ZygoteGone> {
        let mut outbox = self.outbox();
        // Reports can be read even if the zygote is gone.
        let _ = self.send_kills(&mut outbox);
        // Another file that the program has put at this number has no reports.
        match self.control.intact().and_then(|control| Report::receive(&control)) {
            Ok(Received::Message(Report::Running { pid })) => {
                self.zygote.store(pid, Ordering::Relaxed);
                Ok(Some(Report::Running { pid }))
            }
            Ok(Received::Message(report)) => {
                if let Report::Started { .. } | Report::NotStarted { .. } = report {
                    outbox.unanswered = outbox.unanswered.saturating_sub(1);
                }
                Ok(Some(report))
            }
            Ok(Received::Empty) => Ok(None),
            Ok(Received::Closed) | Err(_) => Err(ZygoteGone),
        }
    }

    /// Tells the zygote to kill its workers and end.
    pub(crate) fn ask_to_end(&self) {
        if self.control.is_intact() {
            let _ = shutdown(self.control.as_raw_fd(), Shutdown::Write);
        }
    }

    /// Waits until the zygote has ended, and kills it if it takes too long.
    pub(crate) fn wait_for_end(&self) {
        // No report is of use any more but that of the zygote's process id.
        while let Ok(Some(_)) = self.report() {}
        if self.is_on_its_way() {
            self.kill_on_its_way();
        }
        if !self.await_end(END_LIMIT) {
            self.kill_zygote();
            if !self.await_end(GUARD_LIMIT) {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
        }
        let status = loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                // ECHILD: other code of the program has reaped it, or SIGCHLD is ignored.
                status => break status,
            }
        };
        if matches!(status, Ok(WaitStatus::Signaled(..))) {
            self.reap_zygote();
        }
    }

    /// Kills a zygote that does not end, for example because it is stopped: its workers die with
    /// it, and the guard, which does not notice a stopped zygote, cleans up.
    pub(crate) fn kill_zygote(&self) {
        while let Ok(Some(_)) = self.report() {}
        let zygote = Pid::from_raw(self.zygote.load(Ordering::Relaxed));
        let Ok(control) = self.control.intact() else {
            return;
        };
        let mut watched = [PollFd::new(control, PollFlags::empty())];
        // As long as its end of the socket is open, the zygote lives and the number is its own.
        if zygote.as_raw() > 0 && poll(&mut watched, PollTimeout::ZERO) == Ok(0) {
            let _ = kill(zygote, Signal::SIGKILL);
        }
    }

    /// Reaps a zygote that this process has inherited, as the init process of a container does when
    /// the guard is killed. A guard that ends in order has reaped it itself: then another process
    /// may have its number.
    fn reap_zygote(&self) {
        while let Ok(Some(_)) = self.report() {}
        let zygote = Pid::from_raw(self.zygote.load(Ordering::Relaxed));
        if zygote.as_raw() > 0 && zygote != self.pid {
            // The zygote notices the guard's death, and ends what it has started.
            if let Ok(pidfd) = os::pidfd_open(zygote) {
                os::readable_within(pidfd.as_fd(), END_LIMIT);
            }
            reap_orphan(zygote, &os::ZYGOTE);
        }
    }

    /// Waits for the end of the zygote and its guard; returns whether they have ended in time.
    fn await_end(&self, limit: Duration) -> bool {
        match &self.pidfd {
            Some(pidfd) if pidfd.is_intact() => os::readable_within(pidfd.as_fd(), limit),
            // Without a pidfd the end of the socket tells, without both only the process itself.
            _ if self.control.is_intact() => self.await_close(limit),
            _ => self.await_exit(limit),
        }
    }

    /// Waits for the end of the guard, a child of this process, and does not reap it; returns
    /// whether it has ended in time.
    fn await_exit(&self, limit: Duration) -> bool {
        let until = std::time::Instant::now() + limit;
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(self.pid), flags) == Ok(WaitStatus::StillAlive) {
            if std::time::Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits until there is a report or the zygote has closed its socket.
    pub(crate) fn wait_for_report(&self, limit: Duration) {
        os::readable_within(self.control.as_fd(), limit);
    }

    /// Reads reports until the zygote has closed its socket; returns whether it has in time.
    fn await_close(&self, limit: Duration) -> bool {
        let until = std::time::Instant::now() + limit;
        // This checks at least once, also with a limit of 0.
        loop {
            match self.report() {
                Ok(Some(_)) => {}
                Err(_) => return true,
                Ok(None) => {
                    let left = until.saturating_duration_since(std::time::Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    os::readable_within(self.control.as_fd(), left);
                }
            }
        }
    }
}

impl Outbox {
    fn may_start(&self) -> bool {
        !self.wanted.is_empty() && self.to_kill.is_empty() && self.unanswered < MOST_UNANSWERED
    }
}

/// The zygote's end of the socket is closed.
#[derive(Debug)]
pub(crate) struct ZygoteGone;

/// Reaps, and if need be kills, a process of the pool that this process may have inherited: as PID
/// 1, or as a subreaper. It had the name `name`: if that does not match, another child has the
/// number by now, and is left to the code that started it.
pub(crate) fn reap_orphan(pid: Pid, name: &ProcessName) {
    if !os::inherits_orphans() || !os::is_called(pid, name) {
        return;
    }
    // Any other answer: it is reaped now, or is not a child of this process.
    if waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = kill(pid, Signal::SIGKILL);
        while waitpid(pid, None) == Err(Errno::EINTR) {}
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn another_child_with_the_number_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        reap_orphan(pid, &os::ZYGOTE);
        // Also if this process inherits orphans.
        let name = crate::worker::worker_process_name(WorkerId::FIRST);
        assert!(!os::is_called(pid, &name));
        reap_orphan(pid, &name);
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
