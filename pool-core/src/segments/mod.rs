//! How the descriptors of shared segments get from process to process.
//!
//! A handle in a message names its segment by a number of 128 bits. The zygote finds the descriptor
//! for a number: the sender of a handle has registered its segment there before, the receiver asks
//! once and then keeps it mapped.
//!
//! Invariant: a process's registrations hold as long as it has the segment. Those of a dead process
//! hold until the parent has read the last of its results.
//!
//! * `table.rs`: the zygote's side: which segments there are, and which process has registered
//!   them.
//! * `client.rs`: the client, in the parent and in each worker.
//! * `cache.rs`: the segments that a worker keeps mapped.

mod cache;
mod client;
mod table;

pub(crate) use cache::SegmentCache;
pub(crate) use client::SegmentClient;
pub(crate) use table::SegmentTable;
