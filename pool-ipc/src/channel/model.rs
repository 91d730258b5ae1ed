//! A ring and a side's sleep in private memory, made of the model checker's atomics.

use super::{
    blocks::{BlockId, Blocks},
    events::{EventCount, EventTicket},
    ring::{Blocked, Claim, Ring, Taker},
    word::{MAX_PARTIES, Ticket},
};
use crate::primitive::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
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
        let mut number = Number(0);
        self.take(&mut number).map(|()| number.0)
    }
}

/// A receiver of numbers that lie in slots.
struct Number(u64);

impl Taker for Number {
    fn copy(&mut self, payload: &'static [AtomicU64]) -> bool {
        self.0 = payload[0].load(Relaxed);
        false
    }

    fn hold(&mut self) -> bool {
        true
    }
}

/// What a receiver has in hand.
pub struct InHand(AtomicU64);

impl InHand {
    /// A count in private memory that is never freed.
    #[must_use]
    pub fn leaked() -> &'static Self {
        Box::leak(Box::new(Self(AtomicU64::new(0))))
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.load(SeqCst) == 0
    }

    /// One is done.
    pub fn done(&self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Ring {
    /// Receives a number, if there is one, and counts it.
    ///
    /// # Errors
    ///
    /// The slot in the way.
    pub fn try_recv_counted(&self, in_hand: &InHand) -> Result<u64, Blocked> {
        let mut number = Number(0);
        self.take_counted(&mut number, &in_hand.0).map(|()| number.0)
    }
}

/// A receiver of messages that lie in blocks.
struct InBlock {
    blocks: Blocks,
    ticket: Ticket,
    id: BlockId,
}

impl Taker for InBlock {
    fn copy(&mut self, payload: &'static [AtomicU64]) -> bool {
        // Acquire: pairs with the Release in `Blocks::try_send`.
        self.id = BlockId(payload[0].load(Acquire));
        true
    }

    fn hold(&mut self) -> bool {
        self.blocks.hold(self.id, self.ticket)
    }
}

impl Blocks {
    /// The words of blocks, in private memory that is never freed, one at each place.
    #[must_use]
    pub fn leaked() -> Self {
        let words = (0..MAX_PARTIES).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        Self { words, each: 1 }
    }

    /// Sends a block, if there is room.
    pub fn try_send(self, ring: &Ring, ticket: Ticket, id: BlockId) -> bool {
        self.begin_send(ring, ticket, id).map(|claim| ring.publish(claim)).is_some()
    }

    /// Does all for a block to be sent but the last step, if there is room.
    pub fn begin_send(self, ring: &Ring, ticket: Ticket, id: BlockId) -> Option<Claim> {
        let claim = ring.claim(ticket).ok()?;
        // Release: as `Prepared::write` does.
        ring.payload(&claim)[0].store(id.0, Release);
        Some(claim)
    }

    /// Takes the next block, if there is one.
    ///
    /// # Errors
    ///
    /// The slot in the way.
    pub fn try_recv(self, ring: &Ring, ticket: Ticket) -> Result<BlockId, Blocked> {
        let mut taker = InBlock { blocks: self, ticket, id: BlockId(0) };
        ring.take(&mut taker).map(|()| taker.id)
    }

    /// Frees the first slot if its block was taken.
    pub fn free_if_taken(self, ring: &Ring) -> bool {
        // Acquire: as in `InBlock::copy`.
        ring.free_if_taken(|payload| !self.is_sent(BlockId(payload[0].load(Acquire))))
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
