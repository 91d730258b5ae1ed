//! Objects in shared memory: blocks in segments that are known by a random identity.
//!
//! Invariant: a block's place is never used a second time, so identity and slot name one object for
//! ever, whichever processes still have a handle to it, by a message or by a fork. Only the
//! kernel's count of mappings and descriptors keeps memory alive.

mod block;
mod fault;
mod heap;
mod identity;
mod layout;
mod per_process;
mod registry;
mod segment;
mod watchers;

pub(crate) use layout::begins_at;
pub(crate) use segment::set_dumped;

pub use block::Block;
pub use fault::SegmentFault;
pub use identity::SegmentId;
pub use layout::{ElementType, Kind, Shape};
pub use segment::SharedSegment;
pub use watchers::SegmentWatcher;
