//! System calls that no crate wraps.
//!
//! Invariant: every function is safe to call with any argument and returns the kernel's error.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::atomic::AtomicU32,
    time::Duration,
};

/// Sleeps while `word` holds `expected`, at most for `timeout` (monotonic, relative).
pub(crate) fn futex_wait(
    word: &AtomicU32,
    expected: u32,
    timeout: Option<&libc::timespec>,
) -> io::Result<()> {
    // No FUTEX_PRIVATE_FLAG: the waker may be another process that maps the same page elsewhere.
    // SAFETY: `word` and `timeout` are references, so they outlive the call and are aligned; the
    // kernel only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            timeout.map_or(ptr::null(), ptr::from_ref),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes at most `count` sleepers on `word` and says how many there were.
pub(crate) fn futex_wake(word: &AtomicU32, count: i32) -> io::Result<u32> {
    // SAFETY: `word` is a reference, so it is aligned and mapped; the kernel uses its address only
    // as a key.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Fills `bytes` with random numbers.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the kernel writes at most `rest.len()` bytes to `rest`.
        let result = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(result) {
            Ok(count) => filled += count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// Whether the page that begins at `start` has memory; `false` if there is none, or nothing is
/// mapped.
pub(crate) fn is_resident(start: NonNull<u8>) -> bool {
    let mut found = 0u8;
    // SAFETY: the kernel writes one byte, for the one page, and follows no address of an unmapped
    // one.
    let result = unsafe { libc::mincore(start.as_ptr().cast(), 1, &raw mut found) };
    result == 0 && found & 1 == 1
}

/// Another descriptor of the same file, with a number higher than `number`, closed on exec.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; the descriptor is open, since it is borrowed.
    let new = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number + 1) };
    if new == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Makes the C library call `call` in this process before each fork of it.
pub(crate) fn before_each_fork(call: extern "C" fn()) -> io::Result<()> {
    // SAFETY: a function of this program, which takes nothing; the C library forgets it when the
    // code is unloaded.
    let result = unsafe { libc::pthread_atfork(Some(call), None, None) };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// The id of the calling thread, in its PID namespace.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }.cast_unsigned()
}

/// Whether there is a thread of this id, maybe a zombie.
pub(crate) fn thread_exists(id: u32) -> bool {
    let Ok(id) = libc::pid_t::try_from(id) else { return false };
    // SAFETY: signal 0 is never sent; the call only says whether it could be.
    let result = unsafe { libc::syscall(libc::SYS_tkill, id, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Time since boot without suspension, the same for all processes of a time namespace, in
/// nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `now` only. It cannot fail: every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Calls a function in each thread that asks for it, when the thread ends by itself, not with its
/// process.
pub(crate) struct AtThreadEnd(libc::pthread_key_t);

impl AtThreadEnd {
    pub(crate) fn new(call: extern "C" fn(*mut libc::c_void)) -> io::Result<Self> {
        let mut key = 0;
        // SAFETY: writes to `key` only; the function is safe to call.
        let result = unsafe { libc::pthread_key_create(&raw mut key, Some(call)) };
        pthread_result(result).map(|()| Self(key))
    }

    /// Makes the calling thread call the function once as it ends.
    pub(crate) fn watch_thread(&self) -> io::Result<()> {
        // SAFETY: the key exists, since none is ever deleted; no code follows its value, which is
        // not null.
        pthread_result(unsafe { libc::pthread_setspecific(self.0, ptr::without_provenance(1)) })
    }
}

/// Whether the calling thread is the only one of its process.
pub(crate) fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Ends this process without running any handler or destructor.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number, and does not return.
    unsafe { libc::_exit(code) }
}

/// Where the stack of the calling thread begins (its lowest address), and how many bytes it may
/// have.
///
/// # Errors
///
/// The C library's error, for the first thread of a program without `/proc` for example.
pub fn thread_stack() -> io::Result<(usize, usize)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut bytes) = (ptr::null_mut(), 0);
    // SAFETY: initialises `attributes` if it succeeds, and only then they are read, once, and
    // destroyed, once.
    unsafe {
        pthread_result(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()))?;
        let found =
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        pthread_result(found)?;
    }
    Ok((start.addr(), bytes))
}

/// The result of a function of the pthread library.
fn pthread_result(errno: libc::c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// The indices of the descriptors that are readable, or whose other end is gone, once there is one;
/// none when the time is over first, or a signal came. Times of more than 24 days are as long as
/// that.
///
/// ```
/// use std::{io::Write, os::fd::AsFd, time::Duration};
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let moment = Duration::from_millis(1);
/// assert!(pool_shm::readable_within(&[reader.as_fd()], moment)?.is_empty());
/// writer.write_all(b"a")?;
/// assert_eq!(pool_shm::readable_within(&[reader.as_fd()], moment)?, [0]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The error of `poll`: of more descriptors than the process may have open, for example.
pub fn readable_within(files: &[BorrowedFd<'_>], within: Duration) -> io::Result<Vec<usize>> {
    let polled = |file: &BorrowedFd<'_>| libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled: Vec<_> = files.iter().map(polled).collect();
    // Rounded up: a part of a millisecond is not spent awake.
    let millis = within.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
    // SAFETY: so many entries, which outlive the call.
    let ready = unsafe {
        libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis as libc::c_int)
    };
    if ready == -1 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted {
            Ok(Vec::new())
        } else {
            Err(error)
        };
    }
    Ok((0..polled.len()).filter(|index| polled[*index].revents != 0).collect())
}

/// Whether the other end of this socket is gone.
pub(crate) fn is_hung_up(socket: BorrowedFd<'_>) -> bool {
    let events = libc::POLLRDHUP;
    let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events, revents: 0 };
    // SAFETY: one entry, which outlives the call.
    let ready = unsafe { libc::poll(&raw mut polled, 1, 0) };
    ready == 1 && polled.revents & (libc::POLLHUP | libc::POLLRDHUP) != 0
}

/// Sends one byte, if the socket has room for it; without a signal where the other end is gone.
pub(crate) fn send_byte(socket: BorrowedFd<'_>) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads one byte.
    unsafe { libc::send(socket.as_raw_fd(), [0u8].as_ptr().cast(), 1, flags) };
}

/// Takes one byte, if the socket has more than `left`.
pub(crate) fn take_byte(socket: BorrowedFd<'_>, left: usize) {
    let mut there: libc::c_int = 0;
    // SAFETY: the kernel writes the number.
    let known = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut there) };
    if known == 0 && usize::try_from(there).is_ok_and(|there| there > left) {
        // SAFETY: the kernel writes one byte.
        unsafe { libc::recv(socket.as_raw_fd(), [0u8].as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
    }
}

/// Puts another descriptor of the file `by` at this number, in one step, closed on exec.
pub(crate) fn replace(number: BorrowedFd<'_>, by: BorrowedFd<'_>) {
    // SAFETY: takes numbers only. It fails for no number that is open.
    unsafe { libc::dup3(by.as_raw_fd(), number.as_raw_fd(), libc::O_CLOEXEC) };
}
