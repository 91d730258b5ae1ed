//! The words that a claimer writes and reads between two items of a chunk, for the loop that runs
//! them.
//!
//! Invariant: the words are those of the slot that the claim names, and of the header.

use super::{
    claimer::{Claim, Claimer},
    layout::Slot,
    slot::Progress,
};
use crate::primitive::{AtomicU32, Ordering::Relaxed};

/// The words of a claimed chunk that change from item to item; they are of no use once the chunk
/// was reported.
pub struct ItemMarks {
    cell: &'static Slot,
    generation: u32,
    others_wait: &'static AtomicU32,
}

impl std::fmt::Debug for ItemMarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ItemMarks").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Claimer {
    /// The words that are read and written between two items of the chunk, found once for all
    /// items.
    ///
    /// # Safety
    ///
    /// The answer is not used any more when the last clone of the board is dropped.
    #[must_use]
    pub unsafe fn item_marks(&self, claim: &Claim) -> ItemMarks {
        let others_wait = &self.board().header.first.others_wait;
        ItemMarks { cell: self.cell(claim), generation: claim.generation(), others_wait }
    }
}

impl ItemMarks {
    /// Writes how far the items have come, like [`Claimer::set_progress`].
    #[inline]
    pub fn set_progress(&self, progress: Progress) {
        self.cell.set_progress(self.generation, progress);
    }

    /// Says how many of the steps of the item in hand are done: what was said of an earlier item
    /// does not count any more.
    #[inline]
    pub fn set_steps(&self, done: u64, total: u64) {
        self.cell.steps_done.store(done, Relaxed);
        self.cell.steps_total.store(total, Relaxed);
        // Relaxed: who reads it draws a bar, which may be one report behind.
        self.cell.steps_at.store(self.cell.progress.load(Relaxed), Relaxed);
    }

    /// Whether the publisher asked to stop between two items.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cell.cancelled.load(Relaxed) != 0
    }

    /// Whether several calls have chunks under way, and some of those wait.
    #[inline]
    #[must_use]
    pub fn others_wait(&self) -> bool {
        // Relaxed: a claimer that has not seen it yet sees it an item later.
        self.others_wait.load(Relaxed) != 0
    }
}
