//! Shared memory with a name, for programs that are not relatives.
//!
//! Invariant: nothing here touches a file that is not a segment of this user. A name is removed on
//! request, or by the process that created the segment, and then only while it still means that
//! segment.

mod head;
mod name;
mod segment;

pub use segment::NamedSegment;
