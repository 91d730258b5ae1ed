//! System calls that no crate wraps as needed here.

use std::time::Duration;

use nix::{
    poll::{PollFd, ppoll},
    sys::time::TimeSpec,
};

/// Now, by a clock that all processes share and nobody sets, in nanoseconds.
#[inline]
pub(crate) fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` outlives the call, which fails for no other reason than a clock that does not
    // exist.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Waits for any of the descriptors, or for so long. (`poll` knows no part of a millisecond.)
pub(crate) fn poll(watched: &mut [PollFd<'_>], limit: Option<Duration>) -> nix::Result<i32> {
    // One that is too long to be said has no end.
    let limit = limit.filter(|limit| limit.as_secs() < 1 << 31);
    ppoll(watched, limit.map(TimeSpec::from_duration), None)
}

/// Rounds of [`spin_for`] before a process or thread goes to sleep, if every one can have a CPU:
/// about twice the time that waking a sleeper takes.
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

/// A limit as clocks are started with; one that is too long to be said has no end.
pub(crate) fn nanos(limit: Duration) -> u64 {
    u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)
}
