//! Typed messages over a connection.
//!
//! Invariant: a message is checked as its type's archive before it is a value.

use std::{
    net::Shutdown,
    sync::Arc,
    time::{Duration, Instant},
};

use pool_ipc::Wire;

use super::{ConnectionOptions, Frame, Head, Kind, Stream, frame, frame::Incoming};
use crate::{Error, context};

/// A connection whose two sides have proven what they had to. Messages are values of any
/// [`Wire`] type; the two sides agree on which type comes when.
///
/// ```
/// use pool_manager::{Address, Client, Listener};
///
/// let listener = Listener::bind(&Address::unique()?)?;
/// let address = listener.address().clone();
/// let client = std::thread::spawn(move || {
///     let mut connection = Client::connect(&address)?;
///     connection.send(&21u64)?;
///     connection.recv::<u64>()
/// });
/// let mut connection = listener.accept()?;
/// let number: u64 = connection.recv()?;
/// connection.send(&(number * 2))?;
/// assert_eq!(client.join().expect("no panic")?, 42);
/// # Ok::<(), pool_manager::Error>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    stream: Arc<Stream>,
    incoming: Incoming,
    limit: u64,
    sent: u32,
    received: u32,
    /// Set by the first error after which the stream cannot be read any more.
    failed: Option<Error>,
}

impl Connection {
    pub(super) fn new(stream: Arc<Stream>, options: &ConnectionOptions) -> Self {
        Self {
            stream,
            incoming: Incoming::new(),
            limit: options.max_message_bytes,
            sent: 0,
            received: 0,
            failed: None,
        }
    }

    /// Sends a message. Waits while the other side does not read.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::Encode`], after which the connection can still be used;
    /// [`Error::Disconnected`] and [`Error::Io`].
    pub fn send<T: Wire>(&mut self, message: &T) -> Result<(), Error> {
        let body = context::encode_message(message)?;
        let head = Head::message(self.sent);
        self.send_frame(head, &body)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] for a message of another type, which is taken then;
    /// [`Error::Disconnected`] at the end; [`Error::TooLarge`], [`Error::Malformed`] and
    /// [`Error::Io`], after which the connection cannot be read any more.
    pub fn recv<T: Wire>(&mut self) -> Result<T, Error> {
        self.recv_until(None)
    }

    /// Waits for the next message, for at most `limit`. What has arrived of it by then is kept for
    /// the next call.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv); [`Error::TimedOut`]; [`Error::NotSupported`] on a stream that
    /// is no socket.
    pub fn recv_timeout<T: Wire>(&mut self, limit: Duration) -> Result<T, Error> {
        // A time that no clock reaches is none.
        self.recv_until(Instant::now().checked_add(limit))
    }

    fn recv_until<T: Wire>(&mut self, deadline: Option<Instant>) -> Result<T, Error> {
        let frame = self.receive_frame(deadline).inspect_err(|_| {
            if self.failed.is_some() {
                self.stream.shut_down(Shutdown::Both);
            }
        })?;
        if frame.head.kind != Kind::Message {
            return Err(self.fail(Error::Malformed("a frame that is no message")));
        }
        context::decode_message(&frame.body)
    }

    /// Ends the connection for both sides. Dropping it does so, too.
    pub fn close(self) {}

    pub(crate) fn send_frame(&mut self, head: Head, body: &[u8]) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let head = Head { serial: self.sent, ..head };
        match frame::send(&self.stream, head, body, self.limit) {
            Ok(()) => {
                self.sent = self.sent.wrapping_add(1);
                Ok(())
            }
            // Nothing was sent.
            Err(error @ Error::TooLarge { .. }) => Err(error),
            Err(error) => Err(self.fail(error)),
        }
    }

    pub(crate) fn receive_frame(&mut self, deadline: Option<Instant>) -> Result<Frame, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.incoming.receive(&self.stream, self.limit, deadline) {
            Ok(frame) if frame.head.serial != self.received => {
                Err(self.fail(Error::Malformed("a frame out of turn")))
            }
            Ok(frame) => {
                self.received = self.received.wrapping_add(1);
                Ok(frame)
            }
            Err(error @ (Error::TimedOut | Error::NotSupported(_))) => Err(error),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// What ends the connection from another thread.
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    fn fail(&mut self, error: Error) -> Error {
        // What is too large is left unread. A session opens another connection before it drops this
        // one, which ends the stream.
        let how =
            if matches!(error, Error::TooLarge { .. }) { Shutdown::Read } else { Shutdown::Both };
        self.stream.shut_down(how);
        self.failed = Some(error.clone());
        error
    }
}
