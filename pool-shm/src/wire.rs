//! How handles travel, for whoever encodes with rkyv.
//!
//! Invariant: an archive holds no more than numbers: the place of the segment in its message's
//! table and the slot in the segment. Both are checked before they become a handle. The table is
//! kept by the encoder and the decoder, through two traits.

use rkyv::{
    Place, Portable,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source, Strategy},
    rend::u32_le,
};

pub use crate::array::ArchivedArray;
use crate::{Block, ElementType, Kind, SegmentFault, SharedSegment};

/// What an encoder does with the segments of the handles that it encodes.
pub trait GiveSegment {
    /// Notes that the message holds a handle to an object in `segment`, and keeps the segment alive
    /// until the message has arrived. The index is where the message's table has it.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NotCarried`] where messages have no such table.
    fn give_segment(&mut self, segment: &SharedSegment) -> Result<u32, SegmentFault>;
}

/// Where a decoder has the segments from.
pub trait TakeSegment {
    /// The segment at `index` of the message's table.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NotSent`] if the table has no such index; whatever kept the segment from
    /// being mapped here.
    fn take_segment(&mut self, index: u32) -> Result<SharedSegment, SegmentFault>;
}

impl<T: GiveSegment + ?Sized, E> GiveSegment for Strategy<T, E> {
    fn give_segment(&mut self, segment: &SharedSegment) -> Result<u32, SegmentFault> {
        T::give_segment(self, segment)
    }
}

impl<T: TakeSegment + ?Sized, E> TakeSegment for Strategy<T, E> {
    fn take_segment(&mut self, index: u32) -> Result<SharedSegment, SegmentFault> {
        T::take_segment(self, index)
    }
}

/// A handle as it lies in an archive. It has to be decoded before the object can be seen.
#[derive(Debug, Clone, Copy, Portable, CheckBytes)]
#[bytecheck(crate = rkyv::bytecheck)]
#[repr(C)]
pub struct ArchivedBlock {
    segment: u32_le,
    slot: u32_le,
}

/// Where the segment of a handle that was encoded stands in the message's table.
#[derive(Debug)]
pub struct BlockResolver(u32);

impl Block {
    /// Encodes a handle to this block.
    ///
    /// # Errors
    ///
    /// What the encoder says; [`SegmentFault::Lent`].
    pub fn give<S>(&self, serializer: &mut S) -> Result<BlockResolver, S::Error>
    where
        S: Fallible<Error: Source> + GiveSegment + ?Sized,
    {
        self.share().map_err(Source::new)?;
        self.lend(serializer)
    }

    /// As [`give`](Self::give), but nobody learns of the handle.
    pub(crate) fn lend<S>(&self, serializer: &mut S) -> Result<BlockResolver, S::Error>
    where
        S: Fallible<Error: Source> + GiveSegment + ?Sized,
    {
        serializer.give_segment(self.segment()).map(BlockResolver).map_err(Source::new)
    }

    /// Writes the archived form.
    pub fn resolve_into(&self, resolver: &BlockResolver, out: Place<ArchivedBlock>) {
        munge!(let ArchivedBlock { segment, slot } = out);
        segment.write(u32_le::from_native(resolver.0));
        slot.write(u32_le::from_native(self.slot()));
    }
}

impl ArchivedBlock {
    /// Decodes a handle to a block of this kind and element; says too how many elements it has.
    ///
    /// # Errors
    ///
    /// What the decoder says, and those of [`Block::open`].
    pub fn take<D>(
        &self,
        kind: Kind,
        element: ElementType,
        deserializer: &mut D,
    ) -> Result<(Block, usize), D::Error>
    where
        D: Fallible<Error: Source> + TakeSegment + ?Sized,
    {
        let segment = deserializer.take_segment(self.segment.to_native()).map_err(Source::new)?;
        Block::open(segment, self.slot.to_native(), kind, element).map_err(Source::new)
    }

    /// As [`take`](Self::take), for what [`Block::lend`] has encoded.
    pub(crate) fn take_lent<D>(
        &self,
        kind: Kind,
        element: ElementType,
        deserializer: &mut D,
    ) -> Result<(Block, usize), D::Error>
    where
        D: Fallible<Error: Source> + TakeSegment + ?Sized,
    {
        let segment = deserializer.take_segment(self.segment.to_native()).map_err(Source::new)?;
        Block::open_lent(segment, self.slot.to_native(), kind, element).map_err(Source::new)
    }
}
