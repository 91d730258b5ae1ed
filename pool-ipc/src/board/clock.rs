//! The clocks of items that have a time limit. An item that is overdue is ended by its claimer, or
//! by the *watcher* (the zygote), which kills the claimer for it.
//!
//! A claimer's row has one word: 0, or the time at which the item in hand is overdue, to which the
//! watcher may add the mark TIMED_OUT. An item with a grace is first marked NOTIFIED, with the time
//! at which the grace is over.
//!
//! ```text
//!  0 ──start (claimer)──▶ deadline ──stop (claimer)──▶ 0
//!                         │  └──notify (watcher)──▶ later deadline, NOTIFIED ──stop──▶ 0, and the item has failed
//!                         │                          │
//!                         └──time_out (watcher)──────┴──▶ deadline, TIMED_OUT ──stop──▶ the claimer ends itself
//! ```
//!
//! Invariant: of stopping and timing out exactly one succeeds, so a claimer is killed for the item
//! that is overdue, never for the next one: a claimer gets past an item only with the old word in
//! hand. (Items with the same deadline are overdue at the same time, so it does not matter which of
//! them a word means.) While the word is not 0, `progress` says that this item is begun, and
//! nothing moves it any more once the word is timed out.
//!
//! The watcher sleeps until the time that it wrote to `alarm`; a claimer that starts a clock due
//! before that wakes the watcher. Word and alarm are a store–load pair: the claimer stores its
//! deadline and then looks at the alarm, the watcher stores the alarm and then looks at the
//! deadlines once more. With all four accesses SeqCst one of them sees the other (`tests/loom.rs`).
//! No message is sent per item, and nothing ticks while no clock runs.

use super::{claimer::Claimer, table::Board, word::Incarnation};
use crate::primitive::Ordering::{Acquire, Relaxed, SeqCst};

/// The watcher has decided against the item.
const TIMED_OUT: u64 = 1 << 63;
/// The item is overdue and can see it; its claimer lives on if the item returns before the later
/// deadline.
const NOTIFIED: u64 = 1 << 62;

/// Whether an item kept to its limit, as its clock is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Stopped {
    /// It ended in time, or had no clock.
    InTime,
    /// It was overdue and ended within its grace.
    Late,
    /// It was timed out: this claimer must end now, without another word on the board.
    TimedOut,
}

impl Claimer {
    /// Starts the clock of the item in hand, which may take `limit` nanoseconds from `now` on, by a
    /// clock that all sides share and that does not begin at 0. The item is notified `grace`
    /// nanoseconds before it is timed out. Returns whether the watcher has to be woken.
    #[inline]
    #[must_use]
    pub fn start_clock(&self, now: u64, limit: u64, grace: u64) -> bool {
        let deadline = now.saturating_add(limit).min(NOTIFIED - 1);
        let row = self.row();
        row.limit.store(limit, Relaxed);
        row.grace.store(grace, Relaxed);
        // SeqCst: with the load that follows, the first half of the pair. (Release: the progress is
        // there.)
        row.clock.store(deadline, SeqCst);
        let alarm = self.board().header.alarm.at.load(SeqCst);
        alarm == 0 || deadline < alarm
    }

    /// Stops the clock.
    #[inline]
    pub fn stop_clock(&self) -> Stopped {
        // Only the exchange itself is contended. (Acquire, not Relaxed: nothing that follows may
        // seem to come before it.)
        match self.row().clock.swap(0, Acquire) {
            word if word & TIMED_OUT != 0 => Stopped::TimedOut,
            word if word & NOTIFIED != 0 => Stopped::Late,
            _ => Stopped::InTime,
        }
    }

    /// Whether the item in hand is overdue and has a grace.
    #[inline]
    #[must_use]
    pub fn is_late(&self) -> bool {
        // Relaxed: the exchange in `stop_clock` is what decides.
        self.row().clock.load(Relaxed) & NOTIFIED != 0
    }
}

impl Board {
    /// The time at which the item that `incarnation` has in hand at `place` is overdue, or its
    /// grace is over; `None` if it has no limit or is timed out.
    #[must_use]
    pub fn deadline(&self, place: usize, incarnation: Incarnation) -> Option<u64> {
        let row = self.rows.get(place)?;
        // SeqCst: the second half of the pair, so no other load comes before it.
        let word = row.clock.load(SeqCst);
        // Acquire: pairs with the Release in `Claimer::new`, which clears the clock: a word of the
        // one before cannot be timed out.
        let is_its = row.incarnation.load(Acquire) == incarnation.number();
        (is_its && word != 0 && word < TIMED_OUT).then_some(word & !NOTIFIED)
    }

    /// How long the item at `place`, whose clock was seen to run, may take; only a hint if it has
    /// ended since.
    #[must_use]
    pub fn limit(&self, place: usize) -> u64 {
        let Some(row) = self.rows.get(place) else { return 0 };
        let notified = row.clock.load(Relaxed) & NOTIFIED != 0;
        if notified { row.grace.load(Relaxed) } else { row.limit.load(Relaxed) }
    }

    /// Marks the item that was overdue at `deadline` as notified; its grace runs from `now` on.
    /// `false` when it has no grace, was notified before, or has ended.
    #[must_use]
    pub fn notify_late(&self, place: usize, deadline: u64, now: u64) -> bool {
        let Some(row) = self.rows.get(place) else { return false };
        // Relaxed: the load of the deadline came before, and its claimer stored this before that;
        // of another item the exchange fails.
        let grace = row.grace.load(Relaxed);
        let notified = now.saturating_add(grace).min(NOTIFIED - 1) | NOTIFIED;
        grace > 0 && row.clock.compare_exchange(deadline, notified, SeqCst, Relaxed).is_ok()
    }

    /// Times out the item that is overdue at `deadline`; `false` when it has ended in time. Its
    /// claimer gets no further and has to be killed.
    #[must_use]
    pub fn time_out(&self, place: usize, deadline: u64) -> bool {
        let Some(row) = self.rows.get(place) else { return false };
        // An item that was notified has the mark beside its later deadline.
        let timed_out = [deadline, deadline | NOTIFIED].into_iter().any(|word| {
            row.clock.compare_exchange(word, word | TIMED_OUT, SeqCst, Relaxed).is_ok()
        });
        if timed_out {
            self.header.alarm.time_outs.fetch_add(1, SeqCst);
        }
        timed_out
    }

    /// Writes when the watcher will look at the clocks again; 0: not before it is woken. The
    /// watcher has to look once more after this.
    pub fn set_alarm(&self, at: u64) {
        self.header.alarm.at.store(at, SeqCst);
    }

    /// How many items were timed out, ever.
    #[inline]
    #[must_use]
    pub fn time_outs(&self) -> u64 {
        self.header.alarm.time_outs.load(SeqCst)
    }
}
