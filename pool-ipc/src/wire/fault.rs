//! Why a value did not become bytes, or bytes no value.

use std::fmt;

use rkyv::rancor::{Source, Trace};

/// Why encoding or decoding failed. Needs no heap, so that it can be made where none is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireFault {
    /// The encoded value is larger than the room for it: give more room.
    Overflow,
    /// The bytes are no valid value of the type: truncated, damaged, of another type, or of a value with
    /// collections or boxes nested more than 1000 deep.
    Invalid,
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "the encoded value is larger than the room for it",
            Self::Invalid => "the bytes are no valid value of this type",
        })
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
        error.downcast_ref::<WireFault>().copied().unwrap_or(WireFault::Invalid)
    }
}
