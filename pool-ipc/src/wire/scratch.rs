//! Scratch room for an encoding: 4 KiB that are kept, and the heap for what does not fit.
//!
//! Invariant: pieces in use never overlap. The box is a bump pointer that only [`Scratch::pop`] and
//! [`Scratch::reset`] lower; every piece from the heap stands in `spilled` until it is freed, so
//! one that a panic left behind goes with the next reset.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    fmt,
    ptr::NonNull,
};

const BOX: Layout = match Layout::from_size_align(4096, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("4096 bytes are a layout"),
};

pub(super) struct Scratch {
    /// A raw allocation, not a `Box`: pieces of it live while `self` is borrowed again.
    /// Made when the first piece is asked for: most values need none.
    base: Option<NonNull<u8>>,
    used: usize,
    spilled: Vec<(NonNull<u8>, Layout)>,
}

// SAFETY: all memory is owned by this value alone.
unsafe impl Send for Scratch {}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { base: None, used: 0, spilled: Vec::new() }
    }

    /// A piece of memory that nothing else uses until it is popped or everything is reset.
    pub(super) fn push(&mut self, layout: Layout) -> NonNull<[u8]> {
        let base = *self.base.get_or_insert_with(|| allocate(BOX));
        let top = base.addr().get() + self.used;
        let start = self.used + (top.wrapping_neg() & (layout.align() - 1));
        let piece = match start.checked_add(layout.size()) {
            Some(end) if end <= BOX.size() => {
                self.used = end;
                // SAFETY: `start <= end`, which is within the box.
                unsafe { base.add(start) }
            }
            // An address without memory, aligned to itself.
            _ if layout.size() == 0 => {
                NonNull::new(std::ptr::without_provenance_mut(layout.align()))
                    .expect("alignments are not 0")
            }
            _ => {
                let piece = allocate(layout);
                self.spilled.push((piece, layout));
                piece
            }
        };
        NonNull::slice_from_raw_parts(piece, layout.size())
    }

    /// Gives back `piece`, and with it everything in the box that was pushed later.
    ///
    /// What is no piece in use is ignored.
    pub(super) fn pop(&mut self, piece: NonNull<u8>) {
        let offset = |base: NonNull<u8>| piece.addr().get().wrapping_sub(base.addr().get());
        if let Some(offset) = self.base.map(offset).filter(|offset| *offset < BOX.size()) {
            self.used = self.used.min(offset);
        } else if let Some(index) = self.spilled.iter().rposition(|(known, _)| *known == piece) {
            let (piece, layout) = self.spilled.swap_remove(index);
            // SAFETY: `push` allocated it with this layout, and it stood in the list, so it is
            // freed once.
            unsafe { dealloc(piece.as_ptr(), layout) }
        }
    }

    /// Gives everything back.
    pub(super) fn reset(&mut self) {
        self.used = 0;
        for (piece, layout) in self.spilled.drain(..) {
            // SAFETY: as in `pop`.
            unsafe { dealloc(piece.as_ptr(), layout) }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.reset();
        if let Some(base) = self.base {
            // SAFETY: `push` allocated it with this layout; nothing is used afterwards.
            unsafe { dealloc(base.as_ptr(), BOX) }
        }
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("used", &self.used)
            .field("spilled", &self.spilled.len())
            .finish()
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    // SAFETY: the size is not 0: `BOX` has bytes, and `push` asks for 0 bytes elsewhere.
    let piece = unsafe { alloc(layout) };
    NonNull::new(piece).unwrap_or_else(|| handle_alloc_error(layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn pieces_are_aligned_and_apart() {
        let mut scratch = Scratch::new();
        let mut taken: Vec<(usize, usize)> = Vec::new();
        for (size, align) in [(3, 1), (8, 8), (1, 64), (4000, 2), (9000, 256), (1, 16)] {
            let piece = scratch.push(layout(size, align));
            let start = piece.addr().get();
            assert_eq!(start % align, 0);
            assert_eq!(piece.len(), size);
            assert!(taken.iter().all(|&(s, e)| start + size <= s || e <= start));
            taken.push((start, start + size));
        }
        assert_eq!(scratch.spilled.len(), 1);
    }

    #[test]
    fn what_is_popped_is_used_again() {
        let mut scratch = Scratch::new();
        let first = scratch.push(layout(4000, 8)).cast::<u8>();
        let spilled = scratch.push(layout(4000, 8)).cast::<u8>();
        scratch.pop(spilled);
        assert!(scratch.spilled.is_empty());
        scratch.pop(spilled); // no piece any more
        scratch.pop(first);
        assert_eq!(scratch.push(layout(8, 8)).cast::<u8>(), first);
    }

    #[test]
    fn what_was_left_behind_goes_with_the_reset() {
        let mut scratch = Scratch::new();
        for _ in 0..3 {
            scratch.push(layout(1 << 16, 8));
        }
        assert_eq!(scratch.spilled.len(), 3);
        scratch.reset();
        assert!(scratch.spilled.is_empty() && scratch.used == 0);
    }

    #[test]
    fn nothing_takes_no_memory() {
        let mut scratch = Scratch::new();
        scratch.push(layout(4096, 1));
        let nothing = scratch.push(layout(0, 1 << 20));
        assert_eq!((nothing.addr().get() % (1 << 20), nothing.len()), (0, 0));
        scratch.pop(nothing.cast());
        assert!(scratch.spilled.is_empty());
    }
}
