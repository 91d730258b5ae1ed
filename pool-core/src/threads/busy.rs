//! How many calls of a backend have something under way: a hint for those who have a long chunk in
//! hand.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicUsize);

impl Busy {
    /// A call has something under way from now on.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// A call has nothing under way any more.
    pub(crate) fn end(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// How many calls there are.
    pub(super) fn calls(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Whether there are several. Who does not see it yet sees it an item later.
    #[inline]
    pub(super) fn are_several(&self) -> bool {
        self.calls() > 1
    }
}
