//! Arrays and values as parts of a message.
//!
//! Invariant: a handle that comes out of an archive lies within the block that the archive names,
//! and that block is one of elements of its type.

use rkyv::{
    Archive, Deserialize, Place, Portable, Serialize,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source},
    rend::u64_le,
};

use super::{Element, SharedArray, SharedValue};
use crate::{
    Block, Kind, SegmentFault,
    wire::{ArchivedBlock, BlockResolver, GiveSegment, TakeSegment},
};

/// A [`SharedArray`] as it lies in an archive: decode it to see the elements.
#[derive(Debug, Clone, Copy, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedArray {
    start: u64_le,
    len: u64_le,
    block: ArchivedBlock,
}

impl<T: Element> Archive for SharedArray<T> {
    type Archived = ArchivedArray;
    type Resolver = BlockResolver;

    fn resolve(&self, resolver: BlockResolver, out: Place<ArchivedArray>) {
        munge!(let ArchivedArray { start, len, block } = out);
        start.write(u64_le::from_native(self.start() as u64));
        len.write(u64_le::from_native(self.len() as u64));
        self.block().resolve_into(&resolver, block);
    }
}

impl<T, S> Serialize<S> for SharedArray<T>
where
    T: Element,
    S: Fallible<Error: Source> + GiveSegment + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<BlockResolver, S::Error> {
        self.block().give(serializer)
    }
}

impl<T, D> Deserialize<SharedArray<T>, D> for ArchivedArray
where
    T: Element,
    D: Fallible<Error: Source> + TakeSegment + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<SharedArray<T>, D::Error> {
        let (block, whole) = self.block.take(Kind::Array, T::TYPE, deserializer)?;
        self.part_of(block, whole).map_err(Source::new)
    }
}

impl ArchivedArray {
    pub(super) fn block(&self) -> &ArchivedBlock {
        &self.block
    }

    /// The array of those elements that the handle names, of the `whole` ones in the block.
    pub(super) fn part_of<T: Element>(
        &self,
        block: Block,
        whole: usize,
    ) -> Result<SharedArray<T>, SegmentFault> {
        let number =
            |word: u64_le| usize::try_from(word.to_native()).map_err(|_| SegmentFault::OtherLength);
        SharedArray::in_block(block, whole, number(self.start)?, number(self.len)?)
    }
}

impl<T: Element> Archive for SharedValue<T> {
    type Archived = ArchivedBlock;
    type Resolver = BlockResolver;

    fn resolve(&self, resolver: BlockResolver, out: Place<ArchivedBlock>) {
        self.block().resolve_into(&resolver, out);
    }
}

impl<T, S> Serialize<S> for SharedValue<T>
where
    T: Element,
    S: Fallible<Error: Source> + GiveSegment + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<BlockResolver, S::Error> {
        self.block().give(serializer)
    }
}

impl<T, D> Deserialize<SharedValue<T>, D> for ArchivedBlock
where
    T: Element,
    D: Fallible<Error: Source> + TakeSegment + ?Sized,
{
    fn deserialize(&self, deserializer: &mut D) -> Result<SharedValue<T>, D::Error> {
        let (block, len) = self.take(Kind::Value, T::TYPE, deserializer)?;
        SharedValue::in_block(block, len).map_err(Source::new)
    }
}
