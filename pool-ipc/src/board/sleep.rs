//! How publisher and claimers wait for each other, without a system call while there is work.
//!
//! Both directions are a store–load pair: one side stores "I sleep" and then looks for work, the
//! other stores the work and then looks for sleepers. With all four accesses SeqCst at least one of
//! them sees the other (`tests/loom.rs`).
//!
//! * A claimer sets its bit in `sleepers`, looks once more, and waits on the wake count of its row.
//!   A process that wants it awake clears the bit, increments the wake count and wakes the futex. A
//!   dead claimer's bit is cleared by the next wake; nothing is counted, so nothing can drift.
//! * The publisher says how many finished chunks it wants, and waits on a descriptor of its own.
//!   The claimer that brings the count to zero, or reports anything but a complete chunk, is told
//!   to wake it. A chunk may be counted twice, by its claimer and by the second look: that wakes
//!   early, never late.

use super::{layout::MASK_WORDS, table::Board};
use crate::primitive::{
    Ordering::{Relaxed, SeqCst},
    wake,
};

pub(super) const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const ASLEEP_WITH_ITEMS: u32 = 2;

/// The conditions under which the publisher wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeThreshold {
    /// How many chunks have to be finished before it is woken.
    pub finished: i64,
    /// Whether it has more to publish, so that a claimer without work wakes it as well.
    pub has_items: bool,
}

impl Board {
    /// Announces that the publisher is about to sleep. It must look for finished chunks once more
    /// afterwards, pass their number to [`Board::publisher_found`], and sleep only if that says so;
    /// and if it has items, not before [`Board::any_sleeper`] said that no claimer had gone to
    /// sleep already.
    pub fn publisher_sleeps(&self, threshold: WakeThreshold) {
        let sleep = &self.header.publisher;
        // Relaxed: a claimer that sees the state that follows sees this too. A claimer that still
        // goes by an earlier state may count in between: at worst the publisher is woken early.
        sleep.wanted.store(threshold.finished.max(1), Relaxed);
        let state = if threshold.has_items { ASLEEP_WITH_ITEMS } else { ASLEEP };
        // SeqCst: with the look that follows, the store–load pair of `count_finished`.
        sleep.state.store(state, SeqCst);
    }

    /// Notes how many finished chunks the second look found; returns whether to sleep nevertheless.
    ///
    /// Only numbers count here: whether one of them is incomplete, which is a reason not to sleep,
    /// is for the caller to see.
    pub fn publisher_found(&self, finished: i64) -> bool {
        finished == 0 || self.header.publisher.wanted.fetch_sub(finished, SeqCst) > finished
    }

    /// Announces that the publisher is awake again.
    pub fn publisher_wakes(&self) {
        self.header.publisher.state.store(AWAKE, SeqCst);
    }

    /// Counts a chunk that this claimer has finished; returns whether it has to wake the publisher.
    /// An `urgent` chunk does not wait for others.
    #[inline]
    pub(super) fn count_finished(&self, urgent: bool) -> bool {
        let sleep = &self.header.publisher;
        // SeqCst: the second half of the pair; the first is the finished word.
        sleep.state.load(SeqCst) != AWAKE
            && (sleep.wanted.fetch_sub(1, SeqCst) <= 1 || urgent)
            && sleep.state.swap(AWAKE, SeqCst) != AWAKE
    }

    /// Called by a claimer that found no chunk; returns whether it has to wake a publisher that has
    /// more. One claimer of several has to.
    ///
    /// With its bit in `sleepers` the store–load pair of `publisher_sleeps` and `any_sleeper`.
    pub(super) fn take_publisher_wake(&self) -> bool {
        let state = &self.header.publisher.state;
        state.load(SeqCst) == ASLEEP_WITH_ITEMS && state.swap(AWAKE, SeqCst) != AWAKE
    }

    /// Whether any claimer sleeps.
    #[must_use]
    #[inline]
    pub fn any_sleeper(&self) -> bool {
        self.mask_words().any(|word| self.header.sleepers[word].load(SeqCst) != 0)
    }

    /// Wakes up to `count` sleeping claimers; returns how many it woke.
    pub fn wake(&self, count: usize) -> usize {
        let mut woken = 0;
        for index in self.mask_words() {
            let word = &self.header.sleepers[index];
            let mut bits = word.load(SeqCst);
            while bits != 0 && woken < count {
                let bit = bits & bits.wrapping_neg();
                bits &= !bit;
                if word.fetch_and(!bit, SeqCst) & bit != 0 {
                    woken += usize::from(self.wake_row(index * 64 + bit.trailing_zeros() as usize));
                }
            }
        }
        woken
    }

    /// Wakes the claimer at `place` if it sleeps.
    pub fn wake_place(&self, place: u32) -> bool {
        let (word, bit) = (&self.header.sleepers[place as usize / 64], 1 << (place % 64));
        word.fetch_and(!bit, SeqCst) & bit != 0 && self.wake_row(place as usize)
    }

    pub(super) fn wake_row(&self, place: usize) -> bool {
        let Some(row) = self.rows.get(place) else {
            return false;
        };
        row.orders.wake_count.fetch_add(1, SeqCst);
        wake(&row.orders.wake_count);
        true
    }

    pub(super) fn set_sleeper(&self, place: u32) {
        self.header.sleepers[place as usize / 64].fetch_or(1 << (place % 64), SeqCst);
    }

    pub(super) fn clear_sleeper(&self, place: u32) {
        self.header.sleepers[place as usize / 64].fetch_and(!(1 << (place % 64)), SeqCst);
    }

    /// Whether `place` has its bit set: its claimer was not woken since it went to sleep.
    #[must_use]
    pub fn sleeps(&self, place: u32) -> bool {
        self.header.sleepers[place as usize / 64].load(SeqCst) & 1 << (place % 64) != 0
    }

    fn mask_words(&self) -> std::ops::Range<usize> {
        0..self.rows.len().div_ceil(64).min(MASK_WORDS)
    }
}
