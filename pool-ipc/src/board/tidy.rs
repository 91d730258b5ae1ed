//! How a claimer learns that what it keeps is not needed any more: segments of results that were read, and segments that it keeps in
//! case they come again.
//!
//! Invariant: a claimer that reads the count, then looks what it may let go, and sleeps only as long as its bell is what it was
//! before, misses nothing. Both counts go up, then the sleeper is woken.

use super::{claimer::Claimer, table::Board};
use crate::primitive::Ordering::SeqCst;

impl Board {
    /// Asks the claimer at `place` to see what it need not keep.
    pub fn ask_to_tidy(&self, place: usize) {
        if let Some(row) = self.rows.get(place) {
            row.orders.0.tidy.fetch_add(1, SeqCst);
            self.ring_bell(place);
        }
    }

    /// Asks all claimers that keep segments.
    pub fn ask_keepers_to_tidy(&self) {
        for (place, row) in self.rows.iter().enumerate() {
            // SeqCst: the message that made a claimer keep the segment ended before it was let go here.
            if row.keeps.load(SeqCst) != 0 {
                self.ask_to_tidy(place);
            }
        }
    }
}

impl Claimer {
    /// How often this claimer's place was asked to tidy.
    #[inline]
    #[must_use]
    pub fn asked_to_tidy(&self) -> u32 {
        self.row().orders.0.tidy.load(SeqCst)
    }

    /// Says whether this claimer keeps segments.
    pub fn set_keeps(&self, keeps: bool) {
        self.row().keeps.store(u32::from(keeps), SeqCst);
    }

    /// What the bell is at, for [`sleep`](Claimer::sleep): whatever is asked from now on ends that sleep.
    #[must_use]
    pub fn bell(&self) -> u32 {
        self.row().orders.0.bell.load(SeqCst)
    }
}
