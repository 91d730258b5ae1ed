//! The beginning of a named segment, which tells it from other files; it is written before any
//! process may use the segment.
//!
//! Invariant: the magic number is written last, so a process that sees it sees a finished segment;
//! nothing is written twice.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::SegmentId;

/// Bytes before those of the user: a cache line.
pub(super) const HEAD: usize = 64;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"poolname");
const VERSION: u32 = 1;

/// The first bytes of the file: magic number, version, length and identity.
#[repr(C, align(64))]
pub(super) struct Head {
    magic: AtomicU64,
    version: AtomicU32,
    _unused: AtomicU32,
    /// Bytes of the user.
    len: AtomicU64,
    id: [AtomicU64; 2],
}

const _: () = assert!(size_of::<Head>() == HEAD && align_of::<Head>() == HEAD);

/// Why a head is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its maker has not finished it.
    Unfinished,
    /// The file is something else.
    Other(&'static str),
}

/// Checks `magic`, the first word of a file.
pub(super) fn check_magic(magic: u64) -> Result<(), Fault> {
    match magic {
        MAGIC => Ok(()),
        0 => Err(Fault::Unfinished),
        _ => Err(Fault::Other("it does not begin like one")),
    }
}

impl Head {
    /// Writes all but the magic number.
    pub(super) fn begin(&self, len: u64, id: SegmentId) {
        // Relaxed: published by `finish`.
        self.version.store(VERSION, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
        self.id[0].store(id.0 as u64, Ordering::Relaxed);
        self.id[1].store((id.0 >> 64) as u64, Ordering::Relaxed);
    }

    /// Lets others have the segment.
    pub(super) fn finish(&self) {
        // Release: pairs with the Acquire in `check`.
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// The identity of a segment in a file of `size` bytes, which has at least one byte behind the
    /// head.
    pub(super) fn check(&self, size: u64) -> Result<SegmentId, Fault> {
        // Acquire: pairs with the Release in `finish`.
        check_magic(self.magic.load(Ordering::Acquire))?;
        if self.version.load(Ordering::Relaxed) != VERSION {
            return Err(Fault::Other("it was made by another version of this crate"));
        }
        let len = self.len.load(Ordering::Relaxed);
        if len == 0 {
            return Err(Fault::Other("it has no bytes"));
        }
        if len.checked_add(HEAD as u64) != Some(size) {
            return Err(Fault::Other("its size is not the one that it was made with"));
        }
        Ok(self.id())
    }

    /// The identity in the bytes of a head.
    pub(super) fn id_in(bytes: &[u8; HEAD]) -> SegmentId {
        const AT: usize = std::mem::offset_of!(Head, id);
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        SegmentId(u128::from(word(AT)) | u128::from(word(AT + 8)) << 64)
    }

    pub(super) fn id(&self) -> SegmentId {
        let word = |index: usize| u128::from(self.id[index].load(Ordering::Relaxed));
        SegmentId(word(0) | word(1) << 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Head {
        Head {
            magic: AtomicU64::new(0),
            version: AtomicU32::new(0),
            _unused: AtomicU32::new(0),
            len: AtomicU64::new(0),
            id: [AtomicU64::new(0), AtomicU64::new(0)],
        }
    }

    #[test]
    fn only_a_finished_head_of_the_right_size_is_taken() {
        let (head, id) = (blank(), SegmentId(1 << 100 | 7));
        assert_eq!(head.check(0), Err(Fault::Unfinished));
        head.begin(100, id);
        assert_eq!(head.check(164), Err(Fault::Unfinished));
        head.finish();
        assert_eq!(head.check(164), Ok(id));
        for size in [0, 64, 100, 163, 165, u64::MAX] {
            assert!(matches!(head.check(size), Err(Fault::Other(_))), "{size}");
        }
        head.len.store(u64::MAX, Ordering::Relaxed);
        assert!(matches!(head.check(63), Err(Fault::Other(_))));
    }

    #[test]
    fn a_head_without_bytes_behind_it_is_refused() {
        let head = blank();
        head.begin(0, SegmentId(1));
        head.finish();
        assert!(matches!(head.check(64), Err(Fault::Other(reason)) if reason.contains("no bytes")));
    }

    #[test]
    fn heads_of_others_are_named() {
        let head = blank();
        head.begin(1, SegmentId(1));
        head.finish();
        head.version.store(2, Ordering::Relaxed);
        assert!(matches!(head.check(65), Err(Fault::Other(reason)) if reason.contains("version")));
        head.magic.store(1, Ordering::Relaxed);
        assert!(matches!(head.check(65), Err(Fault::Other(_))));
    }
}
