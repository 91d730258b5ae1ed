//! The words that the processes of a scenario share beside the lock under test.
//!
//! Invariant: each word is written by one process, or added to; all of it is atomics, so a kill
//! leaves it readable.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use pool_shm::{Mapping, Segment};

/// Workers there are at once.
pub(crate) const WORKERS: usize = 3;
/// No process may wait so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// The words. Times are monotonic nanoseconds.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Words {
    /// Whether the worker held something when it last said so.
    pub(crate) inside: [AtomicU64; WORKERS],
    /// How often each worker got in, and when last.
    pub(crate) entries: [AtomicU64; WORKERS],
    pub(crate) entered_at: [AtomicU64; WORKERS],
    /// How often a death was reported to a worker, and when last.
    pub(crate) reports: AtomicU64,
    pub(crate) reported_at: AtomicU64,
    /// For other needs of a scenario.
    pub(crate) extra: [AtomicU64; 4],
}

/// The words in shared memory.
pub(crate) struct Board(Mapping);

impl Board {
    pub(crate) fn new() -> Self {
        let segment = Segment::create("robust", size_of::<Words>() as u64).expect("a segment");
        Self(segment.map().expect("a mapping"))
    }

    /// Notes that `worker` has got in.
    pub(crate) fn note_entry(&self, worker: usize) {
        self.entries[worker].fetch_add(1, SeqCst);
        self.entered_at[worker].store(now_ns(), SeqCst);
    }

    /// Notes that a worker was told of a death.
    pub(crate) fn note_report(&self) {
        self.reported_at.store(now_ns(), SeqCst);
        self.reports.fetch_add(1, SeqCst);
    }

    /// When any worker but `but` got in last.
    pub(crate) fn last_entry_but(&self, but: usize) -> u64 {
        let others = (0..WORKERS).filter(|worker| *worker != but);
        others.map(|worker| self.entered_at[worker].load(SeqCst)).max().expect("others")
    }
}

impl Deref for Board {
    type Target = Words;

    fn deref(&self) -> &Words {
        // SAFETY: the mapping has room for the words, is aligned to a page and zeroed, and atomics
        // may be written by others.
        unsafe { &*self.0.as_ptr().cast() }
    }
}

/// Time since boot, the same in all processes.
pub(crate) fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    Duration::from(now).as_nanos() as u64
}

/// Polls until `value` gives a time, and returns how long after `start_ns` that is.
///
/// # Panics
///
/// After [`LIMIT`].
pub(crate) fn wait_for(
    what: &str,
    start_ns: u64,
    mut value: impl FnMut() -> Option<u64>,
) -> Duration {
    loop {
        if let Some(at) = value() {
            return Duration::from_nanos(at.saturating_sub(start_ns));
        }
        let waited = Duration::from_nanos(now_ns() - start_ns);
        assert!(waited < LIMIT, "{what}: nothing after {waited:?}");
        // The others need the CPUs; only their time stamps count.
        std::thread::sleep(Duration::from_micros(50));
    }
}
