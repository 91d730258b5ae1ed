//! A slot's 64-bit word: generation of that slot, state, owner.
//!
//! ```text
//!  63            32 31  28 27                      0
//! │   generation   │state │  owner's incarnation    │
//!
//!  FREE(g) ──publish──▶ READY(g) ──claim──▶ CLAIMED(g, i) ──finish──▶ DONE(g, i) ──release──▶ FREE(g+1)
//!               publisher  │ claimer i              │ claimer i          publisher
//!                          └──take back──▶ FREE(g+1)├──salvage, once i is reaped──▶ FREE(g+1)
//!                                                   └──seize──▶ SEIZED(g, i) ──salvage──▶ FREE(g+1)
//!                                                publisher, watcher
//! ```
//!
//! The claimer of a chunk that was seized, by the publisher or by the watcher that kills for it,
//! cannot finish it: the claimer is killed for that chunk and for nothing else. (READY is seized
//! too, where it is for the result that one claimer keeps in hand.)
//!
//! Invariant: FREE and DONE belong to the publisher, CLAIMED to the claimer it names until that
//! claimer has been reaped; only READY and CLAIMED are contended, and left by compare-and-swap
//! only. A generation that moved on proves that the slot was given back.

/// The largest incarnation that a word can name.
pub(super) const MAX_INCARNATION: u32 = (1 << 28) - 1;

/// How many bits a serial number has: a thousand lives in a millisecond use them up in nine years.
pub(super) const SERIAL_BITS: u32 = 48;
/// The largest serial number.
pub const MAX_SERIAL: u64 = (1 << SERIAL_BITS) - 1;

/// The name of a claimer in words, orders and reports: 28 bits, of which 0 names none. Another
/// claimer at the same place has another name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Incarnation(u32);

impl Incarnation {
    /// No claimer.
    pub const NONE: Self = Self(0);

    /// The name with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the name.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The position of a slot in the board's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SlotIndex(usize);

impl SlotIndex {
    /// The slot at this position.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its position.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// The incarnation by which words name the claimer with this serial number, which counts from 1.
/// After 2^28 - 1 of them the names begin again: the publisher passes over names that an
/// older claimer still has. Only serial numbers say which of two is older.
#[must_use]
pub const fn incarnation_of(serial: u64) -> Incarnation {
    Incarnation((serial.saturating_sub(1) % MAX_INCARNATION as u64) as u32 + 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free = 0,
    Ready = 1,
    Claimed = 2,
    Done = 3,
    Seized = 4,
}

/// The unpacked word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) generation: u32,
    pub(super) state: State,
    pub(super) owner: Incarnation,
}

impl Word {
    pub(super) const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | (self.state as u64) << 28 | self.owner.0 as u64
    }

    /// `None` when the state is none of ours: a process scribbled over the board.
    pub(super) const fn unpack(bits: u64) -> Option<Self> {
        let state = match (bits >> 28) & 0xf {
            0 => State::Free,
            1 => State::Ready,
            2 => State::Claimed,
            3 => State::Done,
            4 => State::Seized,
            _ => return None,
        };
        let owner = Incarnation(bits as u32 & MAX_INCARNATION);
        Some(Self { generation: (bits >> 32) as u32, state, owner })
    }

    pub(super) const fn ready(generation: u32) -> Self {
        Self { generation, state: State::Ready, owner: Incarnation::NONE }
    }

    pub(super) const fn claimed(generation: u32, owner: Incarnation) -> Self {
        Self { generation, state: State::Claimed, owner }
    }

    pub(super) const fn done(generation: u32, owner: Incarnation) -> Self {
        Self { generation, state: State::Done, owner }
    }

    pub(super) const fn seized(generation: u32, owner: Incarnation) -> Self {
        Self { generation, state: State::Seized, owner }
    }

    /// The free word that follows `generation`.
    pub(super) const fn freed(generation: u32) -> Self {
        Self {
            generation: generation.wrapping_add(1),
            state: State::Free,
            owner: Incarnation::NONE,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_begin_again_and_are_never_0() {
        let most = u64::from(MAX_INCARNATION);
        let serials = [1, 2, most - 1, most, most + 1, 2 * most, 2 * most + 1];
        let names = [1, 2, MAX_INCARNATION - 1, MAX_INCARNATION, 1, MAX_INCARNATION, 1];
        assert_eq!(serials.map(|serial| incarnation_of(serial).0), names);
        assert!((1..=MAX_INCARNATION).contains(&incarnation_of(MAX_SERIAL).0));
    }

    #[test]
    fn words_survive_packing() {
        for word in [
            Word::ready(7),
            Word::claimed(u32::MAX, Incarnation(MAX_INCARNATION)),
            Word::done(0, Incarnation(1)),
            Word::seized(1, Incarnation(2)),
            Word::freed(u32::MAX),
        ] {
            assert_eq!(Word::unpack(word.pack()), Some(word));
        }
        assert_eq!(Word::unpack(9 << 28), None);
        assert_eq!(Word::unpack(0).unwrap().state, State::Free);
    }
}
