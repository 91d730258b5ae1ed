//! Two typed ends that talk to each other.
//!
//! Invariant: each direction is a channel of its own, so what holds of channels holds of either.

use std::{fmt, time::Duration};

use super::{ChannelBuilder, ChannelError, Receiver, RecvError, SendError, Sender};
use crate::Wire;

/// One of two connected ends: it sends `S` and receives `R`, the other one the reverse. Python's
/// `multiprocessing.Pipe`, but typed and bounded.
///
/// ```
/// let (ours, theirs) = pool_ipc::channel::duplex::<u32, String>(8)?;
/// ours.send(7)?;
/// theirs.send(format!("got {}", theirs.recv()?))?;
/// assert_eq!(ours.recv()?, "got 7");
/// drop(theirs);
/// assert!(ours.recv().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A process that is forked has copies of both ends, and drops the one that it does not use.
pub struct Duplex<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

/// Two connected ends: what the one sends the other receives.
pub type DuplexPair<A, B> = (Duplex<A, B>, Duplex<B, A>);

/// Two connected ends; `capacity` messages may be on their way in each direction.
///
/// # Errors
///
/// The errors of [`channel`](super::channel()).
pub fn duplex<A: Wire, B: Wire>(capacity: usize) -> Result<DuplexPair<A, B>, ChannelError> {
    ChannelBuilder::new(capacity).duplex()
}

impl ChannelBuilder {
    /// Makes two connected ends: each direction has the capacity and the memory asked for.
    ///
    /// # Errors
    ///
    /// The errors of [`build`](Self::build).
    pub fn duplex<A: Wire, B: Wire>(self) -> Result<DuplexPair<A, B>, ChannelError> {
        let (there, arrivals) = self.build()?;
        let (back, answers) = self.build()?;
        let ours = Duplex { sender: there, receiver: answers };
        Ok((ours, Duplex { sender: back, receiver: arrivals }))
    }
}

impl<S: Wire, R: Wire> Duplex<S, R> {
    /// Sends a message to the other end; waits while there are as many as there may be.
    ///
    /// # Errors
    ///
    /// The errors of [`Sender::send`].
    pub fn send(&self, message: S) -> Result<(), SendError<S>> {
        self.sender.send(message)
    }

    /// Sends a message like [`send`](Self::send), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// The errors of [`Sender::send_timeout`].
    pub fn send_timeout(&self, message: S, timeout: Duration) -> Result<(), SendError<S>> {
        self.sender.send_timeout(message, timeout)
    }

    /// Sends a message if there is room at once.
    ///
    /// # Errors
    ///
    /// The errors of [`Sender::try_send`].
    pub fn try_send(&self, message: S) -> Result<(), SendError<S>> {
        self.sender.try_send(message)
    }

    /// Receives the next message of the other end; waits while there is none.
    ///
    /// # Errors
    ///
    /// The errors of [`Receiver::recv`].
    pub fn recv(&self) -> Result<R, RecvError> {
        self.receiver.recv()
    }

    /// Receives a message like [`recv`](Self::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// The errors of [`Receiver::recv_timeout`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, RecvError> {
        self.receiver.recv_timeout(timeout)
    }

    /// Receives the next message if there is one.
    ///
    /// # Errors
    ///
    /// The errors of [`Receiver::try_recv`].
    pub fn try_recv(&self) -> Result<R, RecvError> {
        self.receiver.try_recv()
    }
}

impl<S, R> Duplex<S, R> {
    pub(super) fn of(sender: Sender<S>, receiver: Receiver<R>) -> Self {
        Self { sender, receiver }
    }

    /// The part that sends, with all that it can do.
    #[must_use]
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The part that receives, with all that it can do.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<R> {
        &self.receiver
    }

    /// Takes the end apart, for two threads for example.
    #[must_use]
    pub fn into_parts(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }
}

impl<S, R> Clone for Duplex<S, R> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), receiver: self.receiver.clone() }
    }
}

impl<S, R> fmt::Debug for Duplex<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex")
            .field("sender", &self.sender)
            .field("receiver", &self.receiver)
            .finish()
    }
}
