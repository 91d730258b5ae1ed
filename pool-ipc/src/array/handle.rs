//! The handle of an array in shared memory as a part of a message.
//!
//! Invariant: a handle that arrives has a shape of its dimension, with as many elements as there
//! are; others are [`WireFault::Invalid`].

use ndarray::Dimension;
use pool_shm::{
    Element, SharedArray,
    wire::{GiveSegment, TakeSegment},
};
use rkyv::{
    Archive, Archived, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    rend::u64_le,
    ser::{Allocator, Writer},
    vec::{ArchivedVec, VecResolver},
};

use super::{SharedNdArray, shape::received};
use crate::WireFault;

type ElementsArchived = Archived<SharedArray<u8>>;

/// A [`SharedNdArray`] as it lies in an archive: decode it to use it.
#[derive(Debug, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedNdArray {
    elements: ElementsArchived,
    shape: ArchivedVec<u64_le>,
}

impl<T: Element, D: Dimension> Archive for SharedNdArray<T, D>
where
    SharedArray<T>: Archive<Archived = ElementsArchived>,
{
    type Archived = ArchivedNdArray;
    type Resolver = (<SharedArray<T> as Archive>::Resolver, VecResolver);

    fn resolve(&self, (elements, lens): Self::Resolver, out: Place<ArchivedNdArray>) {
        munge!(let ArchivedNdArray { elements: handle, shape } = out);
        self.elements.resolve(elements, handle);
        ArchivedVec::resolve_from_len(self.dimension.ndim(), lens, shape);
    }
}

impl<T, D, S> Serialize<S> for SharedNdArray<T, D>
where
    T: Element,
    D: Dimension,
    SharedArray<T>: Archive<Archived = ElementsArchived> + Serialize<S>,
    S: Fallible<Error: Source> + GiveSegment + Allocator + Writer + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let elements = self.elements.serialize(serializer)?;
        let shape: Vec<u64> = self.dimension.slice().iter().map(|len| *len as u64).collect();
        Ok((elements, ArchivedVec::<u64_le>::serialize_from_slice(&shape, serializer)?))
    }
}

impl<T, D, C> Deserialize<SharedNdArray<T, D>, C> for ArchivedNdArray
where
    T: Element,
    D: Dimension,
    SharedArray<T>: Archive<Archived = ElementsArchived>,
    ElementsArchived: Deserialize<SharedArray<T>, C>,
    C: Fallible<Error: Source> + TakeSegment + ?Sized,
{
    fn deserialize(&self, decoder: &mut C) -> Result<SharedNdArray<T, D>, C::Error> {
        let elements: SharedArray<T> = self.elements.deserialize(decoder)?;
        let lens = self.shape.iter().map(|len| len.to_native());
        match received(lens, elements.len()) {
            Some(dimension) => Ok(SharedNdArray { elements, dimension }),
            None => Err(C::Error::new(WireFault::Invalid)),
        }
    }
}
