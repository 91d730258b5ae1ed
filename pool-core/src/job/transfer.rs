//! What a job sends to its workers, and what comes back.

use std::time::Instant;

use crate::{ids::ItemIndex, session::Message};

/// What comes back from the workers.
pub(crate) enum Arrival<R> {
    /// A message that workers of any kind send; its results are encoded.
    Message(Message),
    /// Results by value.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    Values { first: ItemIndex, nanos: u64, values: Vec<R> },
}

/// How to cut the next chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Most items in it.
    pub(super) most: usize,
    /// Whether the job needs to know how long the chunk takes.
    pub(super) timed: bool,
    /// No chunk of the job is under way, so that it can wait for room.
    pub(super) idle: bool,
    /// Until when it may wait then; `None`: as long as it takes.
    pub(super) until: Option<Instant>,
}

/// The items that were sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Parts that end one by one.
    pub(super) chunks: usize,
    pub(super) items: usize,
    /// Encoded bytes of the items.
    pub(super) bytes: usize,
    /// Bytes that stay allocated for them until they end.
    pub(super) room: usize,
}

/// The outcome of sending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Items are on their way.
    Load(Load),
    /// There is no room for a chunk now; results have to be taken first.
    NoRoom,
    /// The input has ended.
    Exhausted,
}
