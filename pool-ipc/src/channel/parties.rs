//! The processes that take part in a channel, each by a place in a table.
//!
//! Invariant: a place belongs to the process whose word it holds. The place of one that has ended
//! is given to another only after no slot of the ring names that party any more; and a party never
//! has the ticket of one before it, so a process that has found a party dead does no harm to the
//! next one at the place, however late it acts.

use pool_shm::ProcessIdentity;

use super::{
    blocks::{BlockId, Blocks},
    error::ProcessFault,
    payload::block_in,
    ring::{Blocked, Ring},
    word::Ticket,
};
use crate::primitive::{
    AtomicU64,
    Ordering::{Acquire, SeqCst},
};

/// A place in the table.
#[repr(C)]
pub(super) struct Party {
    /// The process, as [`ProcessIdentity`] names it; 0 if the place is free.
    process: AtomicU64,
    /// Counts the processes that have had the place.
    incarnation: AtomicU64,
}

/// The table, with the ring in which slots name parties.
#[derive(Clone, Copy)]
pub(super) struct Parties<'a> {
    pub(super) table: &'a [Party],
    pub(super) ring: Ring,
    pub(super) blocks: Blocks,
}

/// The word of a place whose process has left, while messages of it are in its region. No process
/// is named so.
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
            Some(Ticket::new(place, party.incarnation.fetch_add(1, SeqCst) + 1))
        })
    }

    /// Gives the place of the calling process back. It has no slot in hand, but there may be
    /// messages in its region.
    pub(super) fn release(self, ticket: Ticket) {
        let is_empty = self.blocks.in_use(ticket.place()).next().is_none();
        self.table[ticket.place()].process.store(if is_empty { 0 } else { LEFT }, SeqCst);
    }

    /// Whether the process of this word has ended, or has left.
    fn is_over(word: u64) -> bool {
        word == LEFT || ProcessIdentity::from_word(word).has_ended()
    }

    /// Frees the blocks at the place of a process that is over, but for messages that receivers may
    /// still take, or have in hand; `false` if there are such.
    fn free_blocks(self, place: usize, word: u64) -> bool {
        let in_use: Vec<(BlockId, bool)> = self.blocks.in_use(place).collect();
        if self.table[place].process.load(SeqCst) != word {
            // The place has another owner by now, whose blocks these may be.
            return false;
        }
        if in_use.is_empty() {
            return true;
        }
        // Its process publishes no more, so what is not in the ring now was taken, or never sent.
        let in_ring: Vec<BlockId> = self.ring.payloads().filter_map(block_in).collect();
        in_use.into_iter().fold(true, |all, (id, is_held)| {
            all & if is_held {
                self.free_of_the_dead(id)
            } else {
                !in_ring.contains(&id) && self.blocks.free_unsent(id)
            }
        })
    }

    /// Frees a block if the receiver that holds it has ended: then its message is lost.
    pub(super) fn free_of_the_dead(self, id: BlockId) -> bool {
        let freed = self.blocks.free_of_the_dead(id, |ticket| self.has_ended(ticket));
        if freed {
            self.ring.count_lost();
        }
        freed
    }

    fn free_places_of_the_dead(self) {
        for (place, party) in self.table.iter().enumerate() {
            let word = party.process.load(SeqCst);
            let incarnation = party.incarnation.load(SeqCst);
            // The second look: the count is that of the process that was found, not of a later one.
            if word != 0 && Self::is_over(word) && party.process.load(SeqCst) == word {
                self.ring.recover_all(Ticket::new(place, incarnation));
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
        Ticket::new(ticket.place(), incarnation) != ticket || process == 0 || Self::is_over(process)
    }
}
