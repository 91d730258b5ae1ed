//! How many calls of a backend have something under way: a hint for threads with a long chunk.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the calls that have something under way.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicUsize);

impl Busy {
    /// Counts a call that has something under way from now on.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Counts out a call that has nothing under way any more.
    pub(crate) fn end(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many calls have something under way.
    #[inline]
    pub(super) fn calls(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Whether there are several. A thread that misses a change sees it one item later.
    #[inline]
    pub(super) fn are_several(&self) -> bool {
        self.calls() > 1
    }
}
