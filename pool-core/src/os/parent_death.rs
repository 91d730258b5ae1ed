//! Ends a process with its parent, and adopts the orphans among its descendants.
//!
//! Invariant: after `arm_parent_death` has said true, this process cannot outlive the thread that
//! started it, until it changes its credentials or executes a program that does.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::{Pid, getpid, getppid},
};

use super::sys;

/// Asks the kernel to kill this process when the thread that started it ends; answers whether
/// `expected_parent` is still there: if not, the signal will never come. Has to be repeated after a
/// change of credentials.
pub(crate) fn arm_parent_death(expected_parent: Pid) -> bool {
    prctl::set_pdeathsig(Signal::SIGKILL).is_ok() && is_child_of(expected_parent)
}

/// Has the kernel kill this process when the last writer of the pipe is gone; answers whether there
/// still is one. For a process whose starter's thread may end before its process does.
pub(crate) fn end_with_writer(pipe: BorrowedFd<'_>) -> bool {
    sys::kill_on_input(pipe).is_ok()
        && !poll(&mut [PollFd::new(pipe, PollFlags::POLLIN)], PollTimeout::ZERO)
            .is_ok_and(|ready| ready > 0)
}

/// Whether `parent` is still this process's parent. A parent in an outer PID namespace reads as 0,
/// dead or alive.
pub(crate) fn is_child_of(parent: Pid) -> bool {
    [parent, Pid::from_raw(0)].contains(&getppid())
}

/// Makes this process inherit the orphans among its descendants.
pub(crate) fn become_subreaper() {
    // Fails only on kernels before 3.4, where nothing else would help.
    let _ = prctl::set_child_subreaper(true);
}

/// Whether this process inherits the orphans among its descendants: it is a subreaper, or the init
/// process of its PID namespace.
pub(crate) fn inherits_orphans() -> bool {
    getpid() == Pid::from_raw(1) || prctl::get_child_subreaper().unwrap_or(false)
}

/// A descriptor that becomes readable when `pid` has ended.
///
/// # Errors
///
/// `ESRCH` if there is no such process, `ENOSYS` or `EPERM` where the kernel or the container has
/// no pidfd.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    sys::pidfd_open(pid)
}

/// Whether `pid` has ended, with all its threads, even if it was not reaped yet.
pub(crate) fn has_ended(pid: Pid) -> bool {
    match pidfd_open(pid) {
        Ok(pidfd) => ends_within(&pidfd, PollTimeout::ZERO),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => true,
        Err(_) => kill(pid, None) == Err(Errno::ESRCH),
    }
}

/// Whether the process behind `pidfd` has ended, or does so within `timeout`.
pub(crate) fn ends_within(pidfd: &OwnedFd, timeout: PollTimeout) -> bool {
    poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_ended_process_is_seen_before_it_is_reaped() {
        assert!(!has_ended(nix::unistd::getpid()));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        assert!(ends_within(&pidfd_open(pid).unwrap(), PollTimeout::from(5_000u16)));
        assert!(has_ended(pid));
        child.wait().unwrap();
        assert!(has_ended(pid));
    }

    #[test]
    fn the_parent_is_known() {
        assert!(is_child_of(getppid()));
        assert!(!is_child_of(nix::unistd::getpid()));
    }
}
