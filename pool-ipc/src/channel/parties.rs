//! The processes that take part in a channel, each by a place in a table.
//!
//! Invariant: a place belongs to the process whose word it holds. The place of one that has ended
//! is given to another only after no slot of the ring names that party any more; and a party never
//! has the ticket of one before it, so a process that has found a party dead does no harm to the
//! next one at the place, however late it acts.

use pool_shm::ProcessIdentity;

use super::{
    error::ProcessFault,
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
}

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

    /// Gives the place of the calling process back. It has no slot in hand.
    pub(super) fn release(self, ticket: Ticket) {
        self.table[ticket.place()].process.store(0, SeqCst);
    }

    fn free_places_of_the_dead(self) {
        for (place, party) in self.table.iter().enumerate() {
            let word = party.process.load(SeqCst);
            let incarnation = party.incarnation.load(SeqCst);
            // The second look: the count is that of the process that was found, not of a later one.
            if word != 0
                && ProcessIdentity::from_word(word).has_ended()
                && party.process.load(SeqCst) == word
            {
                self.ring.recover_all(Ticket::new(place, incarnation));
                // Another process that has found the same may be faster.
                let _ = party.process.compare_exchange(word, 0, SeqCst, SeqCst);
            }
        }
    }

    /// Recovers the slot in the way if the sender that has it in hand has ended.
    pub(super) fn recover(self, blocked: Blocked) -> bool {
        let Some(ticket) = blocked.writer() else { return false };
        let party = &self.table[ticket.place()];
        // Acquire, both: the sender counted before it could claim the slot that names it.
        let incarnation = party.incarnation.load(Acquire);
        let process = party.process.load(Acquire);
        let has_ended = Ticket::new(ticket.place(), incarnation) != ticket
            || process == 0
            || ProcessIdentity::from_word(process).has_ended();
        has_ended && self.ring.recover(blocked)
    }
}
