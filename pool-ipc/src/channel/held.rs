//! A message that lies in a block, in the hands of a receiver.
//!
//! Invariant: nothing writes to a block between the step that hands it to a receiver and the moment
//! when that gives it back, since its sender allocates it again only afterwards. A forked child
//! gives back nothing that its parent has in hand.

use std::marker::PhantomData;

use pool_shm::Exclusive;

use super::{
    endpoint::Channel,
    payload::{InBlock, Received, is_plain},
    ring::{Blocked, Taker},
    word::Ticket,
};
use crate::{Decoder, Wire, WireFault, primitive::AtomicU64, view_bytes};

/// A receiver that looks for its next message.
pub(super) struct Taking<'r, 'w, 'a, T> {
    pub(super) received: &'r mut Received<'w>,
    pub(super) channel: &'a Channel,
    /// `None` where messages lie in slots only.
    pub(super) ticket: Option<Ticket>,
    /// Where messages are counted until they are done.
    pub(super) in_hand: Option<&'a AtomicU64>,
    pub(super) messages: PhantomData<fn() -> T>,
}

impl<T: Wire> Taker for Taking<'_, '_, '_, T> {
    #[inline]
    fn copy(&mut self, payload: &'static [AtomicU64]) -> bool {
        self.received.copy::<T>(payload);
        !is_plain::<T>() && self.received.in_block.is_some()
    }

    fn hold(&mut self) -> bool {
        let blocks = self.channel.memory.blocks;
        self.received.in_block.zip(self.ticket).is_some_and(|(at, by)| blocks.hold(at.id, by))
    }
}

impl<'a, T: Wire> Taking<'_, '_, 'a, T> {
    /// Takes the next message of the ring.
    #[inline]
    pub(super) fn take(&mut self) -> Result<(), Blocked> {
        let ring = self.channel.memory.ring;
        match self.in_hand {
            None => ring.take(self),
            Some(in_hand) => ring.take_counted(self, in_hand),
        }
    }

    /// The block of the message that was taken, if it lies in one.
    #[inline]
    pub(super) fn into_block(self) -> Option<HeldBlock<'a>> {
        if is_plain::<T>() {
            return None;
        }
        let (message, ticket) = self.received.in_block.zip(self.ticket)?;
        Some(HeldBlock { channel: self.channel, message, ticket })
    }
}

/// A block in hand; given back when dropped.
pub(super) struct HeldBlock<'a> {
    channel: &'a Channel,
    message: InBlock,
    ticket: Ticket,
}

impl HeldBlock<'_> {
    /// Checks the message and makes its value, from where it lies.
    pub(super) fn decode<T: Wire>(&self) -> Result<T, WireFault> {
        let _lent = Exclusive::begin();
        Decoder::new().decode(self.bytes()?)
    }

    /// Checks the message and lends it to `read`, where it lies.
    pub(super) fn view<T: Wire, R>(
        &self,
        read: impl FnOnce(&T::Archived) -> R,
    ) -> Result<R, WireFault> {
        let _lent = Exclusive::begin();
        view_bytes::<T>(self.bytes()?).map(read)
    }

    fn bytes(&self) -> Result<&[u8], WireFault> {
        let InBlock { id, offset, len } = self.message;
        let start = self.channel.memory.range(id.place(), offset, len).ok_or(WireFault::Invalid)?;
        // SAFETY: within the mapping, which the channel keeps; no process writes to the block until
        // it is given back (see above).
        Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }
}

impl Drop for HeldBlock<'_> {
    fn drop(&mut self) {
        if self.channel.has_ticket(self.ticket) {
            let memory = &self.channel.memory;
            memory.blocks.free(self.message.id);
            // Which of the senders has use for the room is not known here.
            memory.header.senders.events.wake_any_sleepers();
        }
    }
}
