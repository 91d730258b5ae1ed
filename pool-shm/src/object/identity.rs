//! The identity of a segment of shared objects, the same in every process.

use std::fmt;

use crate::{Error, sys};

/// The random 128-bit identity of a shared segment. It stands in the segment itself, so that a
/// descriptor that leads elsewhere is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u128);

/// What a segment consists of, which the lowest bits of its identity say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Memory.
    Plain = 0,
    /// Memory of which far less will be used than there is: it is not locked, and not counted.
    Sparse = 1,
    /// One end of a pair of sockets.
    Socket = 2,
}

const CONTENT: u128 = 3;

impl SegmentId {
    /// An identity that no other segment has.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] on a kernel without `getrandom` (before 3.17).
    pub(crate) fn random(content: Content) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        sys::random(&mut bytes)
            .map_err(|source| Error::os("drawing the identity of a segment", source))?;
        Ok(Self(u128::from_ne_bytes(bytes) & !CONTENT | content as u128))
    }

    /// Whether it is that of one of a [pair](crate::SharedSegment::presence_pair), which has no
    /// memory.
    #[must_use]
    pub fn is_presence(self) -> bool {
        self.content() == Content::Socket
    }

    pub(super) fn content(self) -> Content {
        match self.0 & CONTENT {
            0 => Content::Plain,
            1 => Content::Sparse,
            _ => Content::Socket,
        }
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({:032x})", self.0)
    }
}
