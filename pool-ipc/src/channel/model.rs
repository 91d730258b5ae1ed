//! A ring and a side's sleep in private memory, made of the model checker's atomics.

use super::{
    events::{EventCount, EventTicket},
    ring::{Blocked, Ring},
    word::Ticket,
};
use crate::primitive::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

impl Ring {
    /// A ring in private memory that is never freed, with one word of payload in each slot.
    #[must_use]
    pub fn leaked(capacity: u32) -> Self {
        let word = || -> &'static AtomicU64 { Box::leak(Box::new(AtomicU64::new(0))) };
        let words = (0..2 * capacity).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        Self { tail: word(), head: word(), lost: word(), words, stride: 2, capacity }
    }

    /// Sends a number, if there is room.
    pub fn try_send(&self, ticket: Ticket, number: u64) -> bool {
        let Ok(claim) = self.claim(ticket) else { return false };
        self.payload(&claim)[0].store(number, Relaxed);
        self.publish(claim);
        true
    }

    /// Receives a number, if there is one.
    ///
    /// # Errors
    ///
    /// The slot in the way.
    pub fn try_recv(&self) -> Result<u64, Blocked> {
        self.take(|payload| payload[0].load(Relaxed))
    }
}

impl EventCount {
    /// An event count in private memory that is never freed.
    #[must_use]
    pub fn leaked() -> &'static Self {
        Box::leak(Box::new(Self(AtomicU32::new(0))))
    }

    /// Whether a thread with this ticket would not sleep.
    #[must_use]
    pub fn has_changed_since(&self, ticket: EventTicket) -> bool {
        self.0.load(SeqCst) != ticket.0
    }
}
