//! The claimer's side: one worker at one place of the board.

use std::time::Duration;

use super::{
    layout::{Row, Slot},
    slot::{Audience, Description, End, Progress, RESULT_MANIFEST},
    table::Board,
    word::{Incarnation, MAX_INCARNATION, SlotIndex, State, Word, incarnation_of},
};
use crate::{
    Manifest,
    primitive::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        prefetch_for_reading, prefetch_for_writing, wait, wait_for,
    },
};

/// One incarnation at its place.
#[derive(Debug)]
pub struct Claimer {
    board: Board,
    place: u32,
    incarnation: Incarnation,
    /// The number of this claimer among all that there were: names are used again, serial numbers
    /// are not.
    serial: u64,
    /// Where a search through all slots begins: behind the slot claimed last.
    hint: usize,
    /// How many publications this claimer has looked at, or knows to be others'.
    seen: u64,
    /// The count of publications when this claimer read it last, and when it did so before.
    known: u64,
    known_before: u64,
    /// Claims until all slots are searched although there are new publications.
    until_search: u32,
    /// Publications were skipped that may still be ready: only a search finds them.
    skipped: bool,
    /// How many slots that target this place this claimer has looked at.
    pub(super) answered: u32,
    /// Whether chunks that target this place have their turn before chunks for any claimer.
    targeted_first: bool,
    /// How many chunks that go first this claimer has looked at.
    pub(super) first_seen: u64,
    /// Whether the last claim was one of those.
    pub(super) had_first: bool,
}

/// A claimer that is behind by more than this asks how far the others are.
const FAR_BEHIND: u64 = 16;
/// How often claimers say how far they are: in publications, a power of two.
const SAY_EVERY: u64 = 8;
/// Claims between two searches through all slots.
const SEARCH_EVERY: u32 = 64;

/// A chunk in hand: its slot, and the slot's generation.
#[derive(Debug)]
pub struct Claim {
    slot: SlotIndex,
    generation: u32,
}

impl Claimer {
    /// Takes the place: writes `pid` and `incarnation` to its row. Its serial number is the one
    /// that [`Board::expect`] was told, if that has this name, and otherwise the name.
    ///
    /// # Panics
    ///
    /// When the board has no such place, or the incarnation is 0 or does not fit into 28 bits.
    #[must_use]
    pub fn new(board: Board, place: u32, incarnation: Incarnation, pid: u32) -> Self {
        assert!((1..=MAX_INCARNATION).contains(&incarnation.number()), "incarnations have 28 bits");
        let row = &board.rows[place as usize];
        row.pid.store(pid, Relaxed);
        row.stage.store(0, Relaxed);
        row.clock.store(0, Relaxed);
        row.refused.store(0, Relaxed);
        row.overflowed.store(0, Relaxed);
        // The slots that earlier claimers left are among the last ones.
        let targeted = row.orders.targeted.load(Acquire);
        let named = Board::MOST_TARGETED as u32;
        let answered = if targeted == 0 { 0 } else { targeted.wrapping_sub(named) };
        // Release: pairs with the Acquire in `Board::occupant`.
        row.incarnation.store(incarnation.number(), Release);
        // Relaxed: written before the order to start this process.
        let serial = row.orders.serial.load(Relaxed);
        let is_its = serial != 0 && incarnation_of(serial) == incarnation;
        let serial = if is_its { serial } else { u64::from(incarnation.number()) };
        let hint = place as usize % board.slots.len();
        Self {
            board,
            place,
            incarnation,
            serial,
            hint,
            seen: 0,
            known: 0,
            known_before: 0,
            until_search: 0,
            skipped: false,
            answered,
            targeted_first: true,
            first_seen: 0,
            had_first: false,
        }
    }

    /// Writes its stage, before it is ready to claim, to its row; 0, which is also the initial
    /// value: it is ready.
    pub fn set_stage(&self, stage: u32) {
        // Relaxed: read when this claimer is dead.
        self.row().stage.store(stage, Relaxed);
    }

    /// The place on the board.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place
    }

    /// The incarnation that slots name as their owner.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) fn row(&self) -> &'static Row {
        &self.board.rows[self.place as usize]
    }

    /// The board.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Claims a ready slot, if there is one for this claimer among those that it has not looked at:
    /// by turns one that is for it alone and one that is for any claimer, so that neither kind
    /// waits for the other; of the latter by turns one that goes first and the one that was
    /// published first.
    ///
    /// Looks at the slots in the order in which they were published, each publication once, and now
    /// and then at all of them. `None` says that none is left; only a slot for which a wake-up was
    /// lost with a dead claimer is left to [`Claimer::search`].
    #[inline]
    pub fn claim(&mut self) -> Option<Claim> {
        if self.targeted_first
            && let Some(claim) = self.claim_targeted()
        {
            self.targeted_first = false;
            return Some(claim);
        }
        self.targeted_first = true;
        if let Some(claim) = self.claim_first() {
            return Some(claim);
        }
        self.claim_any().or_else(|| self.claim_targeted())
    }

    #[inline]
    fn claim_any(&mut self) -> Option<Claim> {
        loop {
            if self.seen == self.known && !self.read_published() {
                return if self.skipped { self.search() } else { None };
            }
            let slots = self.board.slots.len() as u64;
            let mut behind = self.known.wrapping_sub(self.seen);
            if behind > slots {
                // Entries published more than a round ago are overwritten.
                (self.seen, self.skipped) = (self.known.wrapping_sub(slots), true);
                behind = slots;
            }
            if self.until_search == 0 {
                let found = self.search();
                if found.is_none() {
                    self.seen = self.known;
                }
                return found;
            }
            if behind > FAR_BEHIND {
                // Only a hint: a search finds a slot that is skipped although no claimer has it.
                let claimed = self.board.header.claimed.load(Relaxed);
                if self.known.wrapping_sub(claimed) < behind {
                    (self.seen, self.skipped) = (claimed, true);
                    behind = self.known.wrapping_sub(claimed);
                }
            }
            if behind == 1 {
                self.expect_claim();
            }
            let order = self.board.publications();
            for _ in 0..behind {
                let at = self.seen;
                self.seen = at.wrapping_add(1);
                // Acquire: pairs with the Release in `publish`: a claimer that reads an entry that
                // was overwritten learns below that it was.
                let index = order[(at % slots) as usize].load(Acquire) as usize;
                if let Some(claim) = self.claim_at(index) {
                    self.until_search -= 1;
                    if at.is_multiple_of(SAY_EVERY) {
                        self.board.header.claimed.store(at, Relaxed);
                    }
                    return Some(claim);
                }
            }
        }
    }

    /// Fetches the lines of the slot that was probably published last, since a claim will need all
    /// of it: slots come in turn, so it can be guessed.
    #[inline]
    pub fn expect_claim(&self) {
        let order = self.board.publications();
        prefetch_for_reading(&raw const order[(self.seen % order.len() as u64) as usize]);
        let cell = &self.board.slots[self.hint];
        prefetch_for_writing(&raw const cell.word);
        prefetch_for_reading(&raw const cell.signature);
        prefetch_for_writing(&raw const cell.progress);
        prefetch_for_writing(self.next_entry());
    }

    /// Reads how many publications there are, once all known ones are looked at; returns whether
    /// there are more.
    #[inline]
    fn read_published(&mut self) -> bool {
        // SeqCst: a claimer that goes to sleep compares it once more after it set its bit.
        let published = self.board.header.published.load(SeqCst);
        if published == self.known {
            return false;
        }
        // A round since the look began: an entry may have been overwritten before it was read.
        self.skipped |= published.wrapping_sub(self.known_before) >= self.board.slots.len() as u64;
        (self.known_before, self.known) = (self.known, published);
        true
    }

    /// Claims a ready slot, wherever it is.
    pub fn search(&mut self) -> Option<Claim> {
        self.until_search = SEARCH_EVERY;
        let slots = self.board.slots.len();
        let found = (0..slots).find_map(|step| self.claim_found((self.hint + step) % slots));
        self.skipped &= found.is_some();
        found
    }

    /// Claims a slot that a search came by. A slot for this place alone is left to its order as
    /// long as the row names such slots.
    fn claim_found(&mut self, index: usize) -> Option<Claim> {
        let cell = self.board.slots.get(index)?;
        // Acquire: pairs with the Release in `publish`: a claimer that sees a later one READY sees
        // the earlier ones counted.
        let word = Word::unpack(cell.word.load(Acquire))?;
        let is_named = || cell.audience().place.is_some() && self.unanswered() > 0;
        if word.state != State::Ready || is_named() { None } else { self.claim_at(index) }
    }

    #[inline]
    pub(super) fn claim_at(&mut self, index: usize) -> Option<Claim> {
        let cell = self.board.slots.get(index)?;
        let generation = self.try_claim(cell)?;
        self.hint = (index + 1) % self.board.slots.len();
        Some(Claim { slot: SlotIndex::new(index), generation })
    }

    #[inline]
    pub(super) fn try_claim(&self, cell: &Slot) -> Option<u32> {
        // Acquire: pairs with the Release in `publish`; the audience belongs to this generation.
        let word = Word::unpack(cell.word.load(Acquire))?;
        if word.state != State::Ready
            || !Audience::admits(cell.audience.load(Relaxed), self.place, self.serial)
        {
            return None;
        }
        let claimed = Word::claimed(word.generation, self.incarnation).pack();
        // Acquire: pairs with the Release in `publish`; the description is complete. Release on the
        // way out is not needed: nothing was written yet.
        cell.word.compare_exchange(word.pack(), claimed, Acquire, Relaxed).ok()?;
        Some(word.generation)
    }

    /// Whether the publisher asked this incarnation to end.
    #[must_use]
    pub fn asked_to_leave(&self) -> bool {
        self.row().orders.leave.load(SeqCst) == self.incarnation.number()
    }

    /// Whether something was published that this claimer has not looked at, or the order to leave
    /// came.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.seen != self.board.header.published.load(SeqCst)
            || self.answered != self.row().orders.targeted.load(SeqCst)
            || self.asked_to_leave()
    }

    /// Announces that this claimer is about to sleep; `None` when there is news after all,
    /// otherwise the wake count to sleep on, and whether the publisher has to be woken since
    /// it has more.
    pub fn prepare_sleep(&mut self) -> Option<(u32, bool)> {
        let wake_count = self.wake_count();
        self.board.set_sleeper(self.place);
        if self.has_news() {
            self.board.clear_sleeper(self.place);
            return None;
        }
        Some((wake_count, self.board.take_publisher_wake()))
    }

    /// Sleeps like [`Claimer::sleep`], but not longer than `limit`, and afterwards counts as asleep
    /// still; returns whether the wake count has moved on. Whatever it returns, call `sleep` next:
    /// that comes back at once if it has.
    pub fn nap(&self, wake_count: u32, limit: Duration) -> bool {
        wait_for(&self.row().orders.wake_count, wake_count, limit);
        self.wake_count() != wake_count
    }

    /// Sleeps until the wake count has moved on from `wake_count`, then is awake again. It may have
    /// been woken for a slot that a dead claimer had passed by: the next look is a
    /// [`Claimer::search`].
    pub fn sleep(&mut self, wake_count: u32) {
        wait(&self.row().orders.wake_count, wake_count);
        self.board.clear_sleeper(self.place);
    }
}

impl Claim {
    pub(super) fn new(slot: SlotIndex, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot, within the board.
    #[must_use]
    pub fn slot(&self) -> SlotIndex {
        self.slot
    }

    /// The slot's generation while this claim holds it.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }
}

impl Claimer {
    /// The publisher's description of the chunk.
    #[must_use]
    pub fn description(&self, claim: &Claim) -> Description {
        self.cell(claim).description()
    }

    /// Writes how far the items have come.
    #[inline]
    pub fn set_progress(&self, claim: &Claim, progress: Progress) {
        self.cell(claim).set_progress(claim.generation, progress);
    }

    /// Writes where in the claimer's arena the results begin, and which segments their handles
    /// need. Call it before the progress that counts those results.
    pub fn set_results(&self, claim: &Claim, offset: u64, manifest: Option<Manifest>) {
        let cell = self.cell(claim);
        let flag = match manifest {
            Some(manifest) => {
                cell.result_manifest.store(manifest.pack(), Relaxed);
                RESULT_MANIFEST
            }
            None => 0,
        };
        cell.results.store(offset | flag, Relaxed);
    }

    /// Whether the publisher asked to stop between two items.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self, claim: &Claim) -> bool {
        self.cell(claim).cancelled.load(Relaxed) != 0
    }

    /// Hands the chunk back as done; returns whether the publisher has to be woken. `None`: the
    /// publisher has seized the chunk, and this claimer must end now, without another word on the
    /// board.
    ///
    /// `failure` is the offset and length of an encoded failure in the claimer's arena.
    ///
    /// # Panics
    ///
    /// When the slot is not this claim's any more: a process scribbled over the board.
    #[must_use]
    pub fn report(&self, claim: Claim, end: End, nanos: u64, failure: (u64, u64)) -> Option<bool> {
        let cell = self.cell(&claim);
        cell.end.store(end as u64, Relaxed);
        cell.nanos.store(nanos, Relaxed);
        cell.failure.store(failure.0, Relaxed);
        cell.failure_len.store(failure.1, Relaxed);
        let claimed = Word::claimed(claim.generation, self.incarnation).pack();
        let done = Word::done(claim.generation, self.incarnation).pack();
        // Release: pairs with the Acquire in `Board::slot_state`; the account is complete.
        if let Err(found) = cell.word.compare_exchange(claimed, done, Release, Relaxed) {
            let seized = Word::seized(claim.generation, self.incarnation).pack();
            assert_eq!(found, seized, "a claimed slot moves only by its claimer, or is seized");
            return None;
        }
        let row = self.row();
        let count = row.finished.load(Relaxed);
        self.next_entry().store(claim.slot.index() as u32, Relaxed);
        // SeqCst (so Release): pairs with the Acquire in `next_finished`, and with the load of the
        // publisher's state that follows it is the store–load pair of `publisher_sleeps`.
        row.finished.swap(count.wrapping_add(1), SeqCst);
        Some(self.board.count_finished(end != End::Complete))
    }

    /// Where the next finished slot is named.
    #[inline]
    fn next_entry(&self) -> &AtomicU32 {
        let ring = self.board.ring(self.place as usize);
        // Relaxed: only this claimer counts.
        &ring[(self.row().finished.load(Relaxed) % ring.len() as u64) as usize]
    }

    #[inline]
    pub(super) fn cell(&self, claim: &Claim) -> &'static Slot {
        &self.board.slots[claim.slot.index()]
    }
}

impl Board {
    /// Whether the slot has moved on from `generation`: its results were read, their block is free.
    #[inline]
    #[must_use]
    pub fn was_released(&self, slot: SlotIndex, generation: u32) -> bool {
        // Acquire: pairs with the Release in `Board::release`.
        (self.slots[slot.index()].word.load(Acquire) >> 32) as u32 != generation
    }
}
