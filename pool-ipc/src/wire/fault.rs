//! Why a value did not become bytes, or bytes no value.

use std::fmt;

use pool_shm::SegmentFault;
use rkyv::rancor::{Source, Trace};

use super::SerdeFault;

/// Why encoding or decoding failed. Needs no heap, so that it can be made where none is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireFault {
    /// The encoded value is larger than the room for it: give more room.
    Overflow,
    /// The bytes are no valid value of the type: truncated, damaged, of another type, not aligned
    /// for it, or of a value with collections or boxes nested more than 1000 deep.
    Invalid,
    /// The value is nested more than 1000 deep in fields that lead back to their type
    /// ([`Recursive`](crate::Recursive)): send it flat, as a `Vec` of its parts.
    TooDeep,
    /// Something within the value has an archive that is aligned to more than 32 bytes, as
    /// `#[rkyv(attr(repr(align(64))))]` asks for: rkyv cannot place it. A `repr` of the type itself
    /// matters to no archive.
    Alignment,
    /// A value in a `Serde` or a `SerdeDyn` could not be encoded or decoded.
    Serde(SerdeFault),
    /// A handle to a shared object could not be sent, or leads to no such object.
    Segment(SegmentFault),
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("the encoded value is larger than the room for it"),
            Self::Invalid => {
                f.write_str("the bytes are no valid value of this type, or not aligned for it")
            }
            Self::TooDeep => f.write_str("the value is nested more than 1000 deep"),
            Self::Alignment => f.write_str(
                "the archive of something in the value is aligned to more than 32 bytes",
            ),
            Self::Serde(fault) => fault.fmt(f),
            Self::Segment(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for WireFault {}

impl Trace for WireFault {
    fn trace<R>(self, _: R) -> Self
    where
        R: fmt::Debug + fmt::Display + Send + Sync + 'static,
    {
        self
    }
}

impl Source for WireFault {
    fn new<T: std::error::Error + Send + Sync + 'static>(error: T) -> Self {
        let error: &(dyn std::error::Error + 'static) = &error;
        let segment = error.downcast_ref::<SegmentFault>().copied().map(WireFault::Segment);
        let serde = error.downcast_ref::<SerdeFault>().copied().map(WireFault::Serde);
        let fault = error.downcast_ref::<WireFault>().copied();
        fault.or(segment).or(serde).unwrap_or(WireFault::Invalid)
    }
}
