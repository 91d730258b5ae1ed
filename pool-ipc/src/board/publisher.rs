//! The publisher's side: the parent, one thread at a time.

use super::{
    layout::Slot,
    slot::{Description, Outcome},
    table::Board,
    word::{Incarnation, SlotIndex, State, Word},
};
use crate::primitive::{
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    prefetch_for_reading, prefetch_for_writing,
};

/// The state of a slot, as the publisher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Nothing is published.
    Free,
    /// Published, not yet claimed.
    Ready,
    /// Claimed by the incarnation, or seized from it.
    Claimed(Incarnation),
    /// Finished by the incarnation.
    Done(Incarnation),
    /// Not a word of ours: a process scribbled over the board.
    Unknown,
}

/// How far a claimer is with a chunk that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// The claimer.
    pub claimer: Incarnation,
    /// Items of the chunk whose results are complete.
    pub finished: u32,
    /// Steps of the item in hand that are done, and how many there are, if its task says so.
    pub steps: Option<(u64, u64)>,
}

/// A slot that a claimer reported as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The slot, within the board.
    pub slot: SlotIndex,
    /// The incarnation whose arena holds the results.
    pub incarnation: Incarnation,
}

impl Board {
    /// Publishes a chunk in a free slot; returns whether a claimer should be woken.
    ///
    /// The audience decides which claimers to wake: any one by [`Board::wake`]; for a chunk that
    /// only one place may claim, that one by [`Board::wake_place`] (`true`: it sleeps); for a chunk
    /// with a `min_serial` all of them.
    ///
    /// The publisher has freed the slot or never used it: its own records say so.
    #[inline]
    pub fn publish(&self, slot: SlotIndex, description: &Description) -> bool {
        self.publish_one(slot, description).unwrap_or_else(|| self.announce())
    }

    /// Publishes one of several chunks, which awake claimers may find at once. `None`: whether one
    /// should be woken is for [`Board::announce`] to say, once for all of them; `Some`: a chunk
    /// that only one place may claim, and whether that one should be woken.
    ///
    /// The atomic exchange in [`Board::announce`] waits for a cache line that the claimers read all
    /// the time.
    #[inline]
    pub fn publish_one(&self, slot: SlotIndex, description: &Description) -> Option<bool> {
        let cell = &self.slots[slot.index()];
        // Whatever a scribbled word says, the slot is the publisher's; only the generation matters.
        let generation = (cell.word.load(Acquire) >> 32) as u32;
        cell.describe(description);
        // Release: pairs with the Acquire in `claim`; hands the description over.
        cell.word.store(Word::ready(generation).pack(), Release);
        if let Some(place) = description.audience.place {
            return Some(self.target(place, slot));
        }
        let order = self.publications();
        let published = self.published.load(Relaxed);
        self.published.store(published.wrapping_add(1), Relaxed);
        // Release: a claimer that reads it in place of the one before it sees by the count that
        // this one is gone.
        order[(published % order.len() as u64) as usize].store(slot.index() as u32, Release);
        // (Only the publisher counts.) Release: the entry above is there.
        self.header.published.store(published.wrapping_add(1), Release);
        None
    }

    /// Returns whether a claimer should be woken for what [`Board::publish_one`] has published:
    /// any one.
    #[inline]
    #[must_use]
    pub fn announce(&self) -> bool {
        // SeqCst: with the load of the sleepers, the store–load pair of `Claimer::prepare_sleep`.
        // (The count itself has been stored before.)
        self.header.published.swap(self.published.load(Relaxed), SeqCst);
        self.any_sleeper()
    }

    /// Fetches the lines of `slot`, in which a chunk is to be published soon.
    #[inline]
    pub fn expect_publication(&self, slot: SlotIndex) {
        let cell = &self.slots[slot.index()];
        prefetch_for_writing(&raw const cell.word);
        prefetch_for_reading(&raw const cell.signature);
        let order = self.publications();
        let published = self.published.load(Relaxed);
        prefetch_for_writing(&raw const order[(published % order.len() as u64) as usize]);
    }

    /// Fetches the lines that say which slots were finished since the `cursors` of the places, and
    /// those of `slot`, which is probably one of them.
    #[inline]
    pub fn expect_outcomes(&self, cursors: &[u64], slot: SlotIndex) {
        for (place, cursor) in cursors.iter().enumerate() {
            if self.finished_since(place, *cursor) > 0 {
                let ring = self.ring(place);
                prefetch_for_reading(&raw const ring[(*cursor % ring.len() as u64) as usize]);
            }
        }
        let cell = &self.slots[slot.index()];
        prefetch_for_reading(&raw const cell.progress);
        prefetch_for_writing(&raw const cell.word);
    }

    /// Takes a chunk back that no claimer has claimed; `false` when one has.
    pub fn take_back(&self, slot: SlotIndex) -> bool {
        let cell = &self.slots[slot.index()];
        let Some(word) = self.word(cell).filter(|word| word.state == State::Ready) else {
            return false;
        };
        // Acquire: pairs with nothing, since the description is ours; Relaxed would do, and costs
        // the same. Only the exchange itself is contended.
        let freed = Word::freed(word.generation).pack();
        cell.word.compare_exchange(word.pack(), freed, Acquire, Relaxed).is_ok()
    }

    /// Seizes the chunk that `incarnation` has claimed, or will claim since it keeps a result of it
    /// in hand; `false` when it has finished that chunk. The claimer gets no further, and has to be
    /// killed.
    #[must_use]
    pub fn seize(&self, slot: SlotIndex, incarnation: Incarnation) -> bool {
        let cell = &self.slots[slot.index()];
        while let Some(word) = self.word(cell) {
            let is_its = match word.state {
                State::Ready => true,
                State::Claimed | State::Seized => word.owner == incarnation,
                State::Free | State::Done => false,
            };
            if !is_its {
                return false;
            }
            let seized = Word::seized(word.generation, incarnation).pack();
            // Relaxed: only the exchange itself is contended, with the one in `Claimer::report`.
            if cell.word.compare_exchange(word.pack(), seized, Relaxed, Relaxed).is_ok() {
                return true;
            }
        }
        false
    }

    /// The slot's generation, and the incarnation that has claimed the chunk in it. `None` when the
    /// chunk is not claimed, or was finished or seized.
    #[must_use]
    pub fn claim_of(&self, slot: SlotIndex) -> Option<(u32, Incarnation)> {
        let word = self.word(self.slots.get(slot.index())?)?;
        (word.state == State::Claimed).then_some((word.generation, word.owner))
    }

    /// How far the claimer of the slot is with the chunk, while it has it.
    #[must_use]
    pub fn under_way(&self, slot: SlotIndex) -> Option<UnderWay> {
        let (generation, claimer) = self.claim_of(slot)?;
        let cell = &self.slots[slot.index()];
        let progress = cell.outcome(generation).progress;
        let at = u64::from(generation) << 32
            | u64::from(progress.finished) << 1
            | u64::from(progress.begun);
        let is_of_item = progress.begun && cell.steps_at.load(Relaxed) == at;
        let steps = (cell.steps_done.load(Relaxed), cell.steps_total.load(Relaxed));
        let steps = is_of_item.then_some(steps);
        Some(UnderWay { claimer, finished: progress.finished, steps })
    }

    /// Whether `incarnation` has the slot in that generation, claimed or seized from it.
    #[must_use]
    pub fn is_held(&self, slot: SlotIndex, generation: u32, incarnation: Incarnation) -> bool {
        self.slots.get(slot.index()).and_then(|cell| self.word(cell)).is_some_and(|word| {
            matches!(word.state, State::Claimed | State::Seized)
                && (word.generation, word.owner) == (generation, incarnation)
        })
    }

    /// Seizes the very chunk that [`Board::claim_of`] named; `false` when it has ended since, or
    /// was seized. Its claimer gets no further, and has to be killed.
    ///
    /// Unlike the publisher's other functions, this one may be called by any process: the slot
    /// moves only from that claim of that generation, never from a later one.
    #[must_use]
    pub fn seize_claim(&self, slot: SlotIndex, generation: u32, incarnation: Incarnation) -> bool {
        let Some(cell) = self.slots.get(slot.index()) else { return false };
        let claimed = Word::claimed(generation, incarnation).pack();
        let seized = Word::seized(generation, incarnation).pack();
        // Relaxed: only the exchange itself is contended, with the one in `Claimer::report`.
        cell.word.compare_exchange(claimed, seized, Relaxed, Relaxed).is_ok()
    }

    /// Frees a slot whose results were read, or whose claimer was reaped.
    ///
    /// Only the caller moves such a slot: DONE is the publisher's, and the claimer of a CLAIMED one
    /// does not live any more.
    #[inline]
    pub fn release(&self, slot: SlotIndex) {
        let cell = &self.slots[slot.index()];
        // Relaxed: the word is the caller's, see above.
        let generation = (cell.word.load(Relaxed) >> 32) as u32;
        // Release: pairs with the Acquire in `Claimer::was_released`: what was read of the results
        // was read before their block is used again.
        cell.word.store(Word::freed(generation).pack(), Release);
    }

    /// The state that the slot's word names.
    #[must_use]
    #[inline]
    pub fn slot_state(&self, slot: SlotIndex) -> SlotState {
        match self.word(&self.slots[slot.index()]) {
            None => SlotState::Unknown,
            Some(word) => match word.state {
                State::Free => SlotState::Free,
                State::Ready => SlotState::Ready,
                State::Claimed | State::Seized => SlotState::Claimed(word.owner),
                State::Done => SlotState::Done(word.owner),
            },
        }
    }

    /// The claimer's account of the chunk in a slot that is done, or whose claimer was reaped.
    ///
    /// While the slot is claimed, by the living or the dead, only `progress` counts, and `results`
    /// if any item is finished; the rest may be left from an earlier chunk.
    #[must_use]
    #[inline]
    pub fn outcome(&self, slot: SlotIndex) -> Outcome {
        let cell = &self.slots[slot.index()];
        cell.outcome((cell.word.load(Acquire) >> 32) as u32)
    }

    /// Asks the claimer of `slot` to stop between two items.
    pub fn cancel(&self, slot: SlotIndex) {
        self.slots[slot.index()].cancelled.store(1, Relaxed);
    }

    /// The next slot that the claimer at `place` finished since `cursor`, which moves on; entries
    /// that name no finished slot are passed over.
    ///
    /// The ring is a hint, the slot's word is the truth: a slot that was released and published
    /// again without asking here may be named by two places.
    #[inline]
    pub fn next_finished(&self, place: usize, cursor: &mut u64) -> Option<Finished> {
        // SeqCst (so Acquire): pairs with the swap in `Claimer::report`; the ring's entries are
        // there. And it is the publisher's second look, so the load of the pair of
        // `publisher_sleeps`.
        let count = self.rows[place].finished.load(SeqCst);
        let ring = self.ring(place);
        while *cursor != count {
            if count.wrapping_sub(*cursor) > ring.len() as u64 {
                *cursor = count.wrapping_sub(ring.len() as u64); // scribbled over: stay bounded
            }
            let entry = ring[(*cursor % ring.len() as u64) as usize].load(Relaxed) as usize;
            *cursor = cursor.wrapping_add(1);
            if entry < self.slots.len()
                && let SlotState::Done(incarnation) = self.slot_state(SlotIndex::new(entry))
            {
                return Some(Finished { slot: SlotIndex::new(entry), incarnation });
            }
        }
        None
    }

    /// How many slots the claimer at `place` finished since `cursor`.
    #[must_use]
    #[inline]
    pub fn finished_since(&self, place: usize, cursor: u64) -> u64 {
        self.rows[place].finished.load(SeqCst).wrapping_sub(cursor)
    }

    /// The count of finished slots of `place`: where a cursor starts.
    #[must_use]
    pub fn finished_count(&self, place: usize) -> u64 {
        // Acquire: pairs with the swap in `Claimer::report`; for what is counted the words say
        // DONE.
        self.rows[place].finished.load(Acquire)
    }

    /// Asks `incarnation` at `place` to end after its chunk in hand; 0 takes that back. If it
    /// sleeps, [`Board::wake_place`] must follow.
    pub fn ask_to_leave(&self, place: usize, incarnation: Incarnation) {
        // SeqCst: pairs with the load in `asked_to_leave`. For a claimer about to sleep Release
        // would do: `wake_place` and `prepare_sleep` both exchange the word of its bit, one after
        // the other.
        self.rows[place].orders.leave.store(incarnation.number(), SeqCst);
    }

    /// Announces the next claimer of the vacant `place` by its serial number, and clears what the
    /// row says of an older one, which may have had the same name. Call it before the claimer is
    /// started, and before it is asked to leave.
    pub fn expect(&self, place: usize, serial: u64) {
        let row = &self.rows[place];
        row.orders.leave.store(0, SeqCst);
        // Relaxed, both: the claimer is started later, by an order.
        row.incarnation.store(0, Relaxed);
        row.orders.serial.store(serial, Relaxed);
    }

    /// Whether the claimer at `place` was asked to end.
    #[must_use]
    pub fn leaves(&self, place: usize) -> bool {
        let row = &self.rows[place];
        let asked = row.orders.leave.load(SeqCst);
        asked != 0 && asked == row.incarnation.load(Acquire)
    }

    /// The process id and incarnation that the claimer at `place` wrote when it was born.
    #[must_use]
    pub fn occupant(&self, place: usize) -> (u32, Incarnation) {
        let row = &self.rows[place];
        // Acquire: pairs with the Release in `Claimer::new`.
        let incarnation = Incarnation::new(row.incarnation.load(Acquire));
        (row.pid.load(Relaxed), incarnation)
    }

    /// The last stage of the claimer at `place`; 0: it is ready. Call it when the claimer is dead.
    #[must_use]
    pub fn stage(&self, place: usize) -> u32 {
        self.rows[place].stage.load(Relaxed)
    }

    /// Notes down that the system has refused memory to the claimer at `place`, which is about to
    /// end because of that. May be called in a signal handler.
    pub fn note_refusal(&self, place: usize) {
        if let Some(row) = self.rows.get(place) {
            row.refused.store(1, Relaxed);
        }
    }

    /// Whether the claimer at `place` was refused memory. Call it when it is dead.
    #[must_use]
    pub fn was_refused(&self, place: usize) -> bool {
        self.rows[place].refused.load(Relaxed) != 0
    }

    /// Notes down that the stack of the claimer at `place` has overflowed, which is about to end
    /// because of that. May be called in a signal handler.
    pub fn note_overflow(&self, place: usize) {
        if let Some(row) = self.rows.get(place) {
            row.overflowed.store(1, Relaxed);
        }
    }

    /// Whether the stack of the claimer at `place` has overflowed. Call it when it is dead.
    #[must_use]
    pub fn has_overflowed(&self, place: usize) -> bool {
        self.rows[place].overflowed.load(Relaxed) != 0
    }

    #[inline]
    fn word(&self, cell: &Slot) -> Option<Word> {
        // Acquire: pairs with the exchange in `Claimer::report`; the account is complete.
        Word::unpack(cell.word.load(Acquire))
    }
}
