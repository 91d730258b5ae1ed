//! The last words of a claimer that ends: where in its arena they lie.
//!
//! Invariant: a claimer writes them once, then says by its stage that they are there, and ends;
//! they are read when it is dead.

use super::{claimer::Claimer, table::Board};
use crate::primitive::Ordering::Relaxed;

/// Where a claimer's last words lie in its arena, as it says: unchecked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastWords {
    /// Where they begin.
    pub offset: u64,
    /// How many bytes they are.
    pub len: u64,
    /// How many identities of segments follow them, from the next multiple of 16 on.
    pub segments: u64,
}

impl Claimer {
    /// Writes where its last words lie. The claimer sets the stage that says so afterwards.
    pub fn set_last_words(&self, words: LastWords) {
        let row = self.row();
        // Relaxed: read when this claimer is dead.
        row.last_words.store(words.offset, Relaxed);
        row.last_words_len.store(words.len, Relaxed);
        row.last_words_segments.store(words.segments, Relaxed);
    }
}

impl Board {
    /// The last words of the claimer at `place`. Call it when the claimer is dead and its stage
    /// says that there are any.
    #[must_use]
    pub fn last_words(&self, place: usize) -> LastWords {
        let row = &self.rows[place];
        LastWords {
            offset: row.last_words.load(Relaxed),
            len: row.last_words_len.load(Relaxed),
            segments: row.last_words_segments.load(Relaxed),
        }
    }
}
