//! A private buffer whose base is aligned like a block of an arena.
//!
//! Invariant: the base is aligned to [`AlignedBytes::ALIGN`], so an archive that was valid at some
//! offset of a block is valid at the same offset of its private copy.

use std::{
    mem::MaybeUninit,
    sync::atomic::{Ordering, compiler_fence},
};

/// One line of the buffer; its alignment is that of the whole buffer.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct CacheLine([u8; AlignedBytes::ALIGN]);

/// Bytes in private memory, aligned to 128, that keep their room when they are filled again.
#[derive(Default)]
pub struct AlignedBytes {
    /// The lines that `len` bytes take; the first `len` bytes are initialised.
    lines: Vec<MaybeUninit<CacheLine>>,
    len: usize,
}

impl AlignedBytes {
    /// The alignment of the base in bytes: that of every block of an arena.
    pub const ALIGN: usize = 128;

    /// An empty buffer without room.
    #[must_use]
    pub const fn new() -> Self {
        Self { lines: Vec::new(), len: 0 }
    }

    /// Makes the buffer `len` bytes long; new bytes are zero, old ones stay.
    pub fn resize(&mut self, len: usize) {
        self.set_lines(len);
        if let Some(more) = len.checked_sub(self.len) {
            // SAFETY: the lines hold `len` bytes.
            unsafe { self.as_mut_ptr().add(self.len).write_bytes(0, more) };
        }
        self.len = len;
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of room that are kept even when the buffer is shorter.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.lines.capacity() * Self::ALIGN
    }

    /// The base, for writing.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    /// The content, for writing.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len;
        // SAFETY: `lines` begins with `len` initialised bytes, which are borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }

    /// Replaces the content by a copy of `len` bytes from `source`, placed `skew` bytes behind the
    /// base so that alignments of the source's block are kept.
    ///
    /// # Panics
    ///
    /// When `skew` is not less than [`ALIGN`](Self::ALIGN).
    ///
    /// # Safety
    ///
    /// `source..source + len` is mapped and readable. Another process may write to it meanwhile:
    /// the copy then holds any mixture of bytes, which is why readers check the copy, not the
    /// source.
    pub unsafe fn copy_from(&mut self, source: *const u8, len: usize, skew: usize) {
        assert!(skew < Self::ALIGN, "the skew is within a line");
        self.len = 0; // the old content is not carried over when the room grows
        self.lines.clear();
        self.set_lines(skew + len);
        // SAFETY: the caller promises the source; the lines have `skew + len` bytes, and private
        // memory cannot overlap a shared mapping.
        unsafe {
            self.as_mut_ptr().write_bytes(0, skew);
            std::ptr::copy_nonoverlapping(source, self.as_mut_ptr().add(skew), len);
        }
        // From here on the copy is read, never the source in its place, even where the compiler
        // sees that they were equal: for all it knows, another process wrote to the source at this
        // point.
        compiler_fence(Ordering::SeqCst);
        self.len = skew + len;
    }

    /// Makes `lines` hold `len` bytes; new ones are not initialised.
    fn set_lines(&mut self, len: usize) {
        let lines = len.div_ceil(Self::ALIGN);
        self.lines.reserve(lines.saturating_sub(self.lines.len()));
        // SAFETY: there is room for as many, and a `MaybeUninit` needs no initialisation.
        unsafe { self.lines.set_len(lines) };
        self.len = self.len.min(len);
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `lines` begins with `len` initialised bytes (kept by every method that sets
        // `len`).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBytes").field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_place_within_the_alignment() {
        let source = [7u8; 300];
        let mut copy = AlignedBytes::new();
        // SAFETY: `source` is an array of 300 bytes.
        unsafe { copy.copy_from(source.as_ptr(), 300, 40) };
        assert_eq!(copy.len(), 340);
        assert!(copy[40..].iter().all(|&b| b == 7));
        assert_eq!(copy.as_ptr() as usize % AlignedBytes::ALIGN, 0);
        // SAFETY: as above.
        unsafe { copy.copy_from(source.as_ptr(), 3, 0) };
        assert_eq!(&copy[..], &[7, 7, 7]);
    }

    #[test]
    fn new_bytes_are_zero_and_old_ones_stay() {
        let mut bytes = AlignedBytes::new();
        // SAFETY: the source is an array of 200 bytes.
        unsafe { bytes.copy_from([1u8; 200].as_ptr(), 200, 0) };
        bytes.resize(3);
        bytes.resize(1000);
        assert_eq!(bytes[..3], [1; 3]);
        bytes.as_mut_slice()[1] = 2;
        assert_eq!(bytes[..3], [1, 2, 1]);
        assert!(bytes[3..].iter().all(|&b| b == 0));
        bytes.resize(0);
        assert!(bytes.is_empty() && bytes.capacity() >= 1000);
    }
}
