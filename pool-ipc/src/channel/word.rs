//! A slot's 64-bit word, and positions of messages.
//!
//! ```text
//!  63        27 26   24 23          6 5      0
//! │    lap     │ state │ incarnation │ party  │
//!
//!  FREE(l) ──claim──▶ WRITING(l, p) ──publish──▶ FULL(l) ──take──▶ FREE(l + 1)
//!            sender p      │            sender p          a receiver    ▲
//!                          └── p has ended ──▶ VOID(l) ──pass over──────┘
//!                               any process          a receiver
//! ```
//!
//! Invariant: a claim and the name of the party that claims are one step, so at every instruction
//! the word says, truly, which process has the slot in hand. Laps tell apart all uses of a slot.

use std::cmp::Ordering;

const LAP_BITS: u32 = 37;
const INDEX_BITS: u32 = 64 - LAP_BITS;
const LAPS: u64 = 1 << LAP_BITS;
const TICKET_BITS: u32 = 24;
const PARTY_BITS: u32 = 6;

/// How many processes may take part at a time.
pub(super) const MAX_PARTIES: usize = 1 << PARTY_BITS;

/// The most messages that a channel can hold.
pub(super) const MAX_CAPACITY: usize = 1 << 24;

const _: () = assert!(MAX_CAPACITY < 1 << INDEX_BITS);

/// The name of a party in the words of slots: its place in the table, and which of the parties at
/// this place it is. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u32);

impl Ticket {
    /// The ticket of the party number `incarnation`, which counts from 1, at a place below
    /// 64. After 2^18 − 1 of them the names begin again.
    #[must_use]
    pub fn new(place: usize, incarnation: u64) -> Self {
        let rounds = (1 << (TICKET_BITS - PARTY_BITS)) - 1;
        let named = (incarnation.wrapping_sub(1) % rounds) as u32 + 1;
        Self(named << PARTY_BITS | (place % MAX_PARTIES) as u32)
    }

    /// The place in the table.
    pub(super) fn place(self) -> usize {
        self.0 as usize % MAX_PARTIES
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The ticket with this number.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().filter(|number| *number != 0).map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free = 0,
    Writing = 1,
    Full = 2,
    Void = 3,
}

/// The unpacked word. The ticket is 0 but in WRITING.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) lap: u64,
    pub(super) state: State,
    ticket: u32,
}

impl Word {
    pub(super) const fn free(lap: u64) -> Self {
        Self { lap: lap % LAPS, state: State::Free, ticket: 0 }
    }

    pub(super) const fn writing(lap: u64, ticket: Ticket) -> Self {
        Self { lap, state: State::Writing, ticket: ticket.0 }
    }

    pub(super) const fn full(lap: u64) -> Self {
        Self { lap, state: State::Full, ticket: 0 }
    }

    pub(super) const fn void(lap: u64) -> Self {
        Self { lap, state: State::Void, ticket: 0 }
    }

    pub(super) const fn pack(self) -> u64 {
        self.lap << INDEX_BITS | (self.state as u64) << TICKET_BITS | self.ticket as u64
    }

    /// `None` for what no process of ours has written.
    #[inline]
    pub(super) const fn unpack(word: u64) -> Option<Self> {
        let state = match word >> TICKET_BITS & 7 {
            0 => State::Free,
            1 => State::Writing,
            2 => State::Full,
            3 => State::Void,
            _ => return None,
        };
        Some(Self {
            lap: word >> INDEX_BITS,
            state,
            ticket: word as u32 & ((1 << TICKET_BITS) - 1),
        })
    }

    /// The party that writes.
    pub(super) fn writer(self) -> Option<Ticket> {
        (self.state == State::Writing && self.ticket != 0).then_some(Ticket(self.ticket))
    }

    /// How the slot's lap compares with `lap`; laps go round.
    #[inline]
    pub(super) fn compare_lap(self, lap: u64) -> Ordering {
        signed(self.lap.wrapping_sub(lap), LAP_BITS).cmp(&0)
    }
}

/// Where a message lies: its slot, and which lap over all slots it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u64);

impl Position {
    pub(super) const fn new(lap: u64, index: u32) -> Self {
        Self(lap << INDEX_BITS | index as u64)
    }

    /// The position in a word of shared memory, within `capacity` slots.
    #[inline]
    pub(super) fn from_word(word: u64, capacity: u32) -> Self {
        let found = Self(word);
        // A faulty process may have written anything.
        if found.index() < capacity { found } else { Self::new(found.lap(), 0) }
    }

    pub(super) const fn word(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn lap(self) -> u64 {
        self.0 >> INDEX_BITS
    }

    #[inline]
    pub(super) const fn index(self) -> u32 {
        (self.0 & ((1 << INDEX_BITS) - 1)) as u32
    }

    /// The position behind this one.
    #[inline]
    pub(super) const fn next(self, capacity: u32) -> Self {
        if self.index() + 1 < capacity {
            Self(self.0 + 1)
        } else {
            Self::new(self.lap().wrapping_add(1), 0)
        }
    }

    #[inline]
    pub(super) const fn is_before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i64) < 0
    }

    /// How many messages there are from this position up to `end`.
    pub(super) fn distance(self, end: Self, capacity: u32) -> i64 {
        let laps = signed(end.lap().wrapping_sub(self.lap()), LAP_BITS);
        laps.saturating_mul(i64::from(capacity)) + i64::from(end.index()) - i64::from(self.index())
    }
}

/// A difference of numbers of so many bits.
const fn signed(difference: u64, bits: u32) -> i64 {
    ((difference << (64 - bits)) as i64) >> (64 - bits)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        let ticket = Ticket::new(63, 5);
        let last = LAPS - 1;
        for word in
            [Word::free(0), Word::writing(last, ticket), Word::full(last), Word::void(1 << 20)]
        {
            assert_eq!(Word::unpack(word.pack()), Some(word));
        }
        assert_eq!(Word::free(0).pack(), 0, "fresh memory is free");
        assert_eq!(Word::free(LAPS), Word::free(0));
        assert_eq!(Word::writing(3, ticket).writer(), Some(ticket));
        assert_eq!(Word::full(3).writer(), None);
        assert_eq!(Word::unpack(7 << TICKET_BITS), None);
        assert_eq!(
            (ticket.place(), Ticket::from_number(ticket.number().into())),
            (63, Some(ticket))
        );
        assert_eq!(Ticket::new(1, 1), Ticket::new(1, 1 << 18), "names begin again");
    }

    #[test]
    fn laps_and_positions_go_round() {
        assert_eq!(Word::free(0).compare_lap(LAPS - 1), Ordering::Greater);
        assert_eq!(Word::full(LAPS - 1).compare_lap(0), Ordering::Less);
        let last = Position::new(LAPS - 1, 2);
        let first = last.next(3);
        assert_eq!(first, Position::new(0, 0));
        assert!(last.is_before(first) && !first.is_before(last));
        assert_eq!(last.distance(first.next(3), 3), 2);
        assert_eq!(Position::from_word(Position::new(7, 9).word(), 3), Position::new(7, 0));
    }
}
