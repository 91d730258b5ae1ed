//! One value's archive in memory that no process can change any more.
//!
//! * `archive.rs`: the memory, of any type.
//! * `object.rs`: reads it as a value of its type.
//! * `wire.rs`: sends it.

mod archive;
mod object;
mod wire;

pub use archive::{SealError, SealedArchive};
pub use object::SharedObject;
pub use wire::ArchivedObject;
