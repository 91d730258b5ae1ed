//! The ring of slots: bounded, many senders, many receivers, no lock.
//!
//! Messages are claimed in the order of positions, and taken in that order. What decides is the
//! word of each slot alone; `tail` and `head` only say where to begin looking, and may be behind.
//!
//! Invariant: no position is claimed before all positions ahead of it are, and none is taken before
//! all ahead of it are. So a word of a later lap proves that all is over up to its slot, and a hint
//! of any age is a valid place to begin at. A sender that ends between claim and publication leaves
//! a word that names it; any process may turn that into VOID, which receivers pass over and count.

use std::cmp;

use super::word::{Position, State, Ticket, Word};
use crate::primitive::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
};

/// The slots of a channel. Copies see the same ones.
#[derive(Clone, Copy)]
pub struct Ring {
    /// Where the next message may be claimed.
    pub(super) tail: &'static AtomicU64,
    /// Where the next message may be taken.
    pub(super) head: &'static AtomicU64,
    /// How many messages were lost with the process that had them in hand.
    pub(super) lost: &'static AtomicU64,
    /// Of each slot the word, then the payload.
    pub(super) words: &'static [AtomicU64],
    /// Words in a slot.
    pub(super) stride: usize,
    pub(super) capacity: u32,
}

/// A slot in the hands of a sender.
#[derive(Debug)]
#[must_use = "a claimed slot holds up all later ones until it is published"]
pub struct Claim(Position);

/// A receiver, as the ring sees it.
pub trait Taker {
    /// Copies the payload of a slot, to be used only if the message is taken. Returns whether the
    /// message lies in a block.
    fn copy(&mut self, payload: &'static [AtomicU64]) -> bool;

    /// Takes the block of the message that was copied last; `false` if another receiver has it.
    fn hold(&mut self) -> bool;
}

/// The slot that is in the way, as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Blocked {
    index: u32,
    seen: u64,
}

impl Blocked {
    /// The party that has the slot in hand.
    pub fn writer(self) -> Option<Ticket> {
        Word::unpack(self.seen)?.writer()
    }
}

/// The part of a word of messages in hand that counts; the rest names the process.
pub(super) const COUNT: u64 = u32::MAX as u64;

/// A word of messages in hand, but for one; `None` if there is none.
pub(super) fn one_less(in_hand: u64) -> Option<u64> {
    (in_hand & COUNT > 0).then(|| in_hand - 1)
}

impl Claim {
    /// Whether this is the last of 1024 slots, after which a sender looks around.
    pub(super) fn is_last_of_many(&self) -> bool {
        self.0.index() % 1024 == 1023
    }
}

impl Ring {
    /// Claims the next free slot for the party. Nothing but memory may be written before
    /// [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// The slot that is in the way, if the ring is full.
    #[inline]
    pub fn claim(&self, ticket: Ticket) -> Result<Claim, Blocked> {
        let mut at = self.hinted(self.tail);
        let mut blocked = Blocked { index: at.index(), seen: Word::free(0).pack() };
        for _ in 0..self.most_steps() {
            let word = self.word(at.index());
            // SeqCst: the second half of the pair with `listen` of a sender that goes to sleep; and
            // Acquire for the exchange in `take`.
            let seen = word.load(SeqCst);
            blocked = Blocked { index: at.index(), seen };
            let Some(found) = Word::unpack(seen) else { break };
            match found.compare_lap(at.lap()) {
                cmp::Ordering::Less => break,
                cmp::Ordering::Equal if found.state == State::Free => {
                    let claimed = Word::writing(at.lap(), ticket).pack();
                    // Acquire: pairs with the exchange in `take`: the payload was read before.
                    if word.compare_exchange(seen, claimed, Acquire, Relaxed).is_ok() {
                        self.advance(self.tail, at.next(self.capacity));
                        return Ok(Claim(at));
                    }
                }
                cmp::Ordering::Equal => at = at.next(self.capacity),
                cmp::Ordering::Greater => at = self.behind(found.lap, at.index()),
            }
        }
        Err(blocked)
    }

    /// The payload of a claimed slot.
    #[inline]
    #[must_use]
    pub fn payload(&self, claim: &Claim) -> &'static [AtomicU64] {
        &self.slot(claim.0.index())[1..]
    }

    /// Hands the message over to the receivers, whose sleep the caller looks at next.
    #[inline]
    pub fn publish(&self, claim: Claim) {
        // SeqCst: with the look at the sleepers that follows, the store–load pair of `listen`. And
        // Release: pairs with the load in `take`; the payload is there.
        self.word(claim.0.index()).store(Word::full(claim.0.lap()).pack(), SeqCst);
    }

    /// Takes the next message: one in a slot by the step that frees the slot, one in a block by the
    /// step to its holder, after which any receiver frees the slot. The caller looks at the sleep
    /// of senders next.
    ///
    /// # Errors
    ///
    /// The slot that is in the way: free, or in the hands of a sender.
    #[inline]
    pub fn take(&self, taker: &mut impl Taker) -> Result<(), Blocked> {
        let mut at = self.hinted(self.head);
        let mut blocked = Blocked { index: at.index(), seen: Word::free(0).pack() };
        for _ in 0..self.most_steps() {
            let slot = self.slot(at.index());
            // SeqCst: the second half of the pair with `listen` of a receiver that goes to sleep;
            // and Acquire for the store in `publish`.
            let seen = slot[0].load(SeqCst);
            blocked = Blocked { index: at.index(), seen };
            let Some(found) = Word::unpack(seen) else { break };
            match (found.compare_lap(at.lap()), found.state) {
                (cmp::Ordering::Equal, State::Full) => {
                    let in_block = taker.copy(&slot[1..]);
                    // SeqCst is stronger than needed: Acquire loads of the payload keep this load
                    // behind them, so what was copied is that of `seen`.
                    let is_mine = !in_block || slot[0].load(SeqCst) == seen && taker.hold();
                    let is_freed = self.free(at, seen);
                    if is_mine && (in_block || is_freed) {
                        return Ok(());
                    }
                }
                (cmp::Ordering::Equal, State::Void) => at = self.pass_over(at, seen),
                (cmp::Ordering::Less | cmp::Ordering::Equal, _) => break,
                (cmp::Ordering::Greater, _) => at = self.behind(found.lap, at.index()),
            }
        }
        Err(blocked)
    }

    /// Passes over a slot whose sender has ended; returns where to look next.
    fn pass_over(&self, at: Position, seen: u64) -> Position {
        if !self.free(at, seen) {
            return at;
        }
        self.count_lost(1);
        at.next(self.capacity)
    }

    /// Frees the first slot in the ring if its message was taken by a receiver that has not freed
    /// it, and may have ended: `is_taken` says so of a payload. Returns whether one was freed.
    pub fn free_if_taken(&self, is_taken: impl FnOnce(&'static [AtomicU64]) -> bool) -> bool {
        let Ok(Some((at, seen))) = self.first() else { return false };
        // The payload that was judged is that of `seen` if the exchange succeeds.
        is_taken(&self.slot(at.index())[1..]) && self.free(at, seen)
    }

    /// Frees a slot for the next lap, if its word is still `seen`: then its payload was not changed
    /// since that was loaded.
    #[inline]
    fn free(&self, at: Position, seen: u64) -> bool {
        let freed = Word::free(at.lap().wrapping_add(1)).pack();
        // SeqCst: with the look at the sleepers that follows, the store–load pair of `listen`, also
        // for a receiver of a block whose slot another one has freed. And Release: pairs with the
        // exchange in `claim`; the payload was read.
        let taken = self.word(at.index()).compare_exchange(seen, freed, SeqCst, SeqCst).is_ok();
        if taken {
            self.advance(self.head, at.next(self.capacity));
        }
        taken
    }

    /// Turns a slot whose sender has ended into one that receivers pass over; `false` if it has
    /// moved on. The caller knows that the sender that `blocked` names has ended, and wakes the
    /// receivers.
    pub fn recover(&self, blocked: Blocked) -> bool {
        let Some(found) = Word::unpack(blocked.seen).filter(|word| word.writer().is_some()) else {
            return false;
        };
        let void = Word::void(found.lap).pack();
        // SeqCst: for the sleepers, as in `publish`.
        self.word(blocked.index).compare_exchange(blocked.seen, void, SeqCst, Relaxed).is_ok()
    }

    /// Recovers all slots of a party that has ended.
    pub(super) fn recover_all(&self, ticket: Ticket) {
        for index in 0..self.capacity {
            // Relaxed: the process is over, and so are its stores.
            let blocked = Blocked { index, seen: self.word(index).load(Relaxed) };
            if blocked.writer() == Some(ticket) {
                self.recover(blocked);
            }
        }
    }

    /// Takes the next message like [`take`](Self::take), and counts it in `in_hand` before it is
    /// out of the ring: a process that finds the ring drained, and looks at the counts afterwards,
    /// misses none.
    ///
    /// # Errors
    ///
    /// The slot that is in the way.
    pub fn take_counted(&self, taker: &mut impl Taker, in_hand: &AtomicU64) -> Result<(), Blocked> {
        // Receivers that wait look often, and count only where there is something.
        self.peek()?;
        // SeqCst: with the looks of `drained` and then at this count a store–load pair.
        in_hand.fetch_add(1, SeqCst);
        let taken = self.take(taker);
        if taken.is_err() {
            // It may be gone already: by a `task_done` for a message that was never received.
            let _ = in_hand.fetch_update(SeqCst, SeqCst, one_less);
        }
        taken
    }

    /// Whether there is a message to take.
    pub(super) fn has_message(&self) -> bool {
        self.peek().is_ok()
    }

    /// Finds out whether every message that was claimed up to now has been taken.
    ///
    /// # Errors
    ///
    /// There is one; and the slot, if it is in the hands of a sender.
    pub fn drained(&self) -> Result<(), Option<Blocked>> {
        match self.peek() {
            Ok(()) => Err(None),
            Err(slot) if slot.writer().is_some() => Err(Some(slot)),
            Err(_) => Ok(()),
        }
    }

    /// Finds out whether there is a message; passes over slots whose senders have ended.
    ///
    /// # Errors
    ///
    /// The slot in the way.
    pub(super) fn peek(&self) -> Result<(), Blocked> {
        self.first().map(drop)
    }

    /// The position of the first message, and the word of its slot; `None` if others are faster at
    /// every slot, so that there was one.
    fn first(&self) -> Result<Option<(Position, u64)>, Blocked> {
        let mut at = self.hinted(self.head);
        for _ in 0..self.most_steps() {
            // SeqCst: as in `take`.
            let seen = self.word(at.index()).load(SeqCst);
            let blocked = Blocked { index: at.index(), seen };
            let found = Word::unpack(seen).ok_or(blocked)?;
            match (found.compare_lap(at.lap()), found.state) {
                (cmp::Ordering::Equal, State::Full) => return Ok(Some((at, seen))),
                (cmp::Ordering::Equal, State::Void) => at = self.pass_over(at, seen),
                (cmp::Ordering::Less | cmp::Ordering::Equal, _) => return Err(blocked),
                (cmp::Ordering::Greater, _) => at = self.behind(found.lap, at.index()),
            }
        }
        Ok(None)
    }

    /// Whether there is a slot to claim.
    pub(super) fn has_room(&self) -> bool {
        let at = self.hinted(self.tail);
        // SeqCst: as in `claim`.
        let found = Word::unpack(self.word(at.index()).load(SeqCst));
        found.is_some_and(|word| word.state == State::Free && !word.compare_lap(at.lap()).is_lt())
    }

    /// Words of the payloads that wait for receivers. Nothing is missed that was published before.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &'static [AtomicU64]> {
        let slots = (0..self.capacity).map(|index| self.slot(index));
        let full = slots.filter(|slot| {
            // SeqCst: as in `take`.
            Word::unpack(slot[0].load(SeqCst)).is_some_and(|word| word.state == State::Full)
        });
        full.map(|slot| &slot[1..])
    }

    /// Counts messages that were lost with a process.
    pub(super) fn count_lost(&self, count: u64) {
        self.lost.fetch_add(count, Relaxed);
    }

    /// How many slots are not free, about.
    pub(super) fn len(&self) -> usize {
        // The head first: it is not behind a tail that is read later.
        let head = self.hinted(self.head);
        let len = head.distance(self.hinted(self.tail), self.capacity);
        usize::try_from(len).unwrap_or(0).min(self.capacity as usize)
    }

    /// How many messages were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The position behind the slot of an earlier lap than `lap`.
    #[inline]
    fn behind(&self, lap: u64, index: u32) -> Position {
        Position::new(lap.wrapping_sub(1), index).next(self.capacity)
    }

    #[inline]
    fn hinted(&self, hint: &AtomicU64) -> Position {
        // Relaxed: any value that was ever stored is a place to begin at.
        Position::from_word(hint.load(Relaxed), self.capacity)
    }

    #[inline]
    fn advance(&self, hint: &AtomicU64, to: Position) {
        // Relaxed, both: as above. Between the two another process may have come further: then the
        // next one has some steps more to take.
        if Position::from_word(hint.load(Relaxed), self.capacity).is_before(to) {
            hint.store(to.word(), Relaxed);
        }
    }

    /// How many slots are looked at in one go: a hint is less than a lap behind after the first
    /// step. More are needed only if others are faster at every slot.
    #[inline]
    fn most_steps(&self) -> u32 {
        2 * self.capacity + 64
    }

    #[inline]
    fn word(&self, index: u32) -> &'static AtomicU64 {
        &self.words[index as usize * self.stride]
    }

    #[inline]
    fn slot(&self, index: u32) -> &'static [AtomicU64] {
        let start = index as usize * self.stride;
        &self.words[start..start + self.stride]
    }
}
