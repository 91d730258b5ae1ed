//! The clocks of items that have a time limit, and who ends an item that is overdue: its claimer, or the *watcher* (the
//! zygote), which kills the claimer for it.
//!
//! A claimer's row has one word: 0, or the time at which the item in hand is overdue, to which the watcher may add the mark
//! CONDEMNED.
//!
//! ```text
//!  0 ──start (claimer)──▶ deadline ──stop (claimer)──▶ 0
//!                            └──condemn (watcher)──▶ deadline, CONDEMNED ──stop──▶ the claimer ends itself
//! ```
//!
//! Invariant: of stopping and condemning exactly one succeeds, so what is killed is killed for the item that is overdue, never for
//! the next one: a claimer gets past an item only with the old word in hand. (Items with the same deadline are overdue at
//! the same time, so it does not matter which of them a word means.) While the word is not 0, `progress` says that this item is
//! begun, and nothing moves it any more once the word is condemned.
//!
//! The watcher sleeps until the time that it wrote to `alarm`; whoever starts a clock that is due before that rings. Word and
//! alarm are a store–load pair: the claimer stores its deadline and then looks at the alarm, the watcher stores the alarm and
//! then looks at the deadlines once more. With all four accesses SeqCst one of them sees the other (`tests/loom.rs`). Nothing
//! is told per item, and nothing ticks while no clock runs.

use super::{claimer::Claimer, table::Board};
use crate::primitive::Ordering::{Acquire, Relaxed, SeqCst};

/// The watcher has decided against the item.
const CONDEMNED: u64 = 1 << 63;

impl Claimer {
    /// Starts the clock of the item in hand, which may take `limit` nanoseconds from `now` on, by a clock that all sides share and
    /// that does not begin at 0. Returns whether the watcher has to be rung.
    #[inline]
    #[must_use]
    pub fn start_clock(&self, now: u64, limit: u64) -> bool {
        let deadline = now.saturating_add(limit).min(CONDEMNED - 1);
        let row = self.row();
        row.limit.store(limit, Relaxed);
        // SeqCst: with the load that follows, the first half of the pair. (Release: the progress is there.)
        row.clock.store(deadline, SeqCst);
        let alarm = self.board().header.alarm.at.load(SeqCst);
        alarm == 0 || deadline < alarm
    }

    /// Stops the clock. `false`: the item was condemned, and this claimer must end now, without another word on the board.
    #[inline]
    #[must_use]
    pub fn stop_clock(&self) -> bool {
        // Only the exchange itself is contended. (Acquire, not Relaxed: nothing that follows may seem to come before it.)
        self.row().clock.swap(0, Acquire) & CONDEMNED == 0
    }
}

impl Board {
    /// When the item that `incarnation` has in hand at `place` is overdue, if it has a limit and is not condemned.
    #[must_use]
    pub fn deadline(&self, place: usize, incarnation: u32) -> Option<u64> {
        let row = self.rows.get(place)?;
        // SeqCst: the second half of the pair, so no other load comes before it.
        let word = row.clock.load(SeqCst);
        // Acquire: pairs with the Release in `Claimer::new`, which clears the clock: a word of the one before cannot be condemned.
        let is_its = row.incarnation.load(Acquire) == incarnation;
        (is_its && word != 0 && word < CONDEMNED).then_some(word)
    }

    /// How long the item at `place` may take whose clock was seen to run; only a hint if it has ended since.
    #[must_use]
    pub fn limit(&self, place: usize) -> u64 {
        self.rows.get(place).map_or(0, |row| row.limit.load(Relaxed))
    }

    /// Condemns the item that is overdue at `deadline`; `false` when it has ended in time. Its claimer gets no further and has to
    /// be killed.
    #[must_use]
    pub fn condemn(&self, place: usize, deadline: u64) -> bool {
        let Some(row) = self.rows.get(place) else { return false };
        let condemned = row.clock.compare_exchange(deadline, deadline | CONDEMNED, SeqCst, Relaxed);
        if condemned.is_ok() {
            self.header.alarm.overruns.fetch_add(1, SeqCst);
        }
        condemned.is_ok()
    }

    /// Says when the watcher will look at the clocks again; 0: not before somebody rings. It has to look once more after this.
    pub fn set_alarm(&self, at: u64) {
        self.header.alarm.at.store(at, SeqCst);
    }

    /// How many items were condemned, ever.
    #[inline]
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.header.alarm.overruns.load(SeqCst)
    }
}
