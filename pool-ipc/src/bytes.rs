//! A private buffer whose base is aligned like a block of an arena.
//!
//! Invariant: the base is aligned to [`AlignedBytes::ALIGN`], so an archive that was valid at some
//! offset of a block is valid at the same offset of its private copy.

/// What one line of the buffer is; its alignment is that of the whole buffer.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
struct Line([u8; AlignedBytes::ALIGN]);

/// Bytes in private memory, aligned to 128, that keep their room when they are filled again.
#[derive(Default)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBytes {
    /// The alignment of the base in bytes: that of every block of an arena.
    pub const ALIGN: usize = 128;

    /// An empty buffer without room.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lines: Vec::new(),
            len: 0,
        }
    }

    /// Makes the buffer `len` bytes long; new bytes are zero, old ones stay.
    pub fn resize(&mut self, len: usize) {
        self.lines
            .resize(len.div_ceil(Self::ALIGN), Line([0; Self::ALIGN]));
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

    /// Replaces the content by a copy of `len` bytes from `source`, placed `skew` bytes behind the
    /// base so that alignments of the source's block are kept.
    ///
    /// # Safety
    ///
    /// `source..source + len` is mapped and readable. Another process may write to it meanwhile:
    /// the copy then holds any mixture of bytes, which is why readers check the copy, not the source.
    pub unsafe fn copy_from(&mut self, source: *const u8, len: usize, skew: usize) {
        debug_assert!(skew < Self::ALIGN);
        self.reserve_for_overwrite(skew + len);
        // SAFETY: the caller promises the source; the target has `skew + len` bytes of room, and
        // private memory cannot overlap a shared mapping.
        unsafe { std::ptr::copy_nonoverlapping(source, self.as_mut_ptr().add(skew), len) }
    }

    /// Sets the length without clearing bytes that are there already.
    fn reserve_for_overwrite(&mut self, len: usize) {
        let lines = len.div_ceil(Self::ALIGN);
        if lines > self.lines.capacity() {
            // A fresh zeroed allocation: the kernel's zero pages cost nothing until written.
            self.lines = vec![Line([0; Self::ALIGN]); lines];
        } else if lines > self.lines.len() {
            self.lines.resize(lines, Line([0; Self::ALIGN]));
        }
        self.len = len;
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `lines` holds at least `len` initialised bytes (kept by every method that sets `len`).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBytes")
            .field("len", &self.len)
            .finish()
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
}
