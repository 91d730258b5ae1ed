//! Chunks that only the claimer at one place may take.
//!
//! They are not counted among the publications, which all claimers look at: each row has a ring of
//! its own that names the slots that target its place. So no other claimer looks at such a slot,
//! and its claimer finds it at its next free moment, however many others were published since, and
//! in the order of publication.
//!
//! Invariant: the ring is a hint, the slot's word and audience are the truth. A search of all slots
//! finds an entry that was overwritten before its claimer looked.

use super::{
    claimer::{Claim, Claimer},
    layout::{Slot, TARGETED},
    table::Board,
    word::{SlotIndex, State, Word},
};
use crate::primitive::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    wait,
};

impl Board {
    /// With no more chunks READY for one place at a time its claimer need not search for them,
    /// since its row names them all.
    pub const MOST_TARGETED: usize = TARGETED - 1;

    /// Tells the claimer at `place` of a slot that is READY for it; returns whether it sleeps.
    pub(super) fn target(&self, place: u32, slot: SlotIndex) -> bool {
        // A place that the board does not have has no claimer either.
        let Some(row) = self.rows.get(place as usize) else { return false };
        let orders = &row.orders;
        // (Only the publisher counts.)
        let targeted = orders.targeted.load(Relaxed);
        // Release: a claimer that reads it sees that the entry before it in this place is gone,
        // since the count says so.
        orders.ring[targeted as usize % TARGETED].store(slot.index() as u32, Release);
        // SeqCst: with the load of the sleepers, the store–load pair of `Claimer::prepare_sleep`.
        // So Release too: the entry is there.
        orders.targeted.swap(targeted.wrapping_add(1), SeqCst);
        self.sleeps(place)
    }
}

impl Claimer {
    /// Claims the next slot that targets this place.
    #[inline]
    pub(super) fn claim_targeted(&mut self) -> Option<Claim> {
        if self.unanswered() == 0 { None } else { self.claim_next_targeted() }
    }

    /// How many slots that target this place the claimer has not looked at.
    pub(super) fn unanswered(&self) -> usize {
        // Acquire: pairs with the swap in `target`. A claimer that goes to sleep asks once more,
        // see `has_news`.
        let targeted = self.row().orders.targeted.load(Acquire);
        targeted.wrapping_sub(self.answered) as usize
    }

    #[cold]
    fn claim_next_targeted(&mut self) -> Option<Claim> {
        let ring = &self.row().orders.ring;
        while (1..TARGETED).contains(&self.unanswered()) {
            // Acquire: pairs with the Release in `target`: a claimer that reads an entry that was
            // overwritten sees below that it was.
            let slot = ring[self.answered as usize % TARGETED].load(Acquire) as usize;
            if self.unanswered() >= TARGETED {
                break;
            }
            self.answered = self.answered.wrapping_add(1);
            if let Some(claim) = self.claim_at(slot) {
                return Some(claim);
            }
        }
        let unanswered = self.unanswered() as u32;
        if unanswered == 0 {
            return None;
        }
        let found = self.search_targeted(|_| true);
        if found.is_none() {
            self.answered = self.answered.wrapping_add(unanswered);
        }
        found
    }

    /// Claims the chunk that lets go of the result that this claimer keeps in hand; if it is not
    /// there yet, sleeps until it is woken. Nothing else is claimed, and nothing is passed over
    /// by that; an order to leave comes after it.
    pub fn wait_for_kept(&mut self) -> Option<Claim> {
        let orders = &self.row().orders;
        let before = orders.wake_count.load(SeqCst);
        self.board().set_sleeper(self.place());
        // SeqCst: with the bit just set the store–load pair of `publish`; what it counted is READY
        // here.
        let _ = orders.targeted.load(SeqCst);
        let claim = self.search_targeted(|cell| cell.description().in_hand);
        if claim.is_none() {
            wait(&orders.wake_count, before);
        }
        self.board().clear_sleeper(self.place());
        claim
    }

    /// Searches all slots for one that targets this place and satisfies `which`.
    fn search_targeted(&self, which: impl Fn(&Slot) -> bool) -> Option<Claim> {
        let mut slots = self.board().slots.iter().enumerate();
        slots.find_map(|(slot, cell)| {
            // Acquire: pairs with the Release in `publish`. Only this place's own claimer can claim
            // the slot, so what is read here is still true when it does.
            let is_ready = Word::unpack(cell.word.load(Acquire))
                .is_some_and(|word| word.state == State::Ready);
            if !is_ready || cell.audience().place != Some(self.place()) || !which(cell) {
                return None;
            }
            self.try_claim(cell).map(|generation| Claim::new(SlotIndex::new(slot), generation))
        })
    }
}
