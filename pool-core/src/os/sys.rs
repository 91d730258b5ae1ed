//! The system calls and C library functions that no crate wraps, or wraps in a way that loses
//! errors.
//!
//! Invariant: every function here is safe to call with any argument, and decides nothing. Failures
//! are returned, but for those in a signal handler and at a process's end.

use std::{
    ffi::{CStr, c_int, c_ulong, c_void},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{errno::Errno, unistd::Pid};

/// From `fcntl.h`; the libc crate has no such names.
const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;

/// A value of the auxiliary vector, 0 if the kernel gave none.
pub(crate) fn auxiliary_value(kind: c_ulong) -> usize {
    // SAFETY: `getauxval` only reads the vector that the C library saved at its start.
    unsafe { libc::getauxval(kind) as usize }
}

/// Whether the environment holds `name`. Does not allocate, and takes no lock of std.
pub(crate) fn in_environment(name: &CStr) -> bool {
    // SAFETY: `name` ends with a NUL. The result is not followed, so it may change at any time.
    unsafe { !libc::getenv(name.as_ptr()).is_null() }
}

/// A descriptor that becomes readable when `pid` has ended.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call with two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made `fd`, with close-on-exec set; no value owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes the descriptors `first ..= last`, by the system call itself, since glibc has a function
/// for it only from 2.34 on.
///
/// No value that is still used may own the descriptors; `keep_only` passes that duty on.
pub(crate) fn close_range(first: RawFd, last: u32) -> io::Result<()> {
    // SAFETY: a plain system call with three integers; it touches no memory.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first as u32, last, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes one descriptor by number, with the same duty as [`close_range`].
pub(crate) fn close(fd: RawFd) {
    // SAFETY: a plain system call with one integer. (The C library's `close` lies in a page that a
    // forked worker needs for nothing else.)
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// The columns of a terminal, if it tells them.
#[cfg(feature = "progress")]
pub(crate) fn columns(terminal: BorrowedFd<'_>) -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the system call writes no more than a `winsize`, which outlives it.
    let code = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (code == 0 && size.ws_col > 0).then_some(size.ws_col)
}

/// Whether `fd` is the number of an open descriptor.
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: a plain system call with integers, valid for any number.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Names the calling thread; the name of the main thread is that of the process.
pub(crate) fn set_name(name: &[u8; 16]) {
    // SAFETY: the kernel reads up to the first NUL, and no more than 16 bytes, which are there.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Unblocks all signals of the calling thread, by the system call itself: a forked worker has no
/// page of the C library's function yet.
pub(crate) fn unblock_signals() {
    let none = 0u64;
    // SAFETY: the kernel reads a set of the size that is given, and writes nothing. This blocks
    // none of the C library's own signals.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut::<u64>(),
            size_of::<u64>(),
        )
    };
}

/// What a process does on a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Default,
    Ignored,
    /// It calls a function. [`set_disposition`] sets the one that it is given, after which
    /// interrupted system calls go on where they can.
    Handled,
}

/// A signal handler, which may interrupt any code.
pub(crate) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// What this process does on `signal`.
pub(crate) fn disposition(signal: c_int) -> io::Result<Disposition> {
    let mut now = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; `now` is room for the old one.
    if unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeroes is a valid `sigaction`, and the call has filled it.
    Ok(match unsafe { now.assume_init() }.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    })
}

/// Sets what this process does on `signal`, with no flag but those that [`Disposition::Handled`]
/// needs.
pub(crate) fn set_disposition(
    signal: c_int,
    wish: Disposition,
    handler: Handler,
) -> io::Result<()> {
    // SAFETY: all zeroes is a valid `sigaction`: default handler, no flags, empty mask.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    match wish {
        Disposition::Default => action.sa_sigaction = libc::SIG_DFL,
        Disposition::Ignored => action.sa_sigaction = libc::SIG_IGN,
        Disposition::Handled => {
            action.sa_sigaction = handler as usize;
            // A task may run on a small stack: the handler takes the signal stack, if there is one.
            action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO | libc::SA_ONSTACK;
        }
    }
    // SAFETY: the handler, if any, may interrupt anything, and has the form that SA_SIGINFO asks
    // for.
    let code = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process has one thread, by the kernel's own count; `None` if it does not say.
pub(crate) fn has_one_thread() -> Option<bool> {
    // SAFETY: a plain system call with one integer. A process of one thread has no thread to
    // separate from: nothing changes, as unshare(2) says. For any other process the call fails.
    match unsafe { libc::unshare(libc::CLONE_THREAD) } {
        0 => Some(true),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Some(false),
        _ => None,
    }
}

/// This process's id. May be called in a signal handler.
pub(crate) fn process_id() -> i32 {
    // SAFETY: a plain system call.
    unsafe { libc::getpid() }
}

/// Runs `act`, and leaves this thread's `errno` as it was, as a signal handler has to.
pub(crate) fn keep_errno(act: impl FnOnce()) {
    // SAFETY: the C library's `errno` of this thread, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    act();
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Sends a packet if there is room for it, and ignores failures. May be called in a signal handler.
pub(crate) fn send_now(socket: RawFd, packet: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the packet, which is there; any number will do for the descriptor.
    unsafe { libc::send(socket, packet.as_ptr().cast(), packet.len(), flags) };
}

/// Sets the signal that the open file would send if it had `O_ASYNC`.
pub(crate) fn set_signal(fd: BorrowedFd<'_>, signal: c_int) -> nix::Result<()> {
    // SAFETY: the kernel changes a number of the open file, and no memory.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, signal) }).map(drop)
}

/// The signal that [`set_signal`] has set, otherwise 0.
pub(crate) fn signal_of(fd: BorrowedFd<'_>) -> nix::Result<c_int> {
    // SAFETY: the kernel reads a number of the open file.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) })
}

/// Has the kernel kill this process when the open file has something to read or loses its last
/// writer.
pub(crate) fn kill_on_input(fd: BorrowedFd<'_>) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    let check = |code| Errno::result(code).map(drop);
    // SAFETY: the kernel changes numbers and flags of the open file, and no memory.
    unsafe {
        check(libc::fcntl(fd, F_SETSIG, libc::SIGKILL))?;
        check(libc::fcntl(fd, libc::F_SETOWN, libc::getpid()))?;
        check(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// Ends this process by `signal` as soon as the handler of that signal, which calls this, returns.
pub(crate) fn end_by(signal: c_int) {
    // SAFETY: all zeroes is a valid `sigaction`: default handler, no flags, empty mask. Both calls
    // may be made in a handler.
    unsafe {
        let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigaction(signal, &raw const default, ptr::null_mut());
        libc::raise(signal);
    }
}

/// A child that was reaped.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    /// The wait status. (nix has no value for a death by a real-time signal.)
    pub(crate) status: i32,
    /// Bytes of memory that it had at most.
    pub(crate) peak: u64,
}

/// Reaps one child of this process that has ended, if there is one.
pub(crate) fn reap_any() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: plain numbers, for which zero is a value.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    loop {
        // SAFETY: `status` and `usage` outlive the call.
        match unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) } {
            pid if pid > 0 => {
                let peak = u64::try_from(usage.ru_maxrss).unwrap_or(0) << 10;
                return Some(Reaped { pid, status, peak });
            }
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return None,
        }
    }
}

/// The error number behind a failure to make or map shared memory.
pub(crate) fn errno_of(error: &pool_shm::Error) -> i32 {
    match error {
        pool_shm::Error::Os { source, .. } => source.raw_os_error().unwrap_or(libc::ENOMEM),
        _ => libc::ENOMEM,
    }
}

/// Writes out what was printed so far, by std and by the C library.
pub(crate) fn flush_output() {
    // Without a reader there is nothing to be told.
    let _ = io::Write::flush(&mut io::stdout());
    let _ = io::Write::flush(&mut io::stderr());
    // SAFETY: a null stream means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Writes out what the C library buffers for standard output; if there is nothing, this only reads
/// two pointers.
#[inline]
pub(crate) fn flush_c_output() {
    // SAFETY: glibc's stream of that name exists as long as the process, unless the program has put
    // another one in its place; both calls take any stream that is open.
    unsafe {
        if __fpending(stdout) > 0 {
            libc::fflush(stdout);
        }
    }
}

unsafe extern "C" {
    static stdout: *mut libc::FILE;
    fn __fpending(stream: *mut libc::FILE) -> libc::size_t;
    fn ftrylockfile(stream: *mut libc::FILE) -> c_int;
    fn funlockfile(stream: *mut libc::FILE);
}

/// Writes out what the C library buffers for standard output, unless another thread has that
/// stream.
pub(crate) fn try_flush_c_output() {
    // SAFETY: the stream exists as long as the process, unless the program has put another one in
    // its place; all four take any stream that is open. The lock is this thread's when it is given
    // back, and may be taken again by the thread that has it.
    unsafe {
        if ftrylockfile(stdout) == 0 {
            if __fpending(stdout) > 0 {
                libc::fflush(stdout);
            }
            funlockfile(stdout);
        }
    }
}

/// Has the C library write to standard output at once.
pub(crate) fn unbuffer_c_output() {
    // SAFETY: as above. Without a buffer the call takes any stream that is open, and the C library
    // keeps no pointer of ours.
    unsafe { libc::setvbuf(stdout, ptr::null_mut(), libc::_IONBF, 0) };
}

/// How many bytes lie in a pipe.
pub(crate) fn bytes_in_pipe(fd: BorrowedFd<'_>) -> nix::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one `int` through the pointer, which leads to one.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_error_number_is_kept() {
        let source = io::Error::from_raw_os_error(libc::EMFILE);
        assert_eq!(errno_of(&pool_shm::Error::Os { doing: "a test", source }), libc::EMFILE);
    }
}
