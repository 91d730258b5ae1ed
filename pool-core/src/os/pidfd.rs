//! Children by their pidfd: signals for them, and how they ended.
//!
//! Invariant: a pidfd leads to one process for ever, so no other process gets the signal, and no
//! other child is reaped, whatever the program does with the process id meanwhile.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use nix::errno::Errno;

/// What is known of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildState {
    Running,
    /// It ended, with this wait status, and is reaped now.
    Ended(i32),
    /// It is no child of this process, or was reaped: by other code, or by the kernel, where the
    /// program ignores SIGCHLD.
    NotMine,
}

/// Sends a signal; `ESRCH` if the process has ended and was reaped.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = ptr::null_mut::<libc::siginfo_t>();
    // SAFETY: a plain system call with integers and a null pointer, which stands for the usual
    // information about the sender.
    let code =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reaps the child if it has ended; does not wait. (nix has no value for a death by a real-time
/// signal.)
///
/// # Errors
///
/// That of `waitid`: `EINVAL` on kernels before 5.4.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<ChildState> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL;
    let id = pidfd.as_raw_fd().unsigned_abs();
    loop {
        // SAFETY: `info` is room for what the call writes.
        match unsafe { libc::waitid(libc::P_PIDFD, id, info.as_mut_ptr(), flags) } {
            0 => break,
            _ => match Errno::last() {
                Errno::EINTR => {}
                Errno::ECHILD => return Ok(ChildState::NotMine),
                error => return Err(error.into()),
            },
        }
    }
    // SAFETY: all zeroes is a valid value, which the call leaves or fills.
    let info = unsafe { info.assume_init() };
    // SAFETY: the call has filled these fields, or they are zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match info.si_code {
        _ if pid == 0 => ChildState::Running,
        libc::CLD_EXITED => ChildState::Ended((status & 0xff) << 8),
        _ => ChildState::Ended(status & 0x7f),
    })
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, process::Command};

    use nix::{poll::PollTimeout, unistd::Pid};

    use super::*;
    use crate::os::parent_death::{ends_within, pidfd_open};

    #[test]
    fn a_child_is_signalled_and_reaped_once() {
        #[expect(clippy::zombie_processes, reason = "it is reaped by its pidfd")]
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = pidfd_open(Pid::from_raw(child.id().cast_signed())).unwrap();
        assert_eq!(reap(pidfd.as_fd()).unwrap(), ChildState::Running);
        send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap();
        assert!(ends_within(&pidfd, PollTimeout::from(5_000u16)));
        assert_eq!(reap(pidfd.as_fd()).unwrap(), ChildState::Ended(libc::SIGTERM));
        assert_eq!(reap(pidfd.as_fd()).unwrap(), ChildState::NotMine);
        let gone = send_signal(pidfd.as_fd(), libc::SIGTERM).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }
}
