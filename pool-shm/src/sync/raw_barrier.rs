//! Parties that wait for each other, round after round.
//!
//! Every party has a slot: a word that names its process and says in which round it arrived last.
//! The round is over when all parties have arrived in it; the party that sees that first moves the
//! round on, and leads.
//!
//! ```text
//!  round n ── all slots arrived ──▶ round n + 1
//!     │ a party died, waited too long, or called it off          ▲
//!     └──────────────────▶ BROKEN ──────────── reset ────────────┘
//! ```
//!
//! Invariant: arriving is one step on a slot, ending a round one step on the round. A round ends
//! whole only if every slot had arrived in it, and no slot that has arrived is given away before it
//! has ended. A slot's round never goes back, so a step that comes late fails.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::{
    backoff::{Backoff, Rest, Watch},
    error::LockError,
    owner::{Me, Owner, flag, futex_half, half},
    stat::{Life, is_dead},
    table_scan::TableScan,
};
use crate::futex;

/// The part of a barrier that lies in shared memory, before the slots.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawBarrier {
    /// The namespaces in which parties' names mean something. Never changes.
    namespace: AtomicU64,
    /// How many slots there are. Never changes.
    parties: AtomicU64,
    round: AtomicU64,
    /// When a thread last looked for dead parties.
    watch: Watch,
}

const _: () = assert!(size_of::<RawBarrier>() == 32);

/// Head and table of a lock, in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct BarrierParts<'a> {
    pub(super) head: &'a RawBarrier,
    pub(super) slots: &'a [AtomicU64],
}

/// The number of the round, whether it is broken, and how the 32 before it ended.
///
/// ```text
///  63              32 31           1      0
///  whole (last first) | number     | broken
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round(u64);

const BROKEN: u64 = 1;
const NUMBER: u64 = (1 << 31) - 1;

impl Round {
    /// Not 0, so that fresh slots belong to an earlier one.
    const FIRST: Self = Self(1 << 1);

    const fn number(self) -> u64 {
        self.0 >> 1 & NUMBER
    }

    const fn is_broken(self) -> bool {
        self.0 & BROKEN != 0
    }

    const fn broken(self) -> Self {
        Self(self.0 | BROKEN)
    }

    /// The round after this one, which ended whole or not.
    const fn next(self, whole: bool) -> Self {
        let ends = (self.0 >> 32) << 1 | whole as u64;
        Self(ends << 32 | ((self.number() + 1) & NUMBER) << 1)
    }

    /// How round `number` ended: whole or not; `None` if it has not ended.
    const fn end_of(self, number: u64) -> Option<bool> {
        match self.number().wrapping_sub(number) & NUMBER {
            0 => {
                if self.is_broken() {
                    Some(false)
                } else {
                    None
                }
            }
            since @ 1..=32 => Some(self.0 >> (31 + since) & 1 != 0),
            // A party that slept so long was not there; the end of that round is not known any
            // more.
            _ => Some(false),
        }
    }
}

/// The process that has the slot, in which round it last arrived (its last eight bits), whether it
/// has not left since, and whether it is away: an idle process keeps its slot, and is not missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PartySlot(u64);

const ARRIVED: u64 = flag(0);
const SEAT_ROUNDS: u64 = 1 << 8;
const AWAY: u64 = flag(9);

impl PartySlot {
    const fn arrived(owner: Owner, round: u64) -> Self {
        Self(owner.word() | ARRIVED | ((round % SEAT_ROUNDS) * flag(1)))
    }

    /// The slot without its party, for the next one that comes.
    const fn vacated(self) -> Self {
        Self(self.0 & !(self.owner().word() | ARRIVED | AWAY))
    }

    const fn away(self, is_away: bool) -> Self {
        Self(if is_away { self.0 | AWAY } else { self.0 & !AWAY })
    }

    const fn is_away(self) -> bool {
        self.0 & AWAY != 0
    }

    const fn owner(self) -> Owner {
        Owner::of(self.0)
    }

    const fn round(self) -> u64 {
        self.0 / flag(1) % SEAT_ROUNDS
    }

    fn has_arrived(self, round: u64) -> bool {
        self.0 & ARRIVED != 0 && self.round() == round % SEAT_ROUNDS
    }

    /// Whether a party may arrive in it: its last arrival was in an earlier round.
    fn is_behind(self, round: u64) -> bool {
        let age = round.wrapping_sub(self.round()) % SEAT_ROUNDS;
        (1..SEAT_ROUNDS / 2).contains(&age)
    }
}

impl RawBarrier {
    pub(super) fn new(me: &Me, parties: usize) -> Self {
        Self {
            namespace: AtomicU64::new(me.namespace),
            parties: AtomicU64::new(parties as u64),
            round: AtomicU64::new(Round::FIRST.0),
            watch: Watch::new(),
        }
    }

    /// The namespaces in which parties' names mean something.
    pub(super) fn namespace(&self) -> u64 {
        self.namespace.load(SeqCst)
    }

    /// How many slots there are.
    pub(super) fn parties(&self) -> usize {
        usize::try_from(self.parties.load(SeqCst)).unwrap_or(usize::MAX)
    }

    fn round(&self) -> Round {
        Round(self.round.load(SeqCst))
    }

    /// Moves the round on, unless another party has, and wakes all.
    fn step(&self, from: Round, to: Round) -> bool {
        let stepped = self.round.compare_exchange(from.0, to.0, SeqCst, SeqCst).is_ok();
        if stepped {
            futex::wake(futex_half(&self.round), u32::MAX);
        }
        stepped
    }

    /// Whether the barrier is broken.
    pub(super) fn is_broken(&self) -> bool {
        self.round().is_broken()
    }

    /// Breaks the barrier.
    pub(super) fn abort(&self) {
        loop {
            let round = self.round();
            if round.is_broken() || self.step(round, round.broken()) {
                return;
            }
        }
    }
}

impl<'a> BarrierParts<'a> {
    /// Arrives, and waits for the others; returns whether the caller leads.
    pub(super) fn wait(self, backoff: impl FnOnce() -> Backoff) -> Result<bool, LockError> {
        let me = Me::now()?;
        if me.namespace != self.head.namespace() {
            return Err(LockError::ForeignNamespace);
        }
        loop {
            let round = self.head.round();
            if round.is_broken() {
                return Err(LockError::Broken);
            }
            if let Some(slot) = self.arrive(me.process, round)? {
                let result = self.wait_for_end(me.process, round.number(), backoff());
                if result.is_err() {
                    // A party that comes back after a reset arrives afresh.
                    let arrived = PartySlot::arrived(me.process, round.number());
                    change(slot, arrived, arrived.vacated());
                }
                return result;
            }
            // All parties have arrived, and this is one more: it takes part in the next round.
            if self.all_arrived(round.number()) {
                self.head.step(round, round.next(true));
            }
        }
    }

    /// Begins a round in which no party has a slot.
    pub(super) fn reset(self) {
        let next = loop {
            let round = self.head.round();
            if self.head.step(round, round.next(false)) {
                break round.next(false).number();
            }
        };
        // It belongs to the round before, lest it gets out of sight in many resets.
        let empty = PartySlot::arrived(Owner::NONE, next.wrapping_sub(1)).vacated();
        for slot in self.slots {
            let now = load(slot);
            // If it is not behind, a party arrived in the new round already.
            if now.is_behind(next) {
                change(slot, now, empty);
            }
        }
    }

    /// How many have arrived in this round.
    pub(super) fn waiting(self) -> usize {
        let round = self.head.round().number();
        self.slots.iter().filter(|slot| load(slot).has_arrived(round)).count()
    }

    /// Gives up the slots of this process in which no thread waits.
    pub(super) fn leave(self) {
        let Ok(me) = Me::now() else { return };
        let round = self.head.round().number();
        for slot in self.slots {
            let now = load(slot);
            if now.owner() == me.process && now.is_behind(round) {
                change(slot, now, now.vacated());
            }
        }
    }

    /// Marks the slots of this process in which it does not wait as away, or not: if it dies while
    /// it is away, no party waits for it.
    pub(super) fn set_away(self, me: Owner, is_away: bool) {
        let round = self.head.round().number();
        for slot in self.slots {
            let now = load(slot);
            if now.owner() == me && now.is_away() != is_away && now.is_behind(round) {
                // A slot that another process takes meanwhile is its own.
                change(slot, now, now.away(is_away));
            }
        }
    }

    /// Arrives in a slot: one that the process had, or a free one, or that of a process that is
    /// away or has not come yet. `None` if all have arrived.
    fn arrive(self, me: Owner, round: Round) -> Result<Option<&'a AtomicU64>, LockError> {
        let number = round.number();
        for choice in [Choice::Own, Choice::Free, Choice::Away, Choice::Others] {
            for slot in self.slots {
                let now = load(slot);
                let chosen = match choice {
                    Choice::Own => now.owner() == me,
                    Choice::Free => now.owner() == Owner::NONE,
                    Choice::Away => now.is_away(),
                    Choice::Others => true,
                };
                if !chosen || !now.is_behind(number) {
                    continue;
                }
                if choice == Choice::Others && is_dead(now.owner(), Life::Process) {
                    self.head.step(round, round.broken());
                    return Err(LockError::Broken);
                }
                if change(slot, now, PartySlot::arrived(me, number)) {
                    return Ok(Some(slot));
                }
            }
        }
        Ok(None)
    }

    fn wait_for_end(self, me: Owner, number: u64, mut backoff: Backoff) -> Result<bool, LockError> {
        loop {
            let round = self.head.round();
            if let Some(whole) = round.end_of(number) {
                return if whole { Ok(false) } else { Err(LockError::Broken) };
            }
            // The last party to arrive may have died before it could move the round on.
            if self.all_arrived(number) && self.head.step(round, round.next(true)) {
                return Ok(true);
            }
            if backoff.spin() {
                continue;
            }
            match backoff.rest(futex_half(&self.head.round), half(round.0)) {
                Rest::Again => {}
                Rest::CheckHolders => {
                    if self.head.watch.claim_check() && self.a_party_died(me) {
                        self.head.step(round, round.broken());
                    }
                }
                Rest::Over => {
                    if self.head.step(round, round.broken()) {
                        return Err(LockError::TimedOut);
                    }
                }
            }
        }
    }

    fn all_arrived(self, round: u64) -> bool {
        self.slots.iter().all(|slot| load(slot).has_arrived(round))
    }

    fn a_party_died(self, me: Owner) -> bool {
        let mut table_scan = TableScan::taken_by(me, Life::Process);
        let missed = self.slots.iter().map(load).filter(|slot| !slot.is_away());
        missed.map(PartySlot::owner).any(|owner| table_scan.check_dead(owner))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Own,
    Free,
    Away,
    Others,
}

fn load(slot: &AtomicU64) -> PartySlot {
    PartySlot(slot.load(SeqCst))
}

fn change(slot: &AtomicU64, from: PartySlot, to: PartySlot) -> bool {
    slot.compare_exchange(from.0, to.0, SeqCst, SeqCst).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_remember_how_those_before_ended() {
        let mut round = Round::FIRST;
        let ends: Vec<bool> = (0..100).map(|index| index % 3 == 0).collect();
        for (index, whole) in ends.iter().enumerate() {
            assert_eq!(round.end_of(round.number()), None);
            assert_eq!(round.broken().end_of(round.number()), Some(false));
            round = round.broken().next(*whole);
            assert!(!round.is_broken());
            for back in 0..=index.min(31) {
                let number = round.number() - 1 - back as u64;
                assert_eq!(round.end_of(number), Some(ends[index - back]), "{index} {back}");
            }
        }
        let last = Round(NUMBER << 1);
        assert_eq!(last.next(true).number(), 0);
        assert_eq!(last.next(true).end_of(NUMBER), Some(true));
    }

    #[test]
    fn seats_keep_their_round() {
        let owner = Owner::new(77, 99);
        for round in [1, 511, 512, 513, 1 << 20, NUMBER] {
            let slot = PartySlot::arrived(owner, round);
            assert!(slot.has_arrived(round) && !slot.is_behind(round));
            assert!(slot.is_behind(round + 1) && !slot.has_arrived(round + 1));
            assert!(!slot.is_behind(round.wrapping_sub(1)));
            assert_eq!(slot.owner(), owner);
            let away = slot.away(true);
            assert!(away.is_away() && !slot.is_away() && away.is_behind(round + 1));
            assert_eq!((away.away(false), away.vacated()), (slot, slot.vacated()));
            let free = slot.vacated();
            assert_eq!((free.owner(), free.round()), (Owner::NONE, slot.round()));
            assert!(
                !free.has_arrived(round) && !free.is_behind(round) && free.is_behind(round + 1)
            );
        }
        assert!(PartySlot(0).is_behind(Round::FIRST.number()));
    }
}
