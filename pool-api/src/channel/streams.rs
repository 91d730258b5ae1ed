//! Endpoints of channels for executors (feature `async`).

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;
use pool_core::AwaitedEndpoint;

use super::{Receiver, RecvError, SendError, Sender};
use crate::Wire;

/// The messages of a channel as a stream, until there is no sender any more.
///
/// While tasks wait for messages or for room, one thread of this process watches all channels that
/// they wait for. An executor that watches descriptors needs no such thread with
/// [`AsFd`](Receiver#impl-AsFd-for-Receiver<T>).
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Poll, Waker};
///
/// use futures_core::Stream;
/// use pool_api::channel::{RecvStream, channel};
///
/// let (sender, receiver) = channel::<u64>(10)?;
/// let mut stream = RecvStream::new(receiver);
/// let mut context = Context::from_waker(Waker::noop());
/// assert!(Pin::new(&mut stream).poll_next(&mut context).is_pending());
/// sender.send(7)?;
/// let next = Pin::new(&mut stream).poll_next(&mut context);
/// assert!(matches!(next, Poll::Ready(Some(Ok(7)))));
/// drop(sender);
/// assert!(matches!(Pin::new(&mut stream).poll_next(&mut context), Poll::Ready(None)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "messages are received when it is polled"]
pub struct RecvStream<T: Wire> {
    receiver: AwaitedEndpoint<Receiver<T>>,
}

impl<T: Wire> RecvStream<T> {
    /// The messages that this receiver gets.
    pub fn new(receiver: Receiver<T>) -> Self {
        Self { receiver: AwaitedEndpoint::new(receiver) }
    }

    /// The receiver.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<T> {
        self.receiver.endpoint()
    }
}

impl<T: Wire> Stream for RecvStream<T> {
    /// A message, or why one is lost: [`RecvError::Decode`], [`RecvError::Process`].
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll(context, |receiver| match receiver.try_recv() {
            Err(RecvError::Empty) => None,
            Err(RecvError::Disconnected) => Some(None),
            received => Some(Some(received)),
        })
    }
}

impl<T: Wire> fmt::Debug for RecvStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecvStream").field(self.receiver()).finish()
    }
}

/// A sender as a sink, which holds one message back while there is no room. Its sender goes when it
/// is closed.
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Waker};
///
/// use futures_sink::Sink;
/// use pool_api::channel::{SendSink, channel};
///
/// let (sender, receiver) = channel::<u64>(1)?;
/// let mut sink = SendSink::new(sender);
/// let mut context = Context::from_waker(Waker::noop());
/// for number in [1, 2] {
///     assert!(Pin::new(&mut sink).poll_ready(&mut context).is_ready());
///     Pin::new(&mut sink).start_send(number)?;
/// }
/// // The second one waits for room.
/// assert!(Pin::new(&mut sink).poll_flush(&mut context).is_pending());
/// assert_eq!(receiver.recv()?, 1);
/// assert!(Pin::new(&mut sink).poll_flush(&mut context).is_ready());
/// assert_eq!(receiver.recv()?, 2);
/// assert!(Pin::new(&mut sink).poll_close(&mut context).is_ready());
/// assert!(receiver.recv().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "messages are sent when it is polled"]
pub struct SendSink<T: Wire> {
    /// `None` once it is closed.
    sender: Option<AwaitedEndpoint<Sender<T>>>,
    waiting: Option<T>,
}

impl<T: Wire> SendSink<T> {
    /// A sink that sends by this sender.
    pub fn new(sender: Sender<T>) -> Self {
        Self { sender: Some(AwaitedEndpoint::new(sender)), waiting: None }
    }

    /// The sender, until the sink is closed.
    #[must_use]
    pub fn sender(&self) -> Option<&Sender<T>> {
        self.sender.as_ref().map(AwaitedEndpoint::endpoint)
    }

    /// The message that waits for room, if there is one, which is not sent then.
    pub fn take_waiting(&mut self) -> Option<T> {
        self.waiting.take()
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let Self { sender: Some(sender), waiting } = self else { return Poll::Ready(Ok(())) };
        sender.poll(context, |sender| match sender.try_send(waiting.take()?) {
            Err(SendError::Full(message)) => {
                *waiting = Some(message);
                None
            }
            sent => Some(sent),
        })
    }
}

// The message that waits is never pinned.
impl<T: Wire> Unpin for SendSink<T> {}

impl<T: Wire> Sink<T> for SendSink<T> {
    /// The message comes back.
    type Error = SendError<T>;

    fn poll_ready(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.poll_flush(context)
    }

    fn start_send(self: Pin<&mut Self>, message: T) -> Result<(), Self::Error> {
        let this = self.get_mut();
        if this.waiting.is_some() {
            return Err(SendError::Full(message)); // it was not ready
        }
        let Some(sender) = this.sender() else { return Err(SendError::Disconnected(message)) };
        match sender.try_send(message) {
            Err(SendError::Full(message)) => {
                this.waiting = Some(message);
                Ok(())
            }
            sent => sent,
        }
    }

    /// Ready once the message that waited is sent.
    fn poll_flush(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        if this.waiting.is_none() { Poll::Ready(Ok(())) } else { this.poll_sent(context) }
    }

    /// Sends the message that waits, and lets the sender go.
    fn poll_close(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut *this).poll_flush(context);
        if let Poll::Ready(Ok(())) = sent {
            this.sender = None;
        }
        sent
    }
}

impl<T: Wire> fmt::Debug for SendSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSink").field("sender", &self.sender()).finish_non_exhaustive()
    }
}
