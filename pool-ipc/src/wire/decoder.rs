//! The decoder: checks an archive and makes the value from it.

use rkyv::{
    api::{access_with_context, deserialize_using},
    rancor::Strategy,
    validation::{Validator, archive::ArchiveValidator},
};

use super::{SegmentId, Wire, WireFault, segments::Segments};

/// The deserializer that a [`Wire`] type is decoded with.
pub type WireDecode = Strategy<Decoder, WireFault>;

/// The checker of an archive of a [`Wire`] type.
pub type WireCheck<'a> = Strategy<Validator<ArchiveValidator<'a>, ()>, WireFault>;

/// Makes values from archives.
#[derive(Debug, Default)]
pub struct Decoder {
    segments: Segments,
}

impl Decoder {
    /// A decoder for messages without segments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the table of segments that came with the message.
    pub fn set_segments(&mut self, ids: &[SegmentId]) {
        self.segments.replace(ids);
    }

    /// The segment at `index` of the message's table, for the handle that is being decoded.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when the table has no such index.
    pub fn take_segment(&mut self, index: u32) -> Result<SegmentId, WireFault> {
        self.segments.get(index).ok_or(WireFault::Invalid)
    }

    /// Checks `archive` (whose end is the end of its root) and makes the value.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when the bytes are no valid archive of `T`.
    #[inline]
    pub fn decode<T: Wire>(&mut self, archive: &[u8]) -> Result<T, WireFault> {
        self.build(view::<T>(archive)?)
    }

    /// Makes the value from a checked archive.
    ///
    /// # Errors
    ///
    /// What the type's own deserialization reports.
    #[inline]
    pub fn build<T: Wire>(&mut self, archived: &T::Archived) -> Result<T, WireFault> {
        deserialize_using::<T, Decoder, WireFault>(archived, self)
    }
}

/// Checks `archive` and reads it in place.
#[inline]
pub(crate) fn view<T: Wire>(archive: &[u8]) -> Result<&T::Archived, WireFault> {
    access_with_context::<_, _, WireFault>(
        archive,
        &mut Validator::new(ArchiveValidator::new(archive), ()),
    )
}
