//! The system calls and C library functions that no crate wraps, or wraps in a way that loses errors.
//!
//! Invariant: every function here is safe to call with any argument and reports failure as an `io::Error`;
//! nothing here decides anything.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_ulong, c_void},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{errno::Errno, sys::signal::SigSet, unistd::Pid};

/// From `fcntl.h`; the libc crate has no such names.
const F_SETSIG: c_int = 10;
const F_GETSIG: c_int = 11;

/// A value of the auxiliary vector, 0 if the kernel gave none.
pub(super) fn auxiliary(kind: c_ulong) -> usize {
    // SAFETY: `getauxval` only reads the vector that the C library saved at its start.
    unsafe { libc::getauxval(kind) as usize }
}

/// Whether the environment holds `name`: no allocation, no lock of std.
pub(super) fn in_environment(name: &CStr) -> bool {
    // SAFETY: `name` ends with a NUL. The result is not followed, so it may change behind our back.
    unsafe { !libc::getenv(name.as_ptr()).is_null() }
}

/// A descriptor that becomes readable when `pid` has ended.
pub(super) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call with two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made `fd` for us, with close-on-exec set; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes the descriptors `first ..= last`. The system call itself, since glibc has a name for it only from 2.34.
///
/// The descriptors must not be owned by any value that is still used; `keep_only` passes that duty on.
pub(super) fn close_range(first: RawFd, last: u32) -> io::Result<()> {
    // SAFETY: a plain system call with three integers; it touches no memory.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first as u32, last, 0) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes one descriptor by number, with the same duty as [`close_range`].
pub(super) fn close(fd: RawFd) {
    // SAFETY: a plain system call with one integer. Not by the C library's `close`, which lies in a page that a forked worker
    // needs for nothing else.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// Whether `fd` is the number of an open descriptor.
pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: a plain system call with integers, valid for any number.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Names the calling thread; of the main thread it is the name of the process.
pub(super) fn set_name(name: &[u8; 16]) {
    // SAFETY: the kernel reads up to the first NUL, and no more than 16 bytes, which are there.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Blocks no signal any more. The system call itself: a forked worker has no page of the C library's function yet.
pub(super) fn unblock_signals() {
    let none = 0u64;
    // SAFETY: a set of the size that is given is read, and nothing written. None of the C library's own signals is blocked by this.
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
pub(super) enum Disposition {
    Default,
    Ignored,
    /// A function. As a wish: the one that is given, after which interrupted system calls go on
    /// where they can.
    Handled,
}

/// A function for signals, which may interrupt anything.
pub(super) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// What this process does on `signal`.
pub(super) fn disposition(signal: c_int) -> io::Result<Disposition> {
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
pub(super) fn set_disposition(
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
            // A task may run on a small stack; where there is one for signals, that is taken.
            action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO | libc::SA_ONSTACK;
        }
    }
    // SAFETY: the handler, if any, may interrupt anything, and has the form that SA_SIGINFO asks
    // for.
    let code = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process has one thread, by the kernel's own count; `None` if it does not say.
pub(super) fn has_one_thread() -> Option<bool> {
    // SAFETY: a plain system call with one integer. A process of one thread has nothing that it
    // could part with: nothing changes, as unshare(2) says. Any other may not part with its
    // threads.
    match unsafe { libc::unshare(libc::CLONE_THREAD) } {
        0 => Some(true),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Some(false),
        _ => None,
    }
}

/// This process's id, asked of the kernel, as in a handler.
pub(super) fn process_id() -> i32 {
    // SAFETY: a plain system call.
    unsafe { libc::getpid() }
}

/// Runs `act`, and leaves this thread's `errno` as it was: for a handler.
pub(super) fn keep_errno(act: impl FnOnce()) {
    // SAFETY: the C library's `errno` of this thread, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { errno.read() };
    act();
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Sends a packet if there is room for it; for a handler, so failures are lost.
pub(super) fn send_now(socket: RawFd, packet: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: reads the packet, which is there; any number will do for the descriptor.
    unsafe { libc::send(socket, packet.as_ptr().cast(), packet.len(), flags) };
}

/// Sets the signal that the open file would send if it had `O_ASYNC`.
pub(super) fn set_signal(fd: BorrowedFd<'_>, signal: c_int) -> nix::Result<()> {
    // SAFETY: changes a number of the open file's, and no memory.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, signal) }).map(drop)
}

/// The signal that was set so, otherwise 0.
pub(super) fn signal_of(fd: BorrowedFd<'_>) -> nix::Result<c_int> {
    // SAFETY: reads a number of the open file's.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) })
}

/// Ends this process by `signal`, whose handler this is called in, as soon as that returns.
pub(super) fn end_by(signal: c_int) {
    // SAFETY: all zeroes is a valid `sigaction`: default handler, no flags, empty mask. Both calls
    // may be made in a handler.
    unsafe {
        let default = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        libc::sigaction(signal, &raw const default, ptr::null_mut());
        libc::raise(signal);
    }
}

/// The action "close every descriptor from this one on" of `posix_spawn`, glibc 2.34 and later.
#[derive(Clone, Copy)]
pub(super) struct CloseFrom(
    unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int,
);

impl CloseFrom {
    /// Looked up at run time, so that programs still start with an older C library.
    pub(super) fn find() -> Option<Self> {
        let name = c"posix_spawn_file_actions_addclosefrom_np";
        // SAFETY: `name` ends with a NUL; a lookup among the loaded objects has no other effect.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then(|| {
            // SAFETY: glibc documents this name with exactly this signature.
            Self(unsafe {
                std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int,
                >(found)
            })
        })
    }
}

/// What a new process starts with.
pub(super) struct Start<'a> {
    pub(super) path: &'a CStr,
    pub(super) argv: &'a [CString],
    pub(super) environment: &'a [CString],
    /// Each descriptor and the number it gets in the new process, done in this order.
    pub(super) descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Afterwards, close everything from this number on.
    pub(super) close_from: Option<(CloseFrom, RawFd)>,
    pub(super) blocked: &'a SigSet,
}

/// `posix_spawn`, with every error of its preparation reported: nix takes the error numbers that the functions
/// for actions return for success, and a copy that lacks its descriptors would run `main`.
pub(super) fn spawn(start: &Start<'_>) -> io::Result<Pid> {
    let mut actions = Actions::new()?;
    for (source, target) in start.descriptors {
        // SAFETY: `actions` is initialised; the numbers are checked by glibc and used in the new process only.
        check(unsafe {
            libc::posix_spawn_file_actions_adddup2(&raw mut actions.0, source.as_raw_fd(), *target)
        })?;
    }
    if let Some((CloseFrom(add), first)) = start.close_from {
        // SAFETY: as above; `add` is glibc's function for this.
        check(unsafe { add(&raw mut actions.0, first) })?;
    }
    let attributes = Attributes::new(start.blocked)?;
    let (argv, environment) = (pointers(start.argv), pointers(start.environment));
    let mut pid = 0;
    // SAFETY: the path and all strings end with a NUL, both lists with a null pointer; everything outlives the
    // call, which returns only after the new process has its own memory.
    check(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            start.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(Pid::from_raw(pid))
}

/// The `posix_spawn` family returns error numbers instead of setting `errno`.
fn check(code: c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: room for one value, which the call initialises if it returns 0; glibc's holds no pointers into
        // itself, so it may move.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Self(actions.assume_init()))
        }
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(blocked: &SigSet) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: room for one value, which the call initialises if it returns 0; plain data, so it may move.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            Self(attributes.assume_init())
        };
        // SAFETY: `attributes` is initialised and `blocked` is a signal set.
        unsafe {
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, blocked.as_ref()))?;
            check(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                libc::POSIX_SPAWN_SETSIGMASK as _,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
