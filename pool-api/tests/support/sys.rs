//! The few system calls that tests need and std does not offer, and what `/proc` says of a process.
//! Each test program uses a part.

#![allow(dead_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

// SAFETY: as in libc's headers for Linux.
unsafe extern "C" {
    #[link_name = "kill"]
    safe fn libc_kill(pid: i32, signal: i32) -> i32;
    #[link_name = "raise"]
    safe fn libc_raise(signal: i32) -> i32;
    #[link_name = "signal"]
    fn libc_signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
    #[link_name = "fork"]
    fn libc_fork() -> i32;
    #[link_name = "prctl"]
    safe fn libc_prctl(option: i32, argument: u64) -> i32;
    #[link_name = "pthread_atfork"]
    safe fn libc_atfork(
        before: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> i32;
    #[link_name = "waitpid"]
    fn libc_waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    #[link_name = "setrlimit"]
    fn libc_setrlimit(resource: i32, limits: *const [u64; 2]) -> i32;
    #[link_name = "puts"]
    fn libc_puts(line: *const std::ffi::c_char) -> i32;
    #[link_name = "printf"]
    fn libc_printf(format: *const std::ffi::c_char, ...) -> i32;
    #[link_name = "close"]
    safe fn libc_close(descriptor: i32) -> i32;
    #[link_name = "dup2"]
    safe fn libc_dup2(old: i32, new: i32) -> i32;
    #[link_name = "eventfd"]
    safe fn libc_eventfd(count: u32, flags: i32) -> i32;
    #[link_name = "mlockall"]
    safe fn libc_mlockall(flags: i32) -> i32;
    #[link_name = "munlockall"]
    safe fn libc_munlockall() -> i32;
    #[link_name = "capget"]
    fn libc_capget(header: *mut [u32; 2], data: *mut [u32; 6]) -> i32;
    #[link_name = "capset"]
    fn libc_capset(header: *mut [u32; 2], data: *const [u32; 6]) -> i32;
    #[link_name = "poll"]
    fn libc_poll(watched: *mut Watched, count: u64, millis: i32) -> i32;
    #[link_name = "getrlimit"]
    fn libc_getrlimit(resource: i32, limits: *mut [u64; 2]) -> i32;
}

/// A descriptor that `poll` watches: `struct pollfd`.
#[repr(C)]
struct Watched {
    fd: i32,
    events: i16,
    seen: i16,
}

/// Whether the descriptor is readable, now or within so many milliseconds.
pub(crate) fn is_readable(fd: BorrowedFd<'_>, millis: i32) -> bool {
    const POLLIN: i16 = 1;
    let mut watched = Watched { fd: fd.as_raw_fd(), events: POLLIN, seen: 0 };
    // SAFETY: `watched` outlives the call, and is the one that the count says.
    unsafe { libc_poll(&raw mut watched, 1, millis) == 1 }
}

/// The signal's number on Linux.
pub(crate) const SIGKILL: i32 = 9;

/// The numbers of the signals that stop a process and let it go on.
pub(crate) const SIGSTOP: i32 = 19;
pub(crate) const SIGCONT: i32 = 18;

/// What follows the name in the status of a process: its state, its parent and more.
fn status_of(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(status.rsplit_once(") ")?.1.to_string())
}

/// The state of a process: `T` stopped, `Z` ended and not reaped.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    status_of(pid)?.chars().next()
}

/// Whether a process has ended, reaped or not.
pub(crate) fn has_ended(pid: u32) -> bool {
    state_of(pid).is_none_or(|state| state == 'Z')
}

/// The process that has started this one.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    status_of(pid)?.split(' ').nth(1)?.parse().ok()
}

/// The process group.
pub(crate) fn group_of(pid: u32) -> Option<u32> {
    status_of(pid)?.split(' ').nth(2)?.parse().ok()
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: u32, signal: i32) -> bool {
    pid > 1 && libc_kill(pid as i32, signal) == 0
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(group: u32, signal: i32) -> bool {
    group > 1 && libc_kill(-(group as i32), signal) == 0
}

/// Sends a signal to the calling thread.
pub(crate) fn raise(signal: i32) {
    libc_raise(signal);
}

/// Runs `handler` whenever the signal comes.
pub(crate) fn on_signal(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: the callers' handlers do only what signal handlers may.
    assert_ne!(unsafe { libc_signal(signal, handler) }, usize::MAX);
}

/// Makes a copy of this process, which goes on in the caller; returns the result of `fork`.
pub(crate) fn fork() -> i32 {
    // SAFETY: for tasks in worker processes, which have one thread.
    unsafe { libc_fork() }
}

/// Keeps the kernel from telling this process of its parent's death, as after a change of
/// credentials.
pub(crate) fn forget_parent() {
    const PR_SET_PDEATHSIG: i32 = 1;
    assert_eq!(libc_prctl(PR_SET_PDEATHSIG, 0), 0);
}

/// Makes every process call `before` when it is about to fork, and `behind` when it has forked.
pub(crate) fn around_forks(before: extern "C" fn(), behind: extern "C" fn()) {
    assert_eq!(libc_atfork(Some(before), Some(behind), None), 0);
}

/// Limits the addresses that this process may use from now on.
pub(crate) fn limit_address_space(bytes: u64) {
    const RLIMIT_AS: i32 = 9;
    assert!(limit(RLIMIT_AS, [bytes, u64::MAX]));
}

/// Waits for a child; returns its status as `waitpid` gives it.
pub(crate) fn wait_for(child: i32) -> i32 {
    let mut status = -1;
    // SAFETY: the status is a local of this function.
    assert_eq!(unsafe { libc_waitpid(child, &raw mut status, 0) }, child);
    status
}

/// Lets the system write cores of this process and its children, up to so many bytes; returns
/// whether it may.
pub(crate) fn limit_core(bytes: u64) -> bool {
    const RLIMIT_CORE: i32 = 4;
    limit(RLIMIT_CORE, [bytes, bytes])
}

/// Limits the memory that this process may lock to so many bytes, even if it is privileged.
pub(crate) fn limit_locked_memory(bytes: u64) -> bool {
    const RLIMIT_MEMLOCK: i32 = 8;
    const CAP_IPC_LOCK: u32 = 14;
    /// `_LINUX_CAPABILITY_VERSION_3`, and the calling process.
    const HEADER: [u32; 2] = [0x2008_0522, 0];

    let (mut header, mut sets) = (HEADER, [0; 6]);
    // SAFETY: the header and the two times three sets are locals of this function.
    if unsafe { libc_capget(&raw mut header, &raw mut sets) } != 0 {
        return false;
    }
    sets[0] &= !(1 << CAP_IPC_LOCK); // the effective ones
    header = HEADER;
    // SAFETY: as above.
    let dropped = unsafe { libc_capset(&raw mut header, &raw const sets) } == 0;
    dropped && limit(RLIMIT_MEMLOCK, [bytes, bytes])
}

fn limit(resource: i32, limits: [u64; 2]) -> bool {
    // SAFETY: the limits are a local of this function.
    unsafe { libc_setrlimit(resource, &raw const limits) == 0 }
}

/// Locks all memory that this process maps from now on; returns whether it may.
pub(crate) fn lock_future_memory() -> bool {
    const MCL_FUTURE: i32 = 2;
    libc_mlockall(MCL_FUTURE) == 0
}

/// Unlocks all memory.
pub(crate) fn unlock_memory() {
    assert_eq!(libc_munlockall(), 0);
}

/// Limits this process to so many descriptors; open ones stay. Returns the former limit.
pub(crate) fn limit_descriptors(count: u64) -> u64 {
    const RLIMIT_NOFILE: i32 = 7;
    let mut limits = [0, 0];
    // SAFETY: the limits are a local of this function.
    let read = unsafe { libc_getrlimit(RLIMIT_NOFILE, &raw mut limits) };
    let before = std::mem::replace(&mut limits[0], count);
    // SAFETY: as above.
    let set = unsafe { libc_setrlimit(RLIMIT_NOFILE, &raw const limits) };
    assert_eq!((read, set), (0, 0));
    before
}

/// Closes one descriptor.
pub(crate) fn close(descriptor: i32) {
    libc_close(descriptor);
}

/// Closes all descriptors but these and those of standard input, output and errors, as daemons do.
pub(crate) fn close_all_but(kept: &[i32]) {
    for descriptor in (3..2048).filter(|descriptor| !kept.contains(descriptor)) {
        libc_close(descriptor);
    }
}

/// Moves `descriptor` to `number` and closes the descriptor that was there.
pub(crate) fn put_at(descriptor: OwnedFd, number: i32) -> OwnedFd {
    assert_eq!(libc_dup2(descriptor.as_raw_fd(), number), number);
    // SAFETY: open now, and the owner of the number before has lost it: that is the test.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// A fresh event counter that never blocks.
pub(crate) fn counter(count: u32) -> OwnedFd {
    let descriptor = libc_eventfd(count, 0o4000);
    assert!(descriptor >= 0);
    // SAFETY: just made.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Prints a line by the C library.
pub(crate) fn print_by_c(line: &std::ffi::CStr) {
    // SAFETY: the line ends with a NUL.
    assert!(unsafe { libc_puts(line.as_ptr()) } >= 0);
}

/// Prints a text by the C library, without a line break.
pub(crate) fn write_by_c(text: &std::ffi::CStr) {
    // SAFETY: both end with a NUL, and the format names the one argument.
    assert!(unsafe { libc_printf(c"%s".as_ptr(), text.as_ptr()) } >= 0);
}

/// The most memory that this process had at a time, in bytes.
pub(crate) fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}
