//! System calls that no dependency wraps.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// A descriptor that becomes readable when the process ends.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call with two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made `fd`, with close-on-exec set; no value owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has this process ignore SIGINT, which a terminal sends to all processes of its group.
pub(crate) fn ignore_interrupts() {
    // SAFETY: no handler is installed, so nothing runs in a signal.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}
