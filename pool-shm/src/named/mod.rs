//! Shared memory with a name, for programs that are not relatives.
//!
//! Invariant: nothing here touches a file that is not a segment of this user. A name is removed on
//! request, or by the process that created the segment, and then only while it still means that
//! segment.
//!
//! * `segment.rs`: a named segment as one process sees it.
//! * `name.rs`: names: which are valid, which file one means, how one is removed.
//! * `head.rs`: the beginning of a named segment, which tells it from other files.

mod head;
mod name;
mod segment;

pub use segment::NamedSegment;
