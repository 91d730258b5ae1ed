//! How much the calls of a crew have under way: hints for whoever has a long chunk in hand, or sends
//! one.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    calls: AtomicUsize,
    /// Single calls that nobody waits in and that wait for a thread, all of them in one queue.
    waiting: AtomicUsize,
}

impl Busy {
    /// A call has something under way from now on.
    pub(crate) fn begin(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    /// A call has nothing under way any more.
    pub(crate) fn end(&self) {
        self.calls.fetch_sub(1, Relaxed);
    }

    /// So many single calls wait.
    #[inline]
    pub(crate) fn set_waiting(&self, count: usize) {
        self.waiting.store(count, Relaxed);
    }

    /// Whether there are several. Who does not see it yet sees it an item later.
    #[inline]
    pub(super) fn are_several(&self) -> bool {
        self.calls.load(Relaxed) > 1
    }

    /// Whether single calls wait: chunks go before them then, by turns, since thousands may.
    #[inline]
    pub(super) fn calls_wait(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}
