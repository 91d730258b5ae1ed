//! The receiving side.
//!
//! Invariant: a message is taken by one step, after its bytes were copied and before any code of
//! the user runs. So a receiver never has a slot in hand, and one that dies holds up nothing.

use std::{fmt, marker::PhantomData, ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    endpoint::Endpoint,
    error::RecvError,
    payload::Received,
    wait::{Limit, Look, wait_until},
};
use crate::Wire;

/// An end of a channel that messages are received by. Clones, and copies in forked processes, take
/// messages of the same channel: each message is received once.
///
/// ```
/// let (sender, receiver) = pool_ipc::channel::channel::<u64>(10)?;
/// (0..3).try_for_each(|number| sender.send(number))?;
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Receiver<T> {
    endpoint: Arc<Endpoint>,
    messages: PhantomData<fn() -> T>,
}

impl<T: Wire> Receiver<T> {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, messages: PhantomData }
    }

    /// Receives the next message; waits while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`] when there is no message, and no sender any more;
    /// [`RecvError::Decode`].
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::ENDLESS)
    }

    /// Receives the next message; waits while there is none, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`], and the errors of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_until(Limit::after(timeout))
    }

    /// Receives the next message if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], and the errors of [`recv`](Self::recv). That the last sender went with
    /// its process is noticed by a try a millisecond later at the latest.
    #[inline]
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::Now)
    }

    /// The messages, one after the other, until there is no sender any more. Waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that there are, one after the other, until there is none. Does not wait.
    #[must_use]
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    #[inline]
    fn recv_until(&self, limit: Limit) -> Result<T, RecvError> {
        let mut received = Received::new();
        let taken = wait_until(&self.endpoint.own_side().events, limit, |look| {
            self.attempt(&mut received, limit, look)
        });
        match taken {
            Some(Ok(())) => {
                self.after_taking();
                received.decode().map_err(RecvError::Decode)
            }
            Some(Err(error)) => Err(error),
            None => Err(match limit {
                Limit::Now => RecvError::Empty,
                Limit::At(_) => RecvError::TimedOut,
            }),
        }
    }

    #[inline]
    fn attempt(
        &self,
        received: &mut Received,
        limit: Limit,
        look: Look,
    ) -> ControlFlow<Result<(), RecvError>> {
        let ring = self.endpoint.channel.memory.ring;
        let blocked = match ring.take(|slot| received.copy::<T>(slot)) {
            Ok(()) => return ControlFlow::Break(Ok(())),
            Err(blocked) => blocked,
        };
        let look = match limit {
            Limit::Now => self.endpoint.look_of_a_try(look),
            Limit::At(_) => look,
        };
        if look == Look::Thorough && self.endpoint.recover(blocked) {
            return self.attempt(received, limit, Look::Quick);
        }
        if !self.endpoint.is_other_side_gone(look) {
            return ControlFlow::Continue(());
        }
        // The last sender may have sent something after the look at the ring.
        match ring.take(|slot| received.copy::<T>(slot)) {
            Ok(()) => ControlFlow::Break(Ok(())),
            // Its process is about to end: then the slot is recovered.
            Err(blocked) if blocked.writer().is_some() && !self.endpoint.recover(blocked) => {
                ControlFlow::Continue(())
            }
            Err(blocked) if blocked.writer().is_some() => self.attempt(received, limit, look),
            Err(_) => ControlFlow::Break(Err(RecvError::Disconnected)),
        }
    }

    /// Wakes a sender; and another receiver, for which a message lies behind the one that was
    /// taken.
    #[inline]
    fn after_taking(&self) {
        self.endpoint.other_side().events.wake_one();
        let own = &self.endpoint.own_side().events;
        if own.has_sleepers() && self.endpoint.channel.memory.ring.has_message() {
            own.wake_one();
        }
    }
}

impl<T> Receiver<T> {
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

    /// How many messages were lost with processes that were killed while they sent them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.endpoint.channel.memory.ring.lost()
    }
}

/// What [`Receiver::iter`] returns.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T: Wire> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.receiver.recv() {
            Err(RecvError::Disconnected) => None,
            received => Some(received),
        }
    }
}

/// What [`Receiver::try_iter`] returns.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T: Wire> Iterator for TryIter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.receiver.try_recv() {
            Err(RecvError::Empty | RecvError::Disconnected) => None,
            received => Some(received),
        }
    }
}

impl<'a, T: Wire> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), messages: PhantomData }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
