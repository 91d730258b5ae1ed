//! Types with serde's traits cross: inside of a [`Serde`] or a [`SerdeDyn`].
//!
//! * `wrapper.rs`: the two types; `archive.rs`: how they lie in an archive.
//! * `format.rs`: what the two have in common; `compact.rs`: postcard; `described.rs`: MessagePack.
//! * `guard.rs`: what bounds an encoding or decoding; `guarded_serializer.rs`,
//!   `guarded_deserializer.rs`: those of a format with the bounds around them.
//! * `wide.rs`: integers of 128 bits in MessagePack.
//! * `error.rs`: what the codec says of a value.

mod archive;
mod compact;
mod described;
mod error;
mod format;
mod guard;
mod guarded_deserializer;
mod guarded_serializer;
mod wide;
mod wrapper;

pub use archive::{ArchivedSerde, ArchivedSerdeDyn};
pub use error::SerdeError;
pub use wrapper::{Serde, SerdeDyn};
