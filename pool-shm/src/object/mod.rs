//! Objects in shared memory: blocks in segments that are known by a random identity.
//!
//! Invariant: a block's place is never used a second time, so identity and slot name one object for
//! ever, whichever processes still have a handle to it, by a message or by a fork. Only the
//! kernel's count of mappings and descriptors keeps memory alive.
//!
//! * `segment.rs`: a segment as this process sees it; `layout.rs`: its layout, a slotted page.
//! * `identity.rs`: its identity; `registry.rs`: the segments that this process has mapped.
//! * `presence.rs`: segments without memory, which tell of their presence; `socket_end.rs`: the
//!   sockets that do so.
//! * `block.rs`: a handle to the memory of one object; `heap.rs`: places new objects.
//! * `fault.rs`: why a handle that came from another process is refused.
//! * `watchers.rs`: the watchers that are told when this process lets a segment go.
//! * `per_process.rs`: state of which each process has its own, although a fork copies it.

mod block;
mod fault;
mod heap;
mod identity;
mod layout;
mod per_process;
mod presence;
mod registry;
mod segment;
mod socket_end;
mod watchers;

#[cfg(feature = "named")]
pub(crate) use identity::Content;
pub(crate) use layout::begins_at;
pub(crate) use segment::set_dumped;

pub use block::Block;
pub use fault::SegmentFault;
pub use identity::SegmentId;
pub use layout::{ElementType, Kind, Shape};
pub use per_process::PerProcess;
pub use segment::SharedSegment;
pub use watchers::SegmentWatcher;
