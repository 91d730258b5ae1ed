//! The decoder: checks an archive and makes the value from it.

use std::{num::NonZeroUsize, sync::Arc};

use rkyv::{
    api::{access_unchecked, access_with_context, deserialize_using},
    bytecheck::CheckBytes,
    rancor::Strategy,
    validation::{Validator, archive::ArchiveValidator},
};

use pool_shm::SegmentId;

use super::{
    SegmentBroker, Wire, WireFault,
    numbers::{decode_numbers, is_valid},
    segments::ReceivedSegments,
};

/// How deep pointers in an archive may be nested: what checks and decodes it is recursive, and
/// damaged bytes must not end in a stack overflow. An unoptimised build manages twice
/// as many on a thread with 2 MiB of stack.
const MAX_DEPTH: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

/// The deserializer that a [`Wire`] type is decoded with.
pub type WireDecode = Strategy<Decoder, WireFault>;

/// The checker of an archive of a [`Wire`] type.
pub type WireCheck<'a> = Strategy<Validator<ArchiveValidator<'a>, ()>, WireFault>;

/// Makes values from archives.
#[derive(Debug, Default)]
pub struct Decoder {
    pub(super) segments: ReceivedSegments,
}

impl Decoder {
    /// A decoder for messages without segments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `broker` for segments that are not mapped here.
    pub fn set_broker(&mut self, broker: Arc<dyn SegmentBroker>) {
        self.segments.broker = Some(broker);
    }

    /// Sets the table of segments that came with the message: empty, if there is none.
    #[inline]
    pub fn set_segments(&mut self, ids: &[SegmentId]) {
        self.segments.replace(ids);
    }

    /// Says that the next message came without segments.
    #[inline]
    pub fn clear_segments(&mut self) {
        self.segments.clear();
    }

    /// Exchanges the table of segments, for a message that is decoded in the middle of another.
    pub fn swap_segments(&mut self, ids: &mut Vec<SegmentId>) {
        self.segments.swap(ids);
    }

    /// Checks `archive` (whose end is the end of its root) and makes the value.
    ///
    /// # Errors
    ///
    /// [`WireFault::Invalid`] when the bytes are no valid archive of `T`, [`WireFault::Segment`]
    /// when a handle in it leads nowhere.
    #[inline]
    pub fn decode<T: Wire>(&mut self, archive: &[u8]) -> Result<T, WireFault> {
        if let Some(numbers) = decode_numbers::<T>(archive) {
            return Ok(numbers);
        }
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
    if is_valid::<T>(archive) {
        // SAFETY: checked just now.
        return Ok(unsafe { access_unchecked::<T::Archived>(archive) });
    }
    access_with_context::<_, _, WireFault>(
        archive,
        &mut Validator::new(ArchiveValidator::with_max_depth(archive, Some(MAX_DEPTH)), ()),
    )
}

/// Checks an archive that is just the bytes of its root. There is no pointer to follow, and no
/// range to remember, unlike in [`view`].
#[inline]
pub(crate) fn view_fixed<T: Wire>(archive: &[u8]) -> Result<&T::Archived, WireFault> {
    let root = archive.as_ptr().cast::<T::Archived>();
    if archive.len() != size_of::<T::Archived>() || !root.is_aligned() {
        return Err(WireFault::Invalid);
    }
    let mut validator = Validator::new(ArchiveValidator::new(&[]), ());
    // SAFETY: aligned, and `archive` holds all its bytes.
    unsafe { T::Archived::check_bytes(root, Strategy::wrap(&mut validator))? };
    // SAFETY: checked just now.
    Ok(unsafe { &*root })
}
