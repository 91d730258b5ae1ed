//! Chunks that go before what was published earlier, and whether calls wait for a claimer.
//!
//! Invariant: both are hints that no chunk depends on. A chunk that goes first is a publication
//! like any other, and named here once more; the slot's word is the truth, so it is claimed once,
//! by either name.

use super::{
    claimer::{Claim, Claimer},
    layout::{FIRST, First},
    table::Board,
    word::{SlotIndex, State, Word},
};
use crate::primitive::Ordering::{Acquire, Relaxed, Release};

impl Board {
    /// Names a slot, just published, whose chunk goes before those published earlier. Of many such
    /// chunks at a time only the last ones go first.
    pub fn put_first(&self, slot: SlotIndex) {
        let First { count, ring, .. } = &*self.header.first;
        // Relaxed, both: the slot's generation and the count are the publisher's.
        let generation = self.slots[slot.index()].word.load(Relaxed) >> 32;
        let before = count.load(Relaxed);
        ring[(before % FIRST as u64) as usize]
            .store(generation << 32 | slot.index() as u64, Relaxed);
        // Release: pairs with the Acquire in `claim_first`; the entry is there.
        count.store(before.wrapping_add(1), Release);
    }

    /// Writes whether several calls have chunks under way, and some of those wait for a claimer.
    pub fn set_others_wait(&self, wait: bool) {
        // Relaxed: a claimer that has not seen it yet sees it an item later.
        self.header.first.others_wait.store(u32::from(wait), Relaxed);
    }
}

impl Claimer {
    /// Claims a chunk that goes first, unless the chunk before was one, so that others have their
    /// turns, too.
    #[inline]
    pub(super) fn claim_first(&mut self) -> Option<Claim> {
        let had_first = std::mem::take(&mut self.had_first);
        // Acquire: pairs with the Release in `put_first`.
        let count = self.board().header.first.count.load(Acquire);
        if had_first || count == self.first_seen { None } else { self.claim_next_first(count) }
    }

    #[cold]
    fn claim_next_first(&mut self, count: u64) -> Option<Claim> {
        if count.wrapping_sub(self.first_seen) > FIRST as u64 {
            self.first_seen = count.wrapping_sub(FIRST as u64);
        }
        while self.first_seen != count {
            // Relaxed: an entry that was overwritten names another chunk that goes first.
            let at = (self.first_seen % FIRST as u64) as usize;
            let entry = self.board().header.first.ring[at].load(Relaxed);
            self.first_seen = self.first_seen.wrapping_add(1);
            if let Some(claim) = self.claim_publication(entry as u32 as usize, (entry >> 32) as u32)
            {
                self.had_first = true;
                return Some(claim);
            }
        }
        None
    }

    /// Claims the chunk that was published in the slot in that generation, if it is still there.
    fn claim_publication(&mut self, index: usize, generation: u32) -> Option<Claim> {
        let cell = self.board().slots.get(index)?;
        // Relaxed: `claim_at` looks again, and acquires what it claims.
        let word = Word::unpack(cell.word.load(Relaxed))?;
        let is_it = word.state == State::Ready && word.generation == generation;
        if is_it { self.claim_at(index) } else { None }
    }

    /// Whether the chunk is for this place alone, whose chunks are run in the order in which they
    /// came.
    #[must_use]
    pub fn is_targeted(&self, claim: &Claim) -> bool {
        self.board().slots[claim.slot().index()].audience().place.is_some()
    }
}
