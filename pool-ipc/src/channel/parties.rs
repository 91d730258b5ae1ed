//! The processes that take part in a channel, each by a place in a table.
//!
//! Invariant: a place belongs to the process whose word it holds. The place of one that has ended
//! is given to another only after no slot of the ring names that party any more; and a party never
//! has the ticket of one before it, so a process that has found a party dead does no harm to the
//! next one at the place, however late it acts. Only processes in the namespaces of the channel's
//! maker look for the dead (`Channel::sees_processes`); those elsewhere have no place either.

use std::collections::{HashMap, HashSet};

use pool_shm::ProcessIdentity;

use super::{
    blocks::{BlockId, Blocks},
    error::ProcessFault,
    payload::block_in,
    ring::{Blocked, COUNT, Ring, one_less},
    word::Ticket,
};
use crate::primitive::{
    AtomicU64,
    Ordering::{Acquire, SeqCst},
};

/// A place in the table, in lines of its own.
#[repr(C, align(128))]
pub(super) struct Party {
    /// The process, as [`ProcessIdentity`] names it; 0 if the place is free.
    process: AtomicU64,
    /// Counts the processes that have had the place.
    incarnation: AtomicU64,
    /// The lower half counts the messages of a [`JoinableQueue`](super::JoinableQueue) that the
    /// process has taken and not done; the upper one is that of its incarnation, so that no process
    /// clears the count of a later one.
    pub(super) in_hand: AtomicU64,
}

/// The table, with the ring in which slots name parties.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    pub(super) table: &'a [Party],
    pub(super) ring: Ring,
    pub(super) blocks: Blocks,
    /// Whether messages count as in hand until they are done.
    pub(super) counts_until_done: bool,
}

/// Marks the word of a place whose process has left, while messages of it are in its region. The
/// upper half is the lower one of its incarnation, so no two such words at a place are the same. No
/// process is named so.
const LEFT: u64 = 1 << 22;

impl Parties<'_> {
    /// Takes a place for the calling process.
    pub(super) fn register(self) -> Result<Ticket, ProcessFault> {
        let me = ProcessIdentity::current().map_err(ProcessFault::Unidentified)?;
        if let Some(ticket) = self.take_free(me) {
            return Ok(ticket);
        }
        self.free_places_of_the_dead();
        self.take_free(me).ok_or(ProcessFault::TooMany)
    }

    fn take_free(self, me: ProcessIdentity) -> Option<Ticket> {
        self.table.iter().enumerate().find_map(|(place, party)| {
            party.process.compare_exchange(0, me.word(), SeqCst, SeqCst).ok()?;
            // The place is this process's, so it alone counts.
            let incarnation = party.incarnation.fetch_add(1, SeqCst) + 1;
            party.in_hand.store(incarnation << 32, SeqCst);
            Some(Ticket::new(place, incarnation))
        })
    }

    /// Gives the place of the calling process back, which has no slot in hand, or keeps it from
    /// others while there are messages in its region. What it has not done is lost.
    pub(super) fn release(self, ticket: Ticket, has_messages: bool) {
        let party = &self.table[ticket.place()];
        self.settle(party, party.in_hand.load(SeqCst));
        let left = party.incarnation.load(SeqCst) << 32 | LEFT;
        party.process.store(if has_messages { left } else { 0 }, SeqCst);
    }

    /// Notes that the process with this ticket, the calling one, has done a message; `None` if it
    /// had none in hand. Returns how many it still has.
    pub(super) fn done(&self, ticket: Ticket) -> Option<u64> {
        let in_hand = &self.table[ticket.place()].in_hand;
        let before = in_hand.fetch_update(SeqCst, SeqCst, one_less).ok()?;
        Some((before & COUNT) - 1)
    }

    /// Whether no process has a message in hand, but for those that have ended if they are to be
    /// found.
    pub(super) fn have_nothing_in_hand(self, finds_the_dead: bool) -> bool {
        self.table.iter().all(|party| {
            // SeqCst: the second half of the pair in `Ring::take_counted`.
            let seen = party.in_hand.load(SeqCst);
            seen & COUNT == 0
                || finds_the_dead
                    && Self::is_over(party.process.load(SeqCst))
                    && self.settle(party, seen)
        })
    }

    /// Counts what a process had in hand as lost, which was found to be over after this count was
    /// seen; `false` if that has changed since, by another process or for a later one.
    fn settle(self, party: &Party, seen: u64) -> bool {
        let count = seen & COUNT;
        if count == 0 {
            return true;
        }
        let is_settled =
            party.in_hand.compare_exchange(seen, seen & !COUNT, SeqCst, SeqCst).is_ok();
        if is_settled {
            self.ring.count_lost(count);
        }
        is_settled
    }

    /// Whether the process of this word has ended, or has left.
    fn is_over(word: u64) -> bool {
        word == 0 || word & LEFT != 0 || ProcessIdentity::from_word(word).has_ended()
    }

    /// Frees the blocks at the place of a process that is over, but for messages that receivers may
    /// still take, or have in hand; `false` if there are such.
    fn free_blocks(self, place: usize, word: u64) -> bool {
        let (held, unread): (Vec<_>, Vec<_>) =
            self.blocks.in_use(place).partition(|(_, is_held)| *is_held);
        if self.table[place].process.load(SeqCst) != word {
            // The place has another owner by now, whose blocks these may be.
            return false;
        }
        let mut are_free = self.free_of_the_dead(held.iter().map(|(id, _)| *id)) == held.len();
        if !unread.is_empty() {
            // Its process publishes no more, so what is not in the ring now was taken, or never
            // sent.
            let in_ring: HashSet<BlockId> = self.ring.payloads().filter_map(block_in).collect();
            for (id, _) in unread {
                are_free &= !in_ring.contains(&id) && self.blocks.free_unsent(id);
            }
        }
        are_free
    }

    /// Frees those of these blocks that are held by receivers which have ended, and returns how
    /// many: their messages are lost. In a queue that can be joined they count as in hand, and are
    /// settled there. Each receiver is looked up once.
    pub(super) fn free_of_the_dead(self, ids: impl Iterator<Item = BlockId>) -> usize {
        let mut found = HashMap::new();
        let mut has_ended =
            |ticket: Ticket| *found.entry(ticket).or_insert_with(|| self.has_ended(ticket));
        let freed = ids.filter(|id| self.blocks.free_of_the_dead(*id, &mut has_ended)).count();
        if freed > 0 && !self.counts_until_done {
            self.ring.count_lost(freed as u64);
        }
        freed
    }

    fn free_places_of_the_dead(self) {
        for (place, party) in self.table.iter().enumerate() {
            let word = party.process.load(SeqCst);
            let incarnation = party.incarnation.load(SeqCst);
            let in_hand = party.in_hand.load(SeqCst);
            // The second look: both are those of the process that was found, not of a later one.
            if word != 0 && Self::is_over(word) && party.process.load(SeqCst) == word {
                self.ring.recover_all(Ticket::new(place, incarnation));
                self.settle(party, in_hand);
                if self.free_blocks(place, word) {
                    // Another process that has found the same may be faster.
                    let _ = party.process.compare_exchange(word, 0, SeqCst, SeqCst);
                }
            }
        }
    }

    /// Recovers the slot in the way if the sender that has it in hand has ended.
    pub(super) fn recover(self, blocked: Blocked) -> bool {
        blocked.writer().is_some_and(|ticket| self.has_ended(ticket)) && self.ring.recover(blocked)
    }

    fn has_ended(self, ticket: Ticket) -> bool {
        let party = &self.table[ticket.place()];
        // Acquire, both: the process counted before it could take what names it.
        let incarnation = party.incarnation.load(Acquire);
        let process = party.process.load(Acquire);
        Ticket::new(ticket.place(), incarnation) != ticket || Self::is_over(process)
    }
}
