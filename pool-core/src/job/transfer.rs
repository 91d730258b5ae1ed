//! What a job sends, and what comes back.

use crate::session::Message;

/// What comes back.
pub(crate) enum Arrival<R> {
    /// As workers of any kind have it; results lie encoded.
    Message(Message),
    /// Results as they are.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    Values { first: u64, nanos: u64, values: Vec<R> },
}

/// What the next chunk is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Most items in it.
    pub(super) most: usize,
    /// Whether its time is of use.
    pub(super) timed: bool,
    /// Nothing of the job is under way, so that there is nothing to wait for but room.
    pub(super) idle: bool,
}

/// What was sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Parts that end one by one.
    pub(super) chunks: usize,
    pub(super) items: usize,
    /// Encoded bytes of the items.
    pub(super) bytes: usize,
    /// Bytes that are taken for them until they end.
    pub(super) room: usize,
}

/// How far sending came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Items are on their way.
    Load(Load),
    /// There is no room for it now; results have to be taken first.
    NoRoom,
    /// The input is at its end.
    Exhausted,
}
