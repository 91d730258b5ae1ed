//! The descriptors of a process that begins or was just forked.
//!
//! Invariant: descriptors are closed and adopted by number only here, and only in a process that
//! has just begun, where no value owns them yet, or none of those that own them is used again.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open},
    sys::{
        eventfd::{EfdFlags, EventFd},
        resource::{Resource, getrlimit},
        stat::{Mode, fstat},
    },
    unistd::{dup2_stderr, dup2_stdin, dup2_stdout, read, write},
};

use super::sys;

/// The first number after standard input, output and error.
pub(crate) const FIRST_INHERITED: RawFd = 3;

/// Replaces standard input by a file that is at its end, so that this process reads nothing that is
/// meant for the user's program. Only a process without any free descriptor keeps its input.
pub(crate) fn null_stdin() {
    if let Ok(nothing) = nothing_above(FIRST_INHERITED) {
        let _ = dup2_stdin(&nothing);
    }
}

/// Opens standard output and error if the parent had closed them: otherwise the next file that is
/// opened would take their number and receive what is printed.
pub(crate) fn fill_output() {
    for (number, fill) in [(1, dup2_stdout as fn(OwnedFd) -> nix::Result<()>), (2, dup2_stderr)] {
        if !sys::is_open(number)
            && let Ok(nothing) = nothing_above(FIRST_INHERITED)
        {
            let _ = fill(nothing);
        }
    }
}

/// Duplicates of standard output and error, from the number `lowest` on and with the number of
/// each, if they are open and an `exec` would close them. A fresh copy of the executable gets them
/// all the same.
pub(crate) fn output_closed_on_exec(lowest: RawFd) -> io::Result<Vec<(OwnedFd, RawFd)>> {
    let (output, errors) = (io::stdout(), io::stderr());
    let mut kept = Vec::new();
    for fd in [output.as_fd(), errors.as_fd()] {
        let flags = fcntl(fd, FcntlArg::F_GETFD).map(FdFlag::from_bits_retain);
        if flags.is_ok_and(|flags| flags.contains(FdFlag::FD_CLOEXEC)) {
            kept.push((duplicate_above(fd, lowest)?, fd.as_raw_fd()));
        }
    }
    Ok(kept)
}

/// Closes every descriptor from 3 on that is not in `fds`. Values that own them must not be used
/// again, so this is for a process that was just started or forked. Does not allocate, except on
/// kernels before 5.9.
pub(crate) fn keep_only(fds: &[RawFd]) {
    let mut first = FIRST_INHERITED;
    loop {
        let kept = fds.iter().copied().filter(|fd| *fd >= first).min();
        let last = kept.map_or(u32::MAX, |fd| fd.unsigned_abs().saturating_sub(1));
        if first.unsigned_abs() <= last && sys::close_range(first, last).is_err() {
            return close_listed(fds);
        }
        match kept.and_then(|fd| fd.checked_add(1)) {
            Some(next) => first = next,
            None => return,
        }
    }
}

fn close_listed(fds: &[RawFd]) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    // All numbers are read before the first is closed: reading the list needs a descriptor, too.
    let open: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd >= FIRST_INHERITED && !fds.contains(fd)) {
        sys::close(fd);
    }
}

/// Closes `fd` in a forked child that never returns to its owner.
pub(crate) fn close_for_good(fd: &impl AsFd) {
    sys::close(fd.as_fd().as_raw_fd());
}

/// Takes `fd` over, in a forked child that never returns to its owner.
pub(crate) fn take_for_good(fd: &OwnedFd) -> OwnedFd {
    // SAFETY: it is open, and owned by a value of the process that this one was forked from, which
    // this process neither uses nor drops.
    unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) }
}

/// Takes the `count` descriptors from `FIRST_INHERITED` on, and sets close-on-exec on them.
///
/// # Safety
///
/// They are open, and no value of this process owns them.
pub(crate) unsafe fn adopt_inherited(count: u32) -> Vec<OwnedFd> {
    (FIRST_INHERITED..)
        .take(count as usize)
        .map(|number| {
            // SAFETY: promised by the caller.
            let fd = unsafe { OwnedFd::from_raw_fd(number) };
            let _ = fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
            fd
        })
        .collect()
}

/// A duplicate of `fd` with the number `lowest` or a higher one, closed on exec.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the kernel has just made this descriptor, and no value owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A duplicate whose number is not that of standard input, output or error.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    duplicate_above(fd, FIRST_INHERITED)
}

/// The first number of descriptors that a process keeps for long: what a program opens after it has
/// closed all, as daemons do, gets the lowest numbers, which are none of a pool's then.
const FIRST_KEPT: RawFd = 512;

/// Moves a descriptor to a high number or, where the limit of descriptors is low, at least to one
/// that is not that of standard input, output or error.
pub(crate) fn out_of_the_way(fd: OwnedFd) -> io::Result<OwnedFd> {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _hard)| soft);
    let lowest = RawFd::try_from(limit / 2).map_or(FIRST_KEPT, |half| half.min(FIRST_KEPT));
    if fd.as_raw_fd() >= lowest {
        return Ok(fd);
    }
    match duplicate_above(fd.as_fd(), lowest.max(FIRST_INHERITED)) {
        // No number so high is free.
        Err(_) if fd.as_raw_fd() >= FIRST_INHERITED => Ok(fd),
        Err(_) => duplicate(fd.as_fd()),
        moved => moved,
    }
}

/// The signal number that marks event counters and pidfds of pools. They never send it, since they
/// have no `O_ASYNC`; it stays with the open file, through duplicates and forks.
const MARK: libc::c_int = 61;

/// Marks an open file as a pool's. On a system without such marks it stays as it is.
pub(crate) fn mark(fd: BorrowedFd<'_>) -> io::Result<()> {
    match sys::set_signal(fd, MARK) {
        Err(Errno::EINVAL) => Ok(()),
        result => Ok(result?),
    }
}

/// Whether an open file is marked; true on a system without such marks. May be called in a signal
/// handler.
pub(crate) fn is_marked(fd: BorrowedFd<'_>) -> bool {
    matches!(sys::signal_of(fd), Ok(MARK) | Err(Errno::EINVAL))
}

/// A fresh event counter, marked as a pool's.
pub(crate) fn new_counter() -> io::Result<OwnedFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter = OwnedFd::from(EventFd::from_value_and_flags(0, flags)?);
    mark(counter.as_fd())?;
    Ok(counter)
}

/// Adds one to an event counter, unless its number leads to another file by now: the program, or a
/// task, may have closed the counter and opened a file or a counter. Answers whether the counter is
/// still there. May be called in a signal handler.
pub(crate) fn increment_counter(fd: BorrowedFd<'_>) -> bool {
    // A full counter wakes the process that polls it all the same.
    is_counter(fd) && !matches!(write(fd, &1u64.to_ne_bytes()), Err(Errno::EBADF | Errno::EINVAL))
}

/// Sets an event counter back to 0, unless its number leads to another file by now; answers whether
/// the counter is still there.
pub(crate) fn reset_counter(fd: BorrowedFd<'_>) -> bool {
    is_counter(fd) && !matches!(read(fd, &mut [0; 8]), Err(Errno::EBADF | Errno::EINVAL))
}

/// Whether the number leads to an event counter of a pool, by its mark. A system without marks
/// tells event counters at least from files, pipes, sockets and terminals: those have a file type.
fn is_counter(fd: BorrowedFd<'_>) -> bool {
    match sys::signal_of(fd) {
        Err(Errno::EINVAL) => fstat(fd).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == 0),
        signal => signal == Ok(MARK),
    }
}

/// Opens a file that is at its end for readers and, where there is `/dev/null`, drops all that is
/// written.
pub(crate) fn nothing_above(lowest: RawFd) -> io::Result<OwnedFd> {
    let nothing = match open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(null) => null,
        // A chroot without /dev: the reading end of a pipe that has no writer.
        Err(_) => nix::unistd::pipe2(OFlag::O_CLOEXEC)?.0,
    };
    duplicate_above(nothing.as_fd(), lowest)
}

#[cfg(test)]
mod tests {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn a_duplicate_lies_above_and_is_closed_on_exec() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let copy = duplicate_above(reader.as_fd(), 300).unwrap();
        assert!(copy.as_raw_fd() >= 300);
        let flags = fcntl(&copy, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    }

    #[test]
    fn only_event_counters_are_written_to() {
        let counter = out_of_the_way(new_counter().unwrap()).unwrap();
        assert!(counter.as_raw_fd() >= FIRST_INHERITED);
        assert!(increment_counter(counter.as_fd()) && reset_counter(counter.as_fd()));
        assert!(reset_counter(counter.as_fd()), "it may be at 0");
        let file = fs::File::from(memfd_create("file", MFdFlags::empty()).unwrap());
        let (_reader, pipe) = nix::unistd::pipe().unwrap();
        let users = EventFd::from_value_and_flags(5, EfdFlags::EFD_NONBLOCK).unwrap();
        for other in [file.as_fd(), pipe.as_fd(), users.as_fd()] {
            assert!(!increment_counter(other) && !reset_counter(other));
        }
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(users.read(), Ok(5));
    }

    #[test]
    fn nothing_is_at_its_end() {
        let nothing = nothing_above(3).unwrap();
        assert_eq!(nix::unistd::read(&nothing, &mut [0; 8]), Ok(0));
    }
}
