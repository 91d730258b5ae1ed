//! A sealed archive as part of a message.
//!
//! Invariant: a message with a handle names the archive's own segment and those of the handles in
//! it, so its receiver has all of them.

use pool_shm::wire::{GiveSegment, TakeSegment};
use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    rend::u32_le,
    ser::{Allocator, Writer},
    vec::{ArchivedVec, VecResolver},
};

use super::{SealedArchive, SharedObject};
use crate::Wire;

/// A [`SharedObject`] as it lies in an archive: decode it to read it.
#[derive(Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedObject {
    /// The places of its segments in the message's table, the archive's own segment first.
    segments: ArchivedVec<u32_le>,
}

impl<T: Wire> Archive for SharedObject<T> {
    type Archived = ArchivedObject;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedObject>) {
        munge!(let ArchivedObject { segments } = out);
        ArchivedVec::resolve_from_len(self.archive().segments().count(), resolver, segments);
    }
}

impl<T, S> Serialize<S> for SharedObject<T>
where
    T: Wire,
    S: Fallible<Error: Source> + GiveSegment + Allocator + Writer + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let give = |segment| serializer.give_segment(segment).map_err(Source::new);
        let indices = self.archive().segments().map(give).collect::<Result<Vec<u32>, _>>()?;
        ArchivedVec::<u32_le>::serialize_from_slice(&indices, serializer)
    }
}

impl<T, D> Deserialize<SharedObject<T>, D> for ArchivedObject
where
    T: Wire,
    D: Fallible<Error: Source> + TakeSegment + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<SharedObject<T>, D::Error> {
        let take = |index: &u32_le| deserializer.take_segment(index.to_native());
        let segments = self.segments.iter().map(take).collect::<Result<_, _>>();
        let archive = SealedArchive::open::<T>(segments.map_err(Source::new)?);
        SharedObject::read(archive.map_err(Source::new)?).map_err(Source::new)
    }
}
