//! How many calls of one item a queue for threads has, in one atomic word.
//!
//! Invariant: each call is counted from before it is sent until it has ended, and as waiting until
//! a worker begins it; a closed queue counts no further calls. The counts and the flag change
//! together, so the thread that takes the last call out of a closed queue knows that.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const CLOSED: u64 = 1 << 63;
const WAITING: u64 = 1 << 32;
const OUTSTANDING: u64 = 1;

/// The word: the calls that have not ended in bits 0 to 31, those that wait in bits 32 to 62.
///
/// All accesses are SeqCst: a thread changes the word and then looks for sleepers, and a sleeper
/// notes itself and then looks at the word.
#[derive(Debug, Default)]
pub(super) struct CallCounts(AtomicU64);

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Calls that no worker has begun.
    pub(super) waiting: usize,
    /// Calls that have not ended.
    pub(super) outstanding: usize,
    /// Whether no further call is counted.
    pub(super) closed: bool,
}

impl CallCounts {
    pub(super) fn get(&self) -> Counts {
        Counts::of(self.0.load(SeqCst))
    }

    /// Counts a call in, as waiting; returns the counts with it, or `None` if the queue is closed.
    pub(super) fn enter(&self) -> Option<Counts> {
        let entered = |word| (word & CLOSED == 0).then_some(word + WAITING + OUTSTANDING);
        let before = self.0.fetch_update(SeqCst, SeqCst, entered).ok()?;
        Some(Counts::of(before + WAITING + OUTSTANDING))
    }

    /// A waiting call is begun; returns the counts after that.
    pub(super) fn begin(&self) -> Counts {
        Counts::of(self.0.fetch_sub(WAITING, SeqCst) - WAITING)
    }

    /// A call has ended, begun or not; returns the counts after that.
    pub(super) fn end(&self, begun: bool) -> Counts {
        let gone = if begun { OUTSTANDING } else { WAITING + OUTSTANDING };
        Counts::of(self.0.fetch_sub(gone, SeqCst) - gone)
    }

    /// Counts no further call in.
    pub(super) fn close(&self) {
        self.0.fetch_or(CLOSED, SeqCst);
    }
}

impl Counts {
    fn of(word: u64) -> Self {
        let waiting = (word & !CLOSED) / WAITING;
        let outstanding = word % WAITING;
        Self {
            waiting: waiting as usize,
            outstanding: outstanding as usize,
            closed: word & CLOSED != 0,
        }
    }

    /// Whether the queue is closed and every call has ended.
    pub(super) fn is_over(self) -> bool {
        self.closed && self.outstanding == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_change_apart_from_each_other() {
        let counts = CallCounts::default();
        let at = |waiting, outstanding, closed| Counts { waiting, outstanding, closed };
        assert_eq!(counts.get(), at(0, 0, false));
        assert_eq!(counts.enter(), Some(at(1, 1, false)));
        assert_eq!(counts.enter(), Some(at(2, 2, false)));
        assert_eq!(counts.begin(), at(1, 2, false));
        counts.close();
        counts.close();
        assert_eq!(counts.enter(), None);
        assert_eq!(counts.end(true), at(1, 1, true));
        assert!(!counts.get().is_over());
        assert_eq!(counts.end(false), at(0, 0, true));
        assert!(counts.get().is_over());
    }
}
