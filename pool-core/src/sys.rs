//! System calls that no crate wraps as needed here.

use std::{io, time::Duration};

use nix::{
    poll::{PollFd, ppoll},
    sys::time::TimeSpec,
};

/// A child that was reaped.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    /// As `wait` gives it. (nix has no value for a death by a real-time signal.)
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
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or(libc::ENOMEM, |error| error.raw_os_error().unwrap_or(libc::ENOMEM))
}

/// Writes out what the C library buffers for its output streams.
pub(crate) fn flush_c_streams() {
    // SAFETY: a null stream means all of them.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Writes out what the C library buffers for standard output, if there is anything: a look at two
/// pointers otherwise.
#[inline]
pub(crate) fn flush_c_output() {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
        fn __fpending(stream: *mut libc::FILE) -> libc::size_t;
    }
    // SAFETY: glibc's stream of that name exists as long as the process, unless the program has put
    // another one in its place; both calls take any stream that is open.
    unsafe {
        if __fpending(stdout) > 0 {
            libc::fflush(stdout);
        }
    }
}

/// Now, by a clock that all processes share and nobody sets, in nanoseconds.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call, which fails for no other reason than a clock that does not exist.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Waits for any of the descriptors, or for so long. (`poll` knows no part of a millisecond.)
pub(crate) fn poll(watched: &mut [PollFd<'_>], limit: Option<Duration>) -> nix::Result<i32> {
    // One that is too long to be said has no end.
    let limit = limit.filter(|limit| limit.as_secs() < 1 << 31);
    ppoll(watched, limit.map(TimeSpec::from_duration), None)
}

/// Rounds of [`spin_for`] before a process or thread goes to sleep, if every one can have a CPU: about twice the time
/// that waking a sleeper takes.
const SPIN: u32 = 16;
/// The same if they cannot: spinning takes the CPU from whom one waits for.
const SPIN_CROWDED: u32 = 3;

/// Rounds for a crew of `n_jobs` workers and the one that they work for.
pub(crate) fn spin_rounds(n_jobs: usize) -> u32 {
    // The mask is one system call; a quota, which can only make them fewer, takes many.
    let crowded = pool_affinity::current_cpus().is_ok_and(|cpus| n_jobs >= cpus.len());
    if crowded || n_jobs >= pool_affinity::usable_cpus() { SPIN_CROWDED } else { SPIN }
}

/// Looks between two yields: a few microseconds.
const LOOKS: u32 = 256;
/// Looks between two pauses of the CPU, each of which takes as long as many looks.
const LOOKS_PER_PAUSE: u32 = 4;

/// Waits a little for `news` without sleeping: in each round looks a few times and then lets others
/// have the CPU, who may be the ones waited for. Whether there was news.
pub(crate) fn spin_for(rounds: u32, news: impl Fn() -> bool) -> bool {
    for _ in 0..rounds {
        for look in 0..LOOKS {
            if news() {
                return true;
            }
            if look.is_multiple_of(LOOKS_PER_PAUSE) {
                std::hint::spin_loop();
            }
        }
        std::thread::yield_now();
    }
    news()
}
