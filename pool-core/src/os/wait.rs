//! The monotonic clock, `poll` with parts of a millisecond, and waiting without sleeping.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

/// The time in nanoseconds, by a clock that all processes share and that is never set.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The time by such a clock, up to some milliseconds ago, for a quarter of the cost.
#[inline]
pub(crate) fn coarse_now() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_MONOTONIC_COARSE))
}

#[inline]
fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call, which fails for no other reason than a clock that does not
    // exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Waits for any of the descriptors, at most for `limit`. (`poll` counts whole milliseconds only.)
pub(crate) fn poll(watched: &mut [PollFd<'_>], limit: Option<Duration>) -> nix::Result<i32> {
    // A limit that is too long for the kernel counts as none.
    let limit = limit.filter(|limit| limit.as_secs() < 1 << 31);
    ppoll(watched, limit.map(TimeSpec::from_duration), None)
}

/// Whether the descriptor is readable, now or within `limit`, however many signals come.
pub(crate) fn readable_within(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut watched = [PollFd::new(fd, PollFlags::POLLIN)];
    // A limit beyond the range of the clock is none.
    let until = Instant::now().checked_add(limit);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match poll(&mut watched, left) {
            Err(Errno::EINTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Rounds of [`spin_for`] before a process or thread goes to sleep, if each can have a CPU: 15 to
/// 50 µs, about twice the time that waking a sleeper takes.
const SPIN: u32 = 16;
/// Rounds of [`spin_for`] if there are too few CPUs: spinning takes the CPU from the process that
/// is waited for.
const SPIN_CROWDED: u32 = 3;

/// Rounds of [`spin_for`] for `n_jobs` workers and the process or thread that they work for.
pub(crate) fn spin_rounds(n_jobs: usize) -> u32 {
    // Reading the mask is one system call; reading a quota, which only lowers the count, is many.
    let crowded = pool_affinity::current_cpus().is_ok_and(|cpus| n_jobs >= cpus.len());
    if crowded || n_jobs >= pool_affinity::usable_cpus() { SPIN_CROWDED } else { SPIN }
}

/// Looks between two yields: a few microseconds.
const POLLS: u32 = 256;
/// Looks between two pauses of the CPU, each of which takes as long as many looks.
const POLLS_PER_PAUSE: u32 = 4;

/// Waits a little for `news` without sleeping; answers whether there was news. Each round looks a
/// few times and then yields the CPU, maybe to the process that is waited for; on a busy machine
/// that takes long, so no round begins after `until`.
#[inline]
pub(crate) fn spin_for(rounds: u32, until: Option<Instant>, news: impl Fn() -> bool) -> bool {
    for _ in 0..rounds {
        for poll in 0..POLLS {
            if news() {
                return true;
            }
            if poll.is_multiple_of(POLLS_PER_PAUSE) {
                std::hint::spin_loop();
            }
        }
        std::thread::yield_now();
        if until.is_some_and(|until| until <= Instant::now()) {
            break;
        }
    }
    news()
}

/// A limit in nanoseconds; one that is too long for the number becomes the largest, which never
/// ends.
pub(crate) fn nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}
