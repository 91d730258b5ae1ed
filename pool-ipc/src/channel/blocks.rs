//! The blocks that large messages lie in, each with a word of its own.
//!
//! ```text
//!  63        26 25   24 23          6 5      0
//! │ generation │ state │ incarnation │ party  │
//!
//!  FREE(g) ──send──▶ SENT(g) ──hold──▶ HELD(g, r) ──free──▶ FREE(g + 1)
//!          its owner    │     receiver r     │    receiver r    ▲
//!                       │                    └─ r has ended ────┤ the owner
//!                       └─ not sent after all, or never ────────┘
//! ```
//!
//! Invariant: a receiver gets a message in a block by the step to HELD, which names it; the slot
//! that led there is passed over by any receiver afterwards. So at every instruction the word says,
//! truly, which process has the block in hand. Only the party at the place of a block sends it.

use super::word::{MAX_PARTIES, Ticket};
use crate::primitive::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, SeqCst},
};

const TICKET_BITS: u32 = 24;
const GENERATION_AT: u32 = TICKET_BITS + 2;
const GENERATIONS: u64 = 1 << (64 - GENERATION_AT);
const FREE: u64 = 0;
const SENT: u64 = 1;
const HELD: u64 = 2;

/// The most blocks that a party has. With the place they are the low bits of an id.
pub(super) const MAX_BLOCKS: usize = 1 << (GENERATION_AT - 6);

const fn pack(generation: u64, state: u64, ticket: u32) -> u64 {
    generation << GENERATION_AT | state << TICKET_BITS | ticket as u64
}

/// A use of a block: its place, its number there, and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId(pub(super) u64);

impl BlockId {
    fn new(generation: u64, place: usize, number: usize) -> Self {
        Self(generation << GENERATION_AT | (number * MAX_PARTIES + place) as u64)
    }

    /// The place of the party that has sent it.
    pub(super) fn place(self) -> usize {
        self.0 as usize % MAX_PARTIES
    }

    /// The number at its place.
    pub(super) fn number(self) -> usize {
        self.0 as usize / MAX_PARTIES % MAX_BLOCKS
    }

    fn generation(self) -> u64 {
        self.0 >> GENERATION_AT
    }
}

/// The words of all blocks, in one table: those of each place lie side by side.
#[derive(Clone, Copy)]
pub struct Blocks {
    pub(super) words: &'static [AtomicU64],
    /// How many there are at each place.
    pub(super) each: usize,
}

impl Blocks {
    fn word(self, id: BlockId) -> Option<&'static AtomicU64> {
        let within = id.number() < self.each;
        within.then(|| &self.words[id.place() * self.each + id.number()])
    }

    /// Names the next use of a free block at the place of the caller, which alone sends it.
    #[must_use]
    pub fn send(self, place: usize, number: usize) -> BlockId {
        let word = &self.words[place * self.each + number];
        // Relaxed: the caller has seen that it is free (`is_over`).
        let id = BlockId::new(word.load(Relaxed) >> GENERATION_AT, place, number);
        // Relaxed: the slot's word hands it over.
        word.store(pack(id.generation(), SENT, 0), Relaxed);
        id
    }

    /// Takes the message for a receiver; `false` if another one has it, or had.
    #[must_use]
    pub fn hold(self, id: BlockId, ticket: Ticket) -> bool {
        let sent = pack(id.generation(), SENT, 0);
        let held = pack(id.generation(), HELD, ticket.number());
        // Acquire: the message was handed over by the slot's word; this keeps what follows behind
        // the step.
        self.word(id).is_some_and(|word| {
            word.load(Relaxed) == sent
                && word.compare_exchange(sent, held, Acquire, Relaxed).is_ok()
        })
    }

    /// Whether no receiver has taken the message of this use yet. One without a block is not sent.
    #[must_use]
    pub fn is_sent(self, id: BlockId) -> bool {
        let sent = pack(id.generation(), SENT, 0);
        // Acquire: the slot's word handed the block over; this keeps what follows behind.
        self.word(id).is_some_and(|word| word.load(Acquire) == sent)
    }

    /// Gives a block back. The caller holds it, and looks at the sleep of senders next; or it has
    /// not sent it after all.
    pub fn free(self, id: BlockId) {
        if let Some(word) = self.word(id) {
            // SeqCst: with the look at the sleepers that follows, the store–load pair of `listen`.
            // And Release: pairs with the load in `is_over`; it was read.
            word.store(Self::freed(id), SeqCst);
        }
    }

    /// Whether this use of the block is over, so that its owner may use it again.
    #[must_use]
    pub fn is_over(self, id: BlockId) -> bool {
        // SeqCst: the second half of the pair with `listen` of a sender that goes to sleep; and
        // Acquire for the store in `free`. The step of `free_of_the_dead` hands nothing over: its
        // receiver has ended.
        self.word(id).is_none_or(|word| word.load(SeqCst) >> GENERATION_AT != id.generation())
    }

    /// Frees a block that a dead receiver holds; `false` if it is none.
    pub fn free_of_the_dead(self, id: BlockId, has_ended: impl FnOnce(Ticket) -> bool) -> bool {
        let Some(word) = self.word(id) else { return false };
        let seen = word.load(Acquire);
        let is_held = seen >> TICKET_BITS == id.generation() << 2 | HELD;
        let holder = Ticket::from_number(seen & ((1 << TICKET_BITS) - 1));
        // The exchange is from the very word that names the dead, so one process frees it.
        is_held
            && holder.is_some_and(has_ended)
            && word.compare_exchange(seen, Self::freed(id), Acquire, Relaxed).is_ok()
    }

    /// The uses at a place that are not over, and whether each was taken by a receiver.
    pub(super) fn in_use(self, place: usize) -> impl Iterator<Item = (BlockId, bool)> {
        let words = self.words.iter().skip(place * self.each).take(self.each);
        words.enumerate().filter_map(move |(number, word)| {
            let word = word.load(Acquire);
            let state = word >> TICKET_BITS & 3;
            let id = BlockId::new(word >> GENERATION_AT, place, number);
            (state != FREE).then_some((id, state == HELD))
        })
    }

    /// Frees a block that was never sent, since its owner died before; `false` if a receiver has
    /// it.
    pub(super) fn free_unsent(self, id: BlockId) -> bool {
        let sent = pack(id.generation(), SENT, 0);
        let free =
            |word: &AtomicU64| word.compare_exchange(sent, Self::freed(id), Acquire, Relaxed);
        self.word(id).is_some_and(|word| free(word).is_ok())
    }

    fn freed(id: BlockId) -> u64 {
        pack((id.generation() + 1) % GENERATIONS, FREE, 0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn blocks() -> Blocks {
        let words = (0..3 * MAX_PARTIES).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        Blocks { words: words.leak(), each: 3 }
    }

    #[test]
    fn a_use_is_named_once() {
        let blocks = blocks();
        let first = blocks.send(63, 2);
        assert_eq!((first.place(), first.number()), (63, 2));
        assert!(!blocks.is_over(first) && blocks.hold(first, Ticket::new(1, 1)));
        assert!(!blocks.hold(first, Ticket::new(2, 1)), "another receiver has it");
        assert_eq!(blocks.in_use(63).collect::<Vec<_>>(), [(first, true)]);
        blocks.free(first);
        let second = blocks.send(63, 2);
        assert!(blocks.is_over(first) && !blocks.hold(first, Ticket::new(2, 1)));
        assert!(!blocks.free_of_the_dead(second, |_| true) && blocks.free_unsent(second));
        assert_eq!(blocks.in_use(63).count(), 0);
        assert!(!blocks.hold(BlockId(u64::MAX), Ticket::new(2, 1)), "no such block");
    }

    #[test]
    fn the_last_generation_is_followed_by_the_first() {
        let blocks = blocks();
        blocks.words[0].store(pack(GENERATIONS - 1, FREE, 0), Relaxed);
        let last = blocks.send(0, 0);
        assert!(blocks.hold(last, Ticket::new(5, 7)));
        assert!(!blocks.free_of_the_dead(last, |_| false));
        assert!(blocks.free_of_the_dead(last, |holder| holder == Ticket::new(5, 7)));
        assert_eq!(blocks.send(0, 0), BlockId(0));
    }
}
