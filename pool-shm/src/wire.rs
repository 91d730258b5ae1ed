//! Handles as parts of a message that is encoded with rkyv.
//!
//! Invariant: an archive holds no more than numbers: the place of the segment in its message's
//! table and the slot in the segment. Both are checked before they become a handle. The encoder and
//! the decoder keep the table, through two traits.

use rkyv::{
    Place, Portable,
    bytecheck::CheckBytes,
    munge::munge,
    rancor::{Fallible, Source, Strategy},
    rend::u32_le,
};

pub use crate::array::ArchivedArray;
use crate::{Block, ElementType, Kind, SegmentFault, SharedSegment};

/// An encoder that keeps the segments of the handles that it encodes.
pub trait GiveSegment {
    /// Notes that the message holds a handle to an object in `segment`, and keeps the segment alive
    /// until the message has arrived. Returns its index in the message's table.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NotCarried`] where messages have no such table.
    fn give_segment(&mut self, segment: &SharedSegment) -> Result<u32, SegmentFault>;
}

/// A decoder that finds the segments of the handles that it decodes.
pub trait TakeSegment {
    /// The segment at `index` of the message's table.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NotSent`] if the table has no such index; otherwise the reason why the
    /// segment could not be mapped here.
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

/// The index in the message's table of the segment of an encoded handle.
#[derive(Debug)]
pub struct BlockResolver(u32);

impl Block {
    /// Encodes a handle to this block.
    ///
    /// # Errors
    ///
    /// The encoder's errors; [`SegmentFault::Lent`].
    pub fn give<S>(&self, serializer: &mut S) -> Result<BlockResolver, S::Error>
    where
        S: Fallible<Error: Source> + GiveSegment + ?Sized,
    {
        self.share().map_err(Source::new)?;
        self.lend(serializer)
    }

    /// Encodes a handle like [`give`](Self::give), without noting that there is another one.
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
    /// Decodes a handle to a block of this kind and element; returns how many elements it has, too.
    ///
    /// # Errors
    ///
    /// The decoder's errors, and those of [`Block::open`].
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

    /// Decodes a handle that [`Block::lend`] has encoded.
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
