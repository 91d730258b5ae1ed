//! What clients and servers say to each other: the bodies of frames, and the numbers of methods.
//!
//! Invariant: a value of the user's stays an archive at the server, beside the list of the server's
//! own objects that it refers to; the server never needs its type.

use pool_ipc::wire;

use crate::Error;

/// The number of a server, by which its proxies know it.
pub(crate) type ServerId = [u64; 2];
/// The number of a session: all connections of one process to one server.
pub(crate) type SessionId = [u64; 2];

/// The server itself, as the object of a call.
pub(crate) const SERVER: u64 = 0;
/// A time limit that is none.
pub(crate) const FOREVER: u64 = u64::MAX;

wire! {
    /// A value as its archive.
    #[derive(Debug, Default)]
    pub(crate) struct Blob {
        pub(crate) bytes: Vec<u8>,
        /// The objects of the server that proxies in the value stand for, each once.
        pub(crate) objects: Vec<u64>,
    }

    /// The arguments of a call, or what it returned.
    #[derive(Debug, Default)]
    pub(crate) struct Body {
        pub(crate) blobs: Vec<Blob>,
        pub(crate) numbers: Vec<u64>,
        pub(crate) texts: Vec<String>,
    }

    /// Why a call failed.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) enum Fault {
        Malformed,
        TooLarge(u64, u64),
        TimedOut,
        NoSuchObject,
        NoSuchSession,
        WrongType(String, String),
        WrongArgument(String, String),
        NotRegistered(String),
        NoSuchName(String),
        NameTaken(String),
        OutOfRange(u64, u64),
        Panicked(String),
        Decode,
        Encode,
        WouldDeadlock,
        NotHeld,
        Overflow,
        ServerFull,
        ShutDown,
        NotAllowed,
        InvalidInput(String),
        /// Not sent: the client is gone.
        Gone,
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed => Self::Malformed("the server did not understand a call"),
            Fault::TooLarge(len, limit) => Self::TooLarge { len, limit },
            Fault::TimedOut => Self::TimedOut,
            Fault::NoSuchObject => Self::NoSuchObject,
            Fault::NoSuchSession | Fault::Gone => Self::Disconnected,
            Fault::WrongType(expected, found) => Self::WrongType { expected, found },
            Fault::WrongArgument(expected, found) => Self::WrongArgument { expected, found },
            Fault::NotRegistered(name) => Self::NotRegistered(name),
            Fault::NoSuchName(name) => Self::NoSuchName(name),
            Fault::NameTaken(name) => Self::NameTaken(name),
            Fault::OutOfRange(index, len) => Self::OutOfRange { index, len },
            Fault::Panicked(message) => Self::Panicked(message),
            Fault::Decode => Self::Decode(pool_ipc::WireFault::Invalid),
            Fault::Encode => Self::Encode(pool_ipc::WireFault::Invalid),
            Fault::WouldDeadlock => Self::WouldDeadlock,
            Fault::NotHeld => Self::NotHeld,
            Fault::Overflow => Self::Overflow,
            Fault::ServerFull => Self::ServerFull,
            Fault::ShutDown => Self::ShutDown,
            Fault::NotAllowed => Self::NotSupported("only the owner of a server ends it"),
            Fault::InvalidInput(text) => Self::InvalidInput(text),
        }
    }
}

/// Numbers the methods of an object.
macro_rules! methods {
    ($($(#[$doc:meta])* $object:ident { $($method:ident),* $(,)? })*) => {$(
        $(#[$doc])*
        pub(crate) mod $object {
            methods!(@number 0u32; $($method)*);
        }
    )*};
    (@number $at:expr; $method:ident $($rest:ident)*) => {
        pub(crate) const $method: u32 = $at;
        methods!(@number $at + 1; $($rest)*);
    };
    (@number $at:expr;) => {};
}

methods! {
    /// Of the server itself.
    server { PING, CREATE, ATTACH, RELEASE, PUBLISH, LOOKUP, WITHDRAW, COUNT, SHUT_DOWN }
    /// Of a dictionary or a namespace.
    dict {
        GET, INSERT, INSERT_ABSENT, REMOVE, LEN, CONTAINS, KEYS, VALUES, ITEMS, CLEAR, UPDATE,
        POP_LAST, COMPARE_EXCHANGE,
    }
    /// Of a list.
    list {
        APPEND, EXTEND, GET, SET, INSERT, POP, REMOVE, SLICE, LEN, CLEAR, POSITION, COUNT, REVERSE,
        TRUNCATE, REPLACE,
    }
    /// Of a value.
    value { GET, SET, SWAP, COMPARE_EXCHANGE }
    /// Of a queue.
    queue { PUT, GET, LEN, CAPACITY, TASK_DONE, JOIN }
    /// Of a lock.
    lock { ACQUIRE, RELEASE, IS_LOCKED }
    /// Of an event.
    event { SET, CLEAR, IS_SET, WAIT }
    /// Of a semaphore.
    semaphore { ACQUIRE, RELEASE, ADD, AVAILABLE }
}

/// The names of the types that every server has.
pub(crate) mod names {
    pub(crate) const DICT: &str = "dict";
    pub(crate) const LIST: &str = "list";
    pub(crate) const NAMESPACE: &str = "Namespace";
    pub(crate) const VALUE: &str = "Value";
    pub(crate) const QUEUE: &str = "Queue";
    pub(crate) const LOCK: &str = "Lock";
    pub(crate) const REENTRANT_LOCK: &str = "RLock";
    pub(crate) const EVENT: &str = "Event";
    pub(crate) const SEMAPHORE: &str = "Semaphore";
}
