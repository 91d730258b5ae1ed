//! A handle to the memory of one object.
//!
//! Invariant: the bytes of a block are mapped as long as a handle to it lives in this process, and
//! belong to no other block.

use std::{fmt, ptr::NonNull};

use super::{
    ElementType, SegmentFault, Shape, SharedSegment, heap,
    layout::{Extent, Kind, Slot},
    registry,
};
use crate::Error;

/// The memory of one object in a [`SharedSegment`]; copies of this handle count.
///
/// The shared types of this crate are built on it. Programs need it only to make a shared type of
/// their own.
///
/// Small blocks share a segment, so many of them cost neither descriptors nor mappings; each of
/// more than 256 KiB has a segment of its own. The place of a block is never used for another one.
#[derive(Clone)]
pub struct Block {
    segment: SharedSegment,
    slot: u32,
    extent: Extent,
}

impl Block {
    /// A fresh block, zeroed, aligned to 64 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if there cannot be so many bytes, [`Error::Os`] when descriptors or
    /// address space are used up.
    pub fn new(shape: Shape) -> Result<Self, Error> {
        heap::place(shape).map(Self::from)
    }

    /// A fresh block with a segment of its own, of which far less will be used than there is: it is
    /// not locked where the program locks what it maps, and limits on memory do not count it.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub fn sparse(shape: Shape) -> Result<Self, Error> {
        heap::place_sparse(shape).map(Self::from)
    }

    /// A fresh block with a segment of its own that is sealed once `fill` has written it: no
    /// process can change it afterwards.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new), and those of `fill`.
    pub fn sealed<E: From<Error>>(
        shape: Shape,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        heap::place_sealed(shape, fill).map(Self::from)
    }

    /// The block that slot number `slot` of a segment names, and how many elements it has.
    ///
    /// # Errors
    ///
    /// [`SegmentFault::NoSuchObject`], [`OtherKind`](SegmentFault::OtherKind),
    /// [`OtherElement`](SegmentFault::OtherElement); [`ReadOnly`](SegmentFault::ReadOnly) if a
    /// sealed block is opened as a kind that is written to; [`Lent`](SegmentFault::Lent).
    pub fn open(
        segment: SharedSegment,
        slot: u32,
        kind: Kind,
        element: ElementType,
    ) -> Result<(Self, usize), SegmentFault> {
        let (block, len) = Self::open_lent(segment, slot, kind, element)?;
        block.share()?;
        Ok((block, len))
    }

    /// Opens a block that may be lent, like [`open`](Self::open), without noting that there is
    /// another handle.
    pub(crate) fn open_lent(
        segment: SharedSegment,
        slot: u32,
        kind: Kind,
        element: ElementType,
    ) -> Result<(Self, usize), SegmentFault> {
        let index = slot as usize;
        if index >= segment.slots() {
            return Err(SegmentFault::NoSuchObject);
        }
        let found = segment.slot(index).ok_or(SegmentFault::NoSuchObject)?;
        let (len, extent) = found.check(kind, element, segment.len())?;
        if kind != Kind::Sealed && !segment.is_writable() {
            return Err(SegmentFault::ReadOnly);
        }
        Ok((Self { segment, slot, extent }, len))
    }

    /// All blocks of this kind that lie in segments mapped by this process.
    pub(crate) fn all_of(kind: Kind) -> Vec<Self> {
        let in_segment = |segment: SharedSegment| {
            (0..segment.slots()).filter_map(move |index| {
                let element = segment.slot(index)?.element_of(kind)?;
                let slot = u32::try_from(index).ok()?;
                Some(Self::open(segment.clone(), slot, kind, element).ok()?.0)
            })
        };
        registry::all().into_iter().flat_map(in_segment).collect()
    }

    /// Notes that there is another handle to the block than the first one and its clones.
    pub(crate) fn share(&self) -> Result<(), SegmentFault> {
        if self.segment.is_writable() { self.own_slot().share() } else { Ok(()) }
    }

    /// Keeps every process from making another handle to the array here, until
    /// [`end_alone`](Self::end_alone); `false` if there is one, or was.
    pub(crate) fn begin_alone(&self) -> bool {
        self.segment.is_writable() && self.own_slot().begin_alone()
    }

    pub(crate) fn end_alone(&self) {
        self.own_slot().end_alone();
    }

    fn own_slot(&self) -> &Slot {
        self.segment.slot(self.slot as usize).expect("the segment has it, and never shrinks")
    }

    /// The first byte. For reading only if the block is sealed.
    #[must_use]
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.segment.at(self.extent.offset)
    }

    /// Bytes in the block.
    #[must_use]
    pub fn len(&self) -> usize {
        self.extent.bytes
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The segment that the block lies in.
    #[must_use]
    pub fn segment(&self) -> &SharedSegment {
        &self.segment
    }

    /// The number of its slot in the segment.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.slot
    }
}

impl From<heap::Placed> for Block {
    fn from(placed: heap::Placed) -> Self {
        let slot = u32::try_from(placed.slot).expect("slots take memory, and a segment has less");
        Self { segment: placed.segment, slot, extent: placed.extent }
    }
}

/// Whether both are handles to the same block.
impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.segment == other.segment && self.slot == other.slot
    }
}

impl Eq for Block {}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("segment", &self.segment.id())
            .field("slot", &self.slot)
            .field("len", &self.len())
            .finish()
    }
}
