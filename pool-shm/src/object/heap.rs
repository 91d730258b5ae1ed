//! Places new objects.
//!
//! Invariant: a process places objects only in segments that it made itself, each byte at most
//! once. Small objects share a segment; this process lets the segment go when it is full and no
//! object of it lives here any more.
//!
//! Nothing is ever used again, so no process has to know which others still have a handle; a dead
//! object costs its bytes in a segment whose other objects live on, at most [`COMMON`] of them.

use super::{
    SharedSegment,
    layout::{BLOCK_ALIGN, Extent, Shape, Slot},
    per_process::PerProcess,
};
use crate::{Error, Exclusive, limits::page_size};

/// Objects of more bytes have a segment of their own.
const SMALL: usize = 256 << 10;
/// Bytes in a segment that small objects share.
const COMMON: u64 = 4 << 20;

/// A forked child begins afresh: the free part of its parent's segment belongs to the parent.
static CURRENT: PerProcess<Option<Page>> = PerProcess::new(|_| None);

/// A segment that is being filled: slots from the front, blocks from the back.
struct Page {
    segment: SharedSegment,
    slots: usize,
    /// Where the lowest block begins.
    top: usize,
}

/// The place of an object.
pub(super) struct Placed {
    pub(super) segment: SharedSegment,
    pub(super) slot: usize,
    pub(super) extent: Extent,
}

/// Places an object, zeroed.
pub(super) fn place(shape: Shape) -> Result<Placed, Error> {
    let bytes = bytes_of(shape)?;
    if bytes > SMALL {
        return place_alone(shape, bytes);
    }
    let mut current = CURRENT.lock()?;
    if let Some(placed) = current.as_mut().and_then(|page| page.place(shape, bytes)) {
        return Ok(placed);
    }
    let segment = match SharedSegment::create(COMMON) {
        Err(Error::TooLong { .. }) => return place_alone(shape, bytes),
        created => created?,
    };
    let mut page = Page { slots: 0, top: segment.len(), segment };
    let placed = page.place(shape, bytes).expect("a small object fits into an empty segment");
    let full = current.replace(page);
    drop(current); // before the full one is unmapped
    drop(full);
    Ok(placed)
}

/// Places an object whose bytes `fill` writes and no process can change afterwards.
pub(super) fn place_sealed<E: From<Error>>(
    shape: Shape,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Placed, E> {
    let bytes = bytes_of(shape)?;
    let extent = Extent { offset: page_size(), bytes };
    let segment = SharedSegment::create_sealed(len_alone(bytes), |segment| {
        let mut page =
            Page { segment: segment.clone(), slots: 0, top: extent.offset + extent.bytes };
        let placed = page.place(shape, bytes).expect("made for it");
        // SAFETY: the segment has these bytes, all zero; no other code has it yet, in this process
        // or another.
        let block = unsafe {
            std::slice::from_raw_parts_mut(segment.at(placed.extent.offset).as_ptr(), bytes)
        };
        // A child that is forked meanwhile would not have them.
        let _lent = Exclusive::begin();
        fill(block)
    })?;
    Ok(Placed { segment, slot: 0, extent })
}

/// Places an object of which far less will be used than there is.
pub(super) fn place_sparse(shape: Shape) -> Result<Placed, Error> {
    let bytes = bytes_of(shape)?;
    place_in(SharedSegment::create_sparse(len_alone(bytes))?, shape, bytes)
}

/// The object in a segment of its own, on whole pages.
fn place_alone(shape: Shape, bytes: usize) -> Result<Placed, Error> {
    place_in(SharedSegment::create(len_alone(bytes))?, shape, bytes)
}

fn place_in(segment: SharedSegment, shape: Shape, bytes: usize) -> Result<Placed, Error> {
    let mut page = Page { segment, slots: 0, top: page_size() + bytes };
    Ok(page.place(shape, bytes).expect("made for it"))
}

fn len_alone(bytes: usize) -> u64 {
    bytes as u64 + page_size() as u64
}

fn bytes_of(shape: Shape) -> Result<usize, Error> {
    shape.bytes().ok_or(Error::TooLong {
        len: (shape.len as u64).saturating_mul(shape.element.size() as u64),
        limit: isize::MAX as u64,
    })
}

impl Page {
    fn place(&mut self, shape: Shape, bytes: usize) -> Option<Placed> {
        let offset = self.top.checked_sub(bytes)? / BLOCK_ALIGN * BLOCK_ALIGN;
        if Slot::position(self.slots + 1) > offset {
            return None;
        }
        let slot = self.slots;
        self.segment.slot(slot)?.write(shape, offset);
        self.slots += 1;
        self.top = offset;
        self.segment.head().count(self.slots);
        Some(Placed { segment: self.segment.clone(), slot, extent: Extent { offset, bytes } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ElementType, Kind};

    fn shape(len: usize) -> Shape {
        Shape { kind: Kind::Array, element: ElementType::fixed(1, 1), len }
    }

    #[test]
    fn a_page_is_filled_without_overlap_and_never_over_its_slots() {
        let segment = SharedSegment::create(1).unwrap();
        let size = segment.len();
        let mut page = Page { top: size, segment, slots: 0 };
        let mut lowest = size;
        let mut count = 0;
        for bytes in [0, 1, 63, 64, 65, 128].into_iter().cycle() {
            let Some(placed) = page.place(shape(bytes), bytes) else { break };
            assert_eq!((placed.slot, placed.extent.bytes), (count, bytes));
            assert!(placed.extent.offset + bytes <= lowest);
            assert!(placed.extent.offset.is_multiple_of(BLOCK_ALIGN));
            assert!(Slot::position(count + 1) <= placed.extent.offset);
            (lowest, count) = (placed.extent.offset, count + 1);
        }
        assert!(count > 10 && lowest - Slot::position(count) < 128 + Slot::position(1));
    }

    #[test]
    fn small_objects_share_a_segment_and_large_ones_do_not() {
        let small: Vec<_> = (0..100).map(|_| place(shape(SMALL)).unwrap()).collect();
        let mut segments: Vec<_> = small.iter().map(|placed| placed.segment.id()).collect();
        segments.sort();
        segments.dedup();
        assert!(segments.len() < 8, "{}", segments.len());

        let large = place(shape(SMALL + 1)).unwrap();
        assert!(!segments.contains(&large.segment.id()));
        assert_eq!(large.extent, Extent { offset: page_size(), bytes: SMALL + 1 });
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let element = ElementType::fixed(8, 8);
        for len in [usize::MAX, isize::MAX as usize / 8 + 1] {
            let shape = Shape { kind: Kind::Array, element, len };
            assert!(matches!(place(shape), Err(Error::TooLong { .. })));
        }
    }
}
