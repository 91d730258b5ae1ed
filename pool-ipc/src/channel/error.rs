//! The errors of channels.
//!
//! Invariant: a message that was not sent comes back with the error; what the system answered is
//! the error's `source()`, and not in its text.

use std::{error, fmt};

use crate::WireFault;

/// Why there is no channel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ChannelError {
    /// A channel for no message was asked for. Ask for at least one.
    NoCapacity,
    /// There cannot be a channel for so many messages. Ask for fewer.
    TooManySlots {
        /// Messages asked for.
        capacity: usize,
        /// The most there can be.
        most: usize,
    },
    /// There is no shared memory for it; the source says why.
    Memory(pool_shm::Error),
    /// There is no socket pair for it, or it could not be set up: descriptors are used up, for
    /// example. The source says why.
    Sockets(pool_shm::Error),
}

/// Why a process cannot take part in a channel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProcessFault {
    /// 64 living processes send, or receive messages that may lie in regions, or have left such
    /// messages behind. Let one of them drop its endpoints.
    TooMany,
    /// The process was put into another PID or time namespace than the maker of the channel, so the
    /// others could not see whether it lives.
    ForeignNamespace,
    /// The process cannot find out its own name, without `/proc` for example; the source says why.
    Unidentified(pool_shm::Error),
}

/// Why a message was not sent. It comes back: [`into_message`](Self::into_message).
#[non_exhaustive]
pub enum SendError<T> {
    /// There is no room at present. Only [`try_send`](super::Sender::try_send) says so.
    Full(T),
    /// There was no room in time. Only [`send_timeout`](super::Sender::send_timeout) says so.
    TimedOut(T),
    /// There is no receiver any more, in any process.
    Disconnected(T),
    /// The encoded message is larger than a message of this channel may be. Send it in parts.
    TooLarge {
        /// The message.
        message: T,
        /// Bytes of the message, encoded.
        bytes: usize,
        /// The most there may be.
        most: usize,
    },
    /// The message could not be encoded.
    Encode {
        /// The message.
        message: T,
        /// The reason. [`WireFault::Segment`] for handles of shared objects and ends of channels,
        /// which do not cross by channels.
        fault: WireFault,
    },
    /// This process cannot take part.
    Process {
        /// The message.
        message: T,
        /// The reason.
        fault: ProcessFault,
    },
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message)
            | Self::TimedOut(message)
            | Self::Disconnected(message)
            | Self::TooLarge { message, .. }
            | Self::Encode { message, .. }
            | Self::Process { message, .. } => message,
        }
    }
}

/// Why no message was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// There is no message at present. Only [`try_recv`](super::Receiver::try_recv) says so.
    Empty,
    /// There was no message in time. Only [`recv_timeout`](super::Receiver::recv_timeout) says so.
    TimedOut,
    /// There is no message, and no sender any more, in any process.
    Disconnected,
    /// The next message is no valid value of its type; it is lost. The source says why.
    Decode(WireFault),
    /// This process cannot take part; the source says why. The message stays in the channel.
    Process(ProcessFault),
}

impl From<pool_shm::Error> for ChannelError {
    fn from(error: pool_shm::Error) -> Self {
        Self::Memory(error)
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity => f.write_str("a channel holds at least one message"),
            Self::TooManySlots { capacity, most } => {
                write!(
                    f,
                    "a channel for {capacity} messages is more than {most}, the most there can be"
                )
            }
            Self::Memory(_) => f.write_str("there is no shared memory for the channel"),
            Self::Sockets(_) => f.write_str("there is no socket pair for the channel"),
        }
    }
}

impl error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Memory(error) => Some(error),
            Self::Sockets(error) => Some(error),
            Self::NoCapacity | Self::TooManySlots { .. } => None,
        }
    }
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "64 processes take part in the channel already",
            Self::ForeignNamespace => {
                "the channel was made in another PID or time namespace than this process is in"
            }
            Self::Unidentified(_) => "the process cannot find out its own name",
        })
    }
}

impl error::Error for ProcessFault {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unidentified(error) => Some(error),
            Self::TooMany | Self::ForeignNamespace => None,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the channel is full"),
            Self::TimedOut(_) => f.write_str("the channel was full all the time"),
            Self::Disconnected(_) => f.write_str("the channel has no receiver any more"),
            Self::TooLarge { bytes, most, .. } => {
                write!(
                    f,
                    "a message of {bytes} bytes is more than the {most} that the channel takes"
                )
            }
            Self::Encode { .. } => f.write_str("the message could not be encoded"),
            Self::Process { .. } => f.write_str("the process cannot take part in the channel"),
        }
    }
}

/// Needs nothing of the message.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::TimedOut(_) => f.write_str("TimedOut(..)"),
            Self::Disconnected(_) => f.write_str("Disconnected(..)"),
            Self::TooLarge { bytes, most, .. } => f
                .debug_struct("TooLarge")
                .field("bytes", bytes)
                .field("most", most)
                .finish_non_exhaustive(),
            Self::Encode { fault, .. } => {
                f.debug_struct("Encode").field("fault", fault).finish_non_exhaustive()
            }
            Self::Process { fault, .. } => {
                f.debug_struct("Process").field("fault", fault).finish_non_exhaustive()
            }
        }
    }
}

impl<T> error::Error for SendError<T> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Encode { fault, .. } => Some(fault),
            Self::Process { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::TimedOut => "the channel was empty all the time",
            Self::Disconnected => "the channel is empty and has no sender any more",
            Self::Decode(_) => "the message could not be decoded",
            Self::Process(_) => "the process cannot take part in the channel",
        })
    }
}

impl error::Error for RecvError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Decode(fault) => Some(fault),
            Self::Process(fault) => Some(fault),
            Self::Empty | Self::TimedOut | Self::Disconnected => None,
        }
    }
}
