//! What can go wrong with connections, servers and the objects on them.
//!
//! Invariant: each variant says what its reader can do; an error of the system is the `source()`.

use std::{fmt, io, sync::Arc, time::Duration};

use pool_ipc::WireFault;

use crate::Address;

/// Why a connection, a server or a call of an object failed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// An argument or an option that cannot be used, named in the text. Nothing was started.
    InvalidInput(String),
    /// What this address, stream or start method cannot do.
    NotSupported(&'static str),
    /// No listener could be bound to the address: choose another one.
    Bind {
        /// The address that was asked for.
        address: Address,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// No listener answers at the address.
    Connect {
        /// The address that was asked for.
        address: Address,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The address or the other side asks for a key, and none was given.
    KeyRequired,
    /// A key was given, and the other side has none: it may not be the one that is meant.
    KeyNotUsed,
    /// The keys of the two sides differ, or the other side does not know its key.
    Refused,
    /// The peer of a Unix socket runs as another user.
    OtherUser {
        /// The user of the peer.
        uid: u32,
    },
    /// The other side did not complete the handshake within this time.
    HandshakeTimedOut(Duration),
    /// What arrived is no frame, or none that belongs here. The connection is closed.
    Malformed(&'static str),
    /// A message is larger than the limit. One that was to be sent was not; one that arrived has
    /// closed the connection. Raise `max_message_bytes` on the side that refused it.
    TooLarge {
        /// The bytes of the message.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The other side has closed the connection, or has ended.
    Disconnected,
    /// The time limit was over first; nothing was changed. Also where nothing was to be waited for:
    /// a lock that is held, a queue that is full or empty.
    TimedOut,
    /// A value could not be encoded. A handle of shared memory or of a channel crosses no socket.
    Encode(WireFault),
    /// What arrived is no value of the type that was asked for.
    Decode(WireFault),
    /// An error of the system.
    Io(Arc<io::Error>),
    /// The server has no such object (any more): its last proxy is gone, or it was made by a server
    /// that has ended.
    NoSuchObject,
    /// The object has another type than its proxy is for.
    WrongType {
        /// The type that the proxy is for.
        expected: String,
        /// The type of the object.
        found: String,
    },
    /// The constructor of an own type takes another argument.
    WrongArgument {
        /// The type that the constructor takes.
        expected: String,
        /// The type of the argument.
        found: String,
    },
    /// No type of this name is registered at the server.
    NotRegistered(String),
    /// No object is published under this name.
    NoSuchName(String),
    /// An object is already published under this name.
    NameTaken(String),
    /// The list has no element at this index.
    OutOfRange {
        /// The index that was asked for.
        index: u64,
        /// The length of the list.
        len: u64,
    },
    /// The method of an own type panicked, with this message. The object is still there.
    Panicked(String),
    /// The calling thread itself holds the lock that it would wait for.
    WouldDeadlock,
    /// The lock, permit or task is not held by the caller (any more).
    NotHeld,
    /// A number would leave its range: a semaphore's permits, the tasks of a queue.
    Overflow,
    /// The server has as many connections as it may have.
    ServerFull,
    /// The server has been shut down.
    ShutDown,
    /// The process of the server could not be started, or ended before it was ready.
    Start(pool_core::Error),
    /// The process of the server had ended before it was shut down.
    Ended(pool_core::Error),
}

impl Error {
    pub(crate) fn io(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof => Self::Disconnected,
            _ => Self::Io(Arc::new(error)),
        }
    }

    pub(crate) fn errno(errno: nix::errno::Errno) -> Self {
        Self::io(errno.into())
    }
}

/// The text of the error and of its sources, as `main` prints it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidInput(what) => f.write_str(what),
            Self::NotSupported(what) => write!(f, "not supported here: {what}"),
            Self::Bind { address, .. } => write!(f, "no listener can be bound to {address}"),
            Self::Connect { address, .. } => write!(f, "no listener answers at {address}"),
            Self::KeyRequired => f.write_str("a key is required here, and none was given"),
            Self::KeyNotUsed => f.write_str("a key was given, but the other side has none"),
            Self::Refused => f.write_str("the other side has another key"),
            Self::OtherUser { uid } => write!(f, "the peer runs as another user, {uid}"),
            Self::HandshakeTimedOut(limit) => {
                write!(f, "the other side did not complete the handshake within {limit:?}")
            }
            Self::Malformed(what) => write!(f, "what arrived is not well formed: {what}"),
            Self::TooLarge { len, limit } => {
                write!(f, "a message of {len} bytes is larger than the limit of {limit} bytes")
            }
            Self::Disconnected => f.write_str("the other side has closed the connection"),
            Self::TimedOut => f.write_str("the time limit was over first"),
            Self::Encode(_) => f.write_str("a value could not be encoded for a socket"),
            Self::Decode(_) => f.write_str("what arrived is no value of the expected type"),
            Self::Io(_) => f.write_str("an error of the system on a connection"),
            Self::NoSuchObject => f.write_str("the server has no such object (any more)"),
            Self::WrongType { expected, found } => {
                let name = |of: &str| of.split(';').next().unwrap_or_default().to_string();
                let (for_type, is) = (name(expected), name(found));
                if for_type == is {
                    return write!(
                        f,
                        "the proxy and the object have other methods: {expected}; {found}"
                    );
                }
                write!(f, "the proxy is for a {for_type}, and the object is a {is}")
            }
            Self::WrongArgument { expected, found } => {
                write!(f, "the constructor takes a {expected}, and the argument is a {found}")
            }
            Self::NotRegistered(name) => {
                write!(f, "the server has no registered type named {name:?}")
            }
            Self::NoSuchName(name) => write!(f, "no object is published as {name:?}"),
            Self::NameTaken(name) => write!(f, "an object is already published as {name:?}"),
            Self::OutOfRange { index, len } => {
                write!(f, "index {index} is out of range for a list of length {len}")
            }
            Self::Panicked(message) => write!(f, "the method of the object panicked: {message}"),
            Self::WouldDeadlock => f.write_str("the calling thread holds this lock itself"),
            Self::NotHeld => f.write_str("the caller does not hold this (any more)"),
            Self::Overflow => f.write_str("a number would leave its range"),
            Self::ServerFull => f.write_str("the server has as many connections as it may have"),
            Self::ShutDown => f.write_str("the server has been shut down"),
            Self::Start(_) => f.write_str("the process of the server could not be started"),
            Self::Ended(_) => f.write_str("the process of the server had ended already"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::Connect { source, .. } | Self::Io(source) => {
                Some(&**source)
            }
            Self::Encode(fault) | Self::Decode(fault) => Some(fault),
            Self::Start(error) | Self::Ended(error) => Some(error),
            _ => None,
        }
    }
}
