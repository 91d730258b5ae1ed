//! The sending side.
//!
//! Invariant: nothing of the user's runs between claim and publication of a slot, so a slot is in
//! hand for as long as it takes to copy a message.

use std::{
    fmt,
    marker::PhantomData,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use super::{
    encode::{Allocated, Unfit, prepare},
    endpoint::Endpoint,
    error::SendError,
    payload::{MOST_ENCODED, Prepared},
    ring::Claim,
    wait::{Limit, Look, wait_until},
    word::Ticket,
};
use crate::Wire;

/// An end of a channel that messages are sent by. Clones, copies in forked processes, and those
/// that were sent to others send to the same receivers.
///
/// ```
/// let (sender, receiver) = pool_ipc::channel::channel::<String>(10)?;
/// sender.send("a".into())?;
/// assert_eq!(receiver.recv()?, "a");
/// drop(receiver);
/// assert_eq!(sender.send("b".into()).unwrap_err().into_message(), "b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sender<T> {
    endpoint: Arc<Endpoint>,
    messages: PhantomData<fn(T)>,
}

impl<T: Wire> Sender<T> {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, messages: PhantomData }
    }

    /// Sends a message; waits while the channel is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Disconnected`] when there is no receiver any more. Receivers that went with
    /// their processes are noticed when the channel is full, and after 2048 messages at the latest;
    /// others at once. [`SendError::TooLarge`], [`SendError::Encode`], [`SendError::Process`]. The
    /// message comes back.
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, Limit::ENDLESS)
    }

    /// Sends a message; waits while the channel is full, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::TimedOut`], and the errors of [`send`](Self::send).
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendError<T>> {
        self.send_until(message, Limit::after(timeout))
    }

    /// Sends a message if there is room at once.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], and the errors of [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, Limit::Now)
    }

    #[inline]
    fn send_until(&self, message: T, limit: Limit) -> Result<(), SendError<T>> {
        if self.endpoint.is_other_side_gone(Look::Quick) {
            return Err(SendError::Disconnected(message));
        }
        let ticket = match self.endpoint.channel.ticket() {
            Ok(ticket) => ticket,
            Err(fault) => return Err(SendError::Process { message, fault }),
        };
        let allocate = |len| self.allocate(ticket, len, limit);
        let sent = prepare(&message, allocate, |prepared: Prepared<'_, T>| {
            let claim = self.claim(ticket, limit)?;
            let ring = self.endpoint.channel.memory.ring;
            prepared.write(ring.payload(&claim));
            let look_around = claim.is_last_of_many();
            ring.publish(claim);
            self.after_publication(look_around);
            Ok(())
        });
        sent.map_err(|unfit| match unfit {
            Unfit::Disconnected => SendError::Disconnected(message),
            Unfit::NoRoom => match limit {
                Limit::Now => SendError::Full(message),
                Limit::At(_) => SendError::TimedOut(message),
            },
            Unfit::Encode(fault) => SendError::Encode { message, fault },
            Unfit::TooLarge { bytes } => {
                let most = self.endpoint.channel.memory.region_bytes.max(MOST_ENCODED);
                SendError::TooLarge { message, bytes, most }
            }
        })
    }

    /// Claims a slot; waits while there is none.
    #[inline]
    fn claim(&self, ticket: Ticket, limit: Limit) -> Result<Claim, Unfit> {
        let ring = self.endpoint.channel.memory.ring;
        self.wait(limit, |look| match ring.claim(ticket) {
            Ok(claim) => Some(claim),
            Err(blocked) => {
                if look == Look::Thorough {
                    self.endpoint.recover(blocked);
                }
                None
            }
        })
    }

    /// Allocates a block; waits while there is no room.
    #[cold]
    fn allocate(&self, ticket: Ticket, len: usize, limit: Limit) -> Result<Allocated, Unfit> {
        let channel = &self.endpoint.channel;
        if len > channel.memory.region_bytes {
            return Err(Unfit::TooLarge { bytes: len });
        }
        self.wait(limit, |look| {
            if look == Look::Thorough {
                channel.free_of_the_dead(ticket);
            }
            channel.allocate(ticket, len)
        })
    }

    /// Tries until it succeeds, the time is over, or there is no receiver any more.
    #[inline]
    fn wait<R>(
        &self,
        limit: Limit,
        mut attempt: impl FnMut(Look) -> Option<R>,
    ) -> Result<R, Unfit> {
        let (events, rarely) = (&self.endpoint.own_side().events, &self.endpoint.rarely);
        let outcome = wait_until(events, limit, rarely, |look| {
            if let Some(result) = attempt(look) {
                return ControlFlow::Break(Ok(result));
            }
            if self.endpoint.is_other_side_gone(look) {
                return ControlFlow::Break(Err(Unfit::Disconnected));
            }
            ControlFlow::Continue(())
        });
        match outcome {
            Some(outcome) => outcome,
            None if matches!(limit, Limit::Now) && self.endpoint.take_notice(0) => {
                attempt(Look::Quick).ok_or(Unfit::NoRoom)
            }
            None => Err(Unfit::NoRoom),
        }
    }

    /// Wakes a receiver; and another sender, if it was woken too early or its waker has died.
    #[inline]
    fn after_publication(&self, look_around: bool) {
        self.endpoint.other_side().events.wake_one();
        self.endpoint.notify();
        let own = &self.endpoint.own_side().events;
        if own.has_sleepers() && self.endpoint.channel.memory.ring.has_room() {
            own.wake_one();
        }
        if look_around {
            self.endpoint.is_other_side_gone(Look::Thorough);
        }
    }
}

impl<T> Sender<T> {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How many messages are in the channel, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoint.channel.memory.ring.len()
    }

    /// Whether there is no message in the channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another message.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many messages the channel holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.endpoint.channel.memory.ring.capacity as usize
    }

    /// How many messages were lost with processes that were killed while they sent them, or had
    /// them in hand in the region of another.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.endpoint.channel.memory.ring.lost()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), messages: PhantomData }
    }
}

/// A descriptor that is readable when there is room again, or the last receiver has gone. What is
/// said of that of a [`Receiver`](super::Receiver) holds of it, with
/// [`try_send`](Sender::try_send) and [`SendError::Full`].
impl<T> AsFd for Sender<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.watch()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
