//! The memory of a lock: in one block, a head, a table of words, and the data.
//!
//! Invariant: a `LockLayout` has been checked when it was opened: table and data lie inside the
//! block, which stays mapped as long as the `LockLayout` lives. So does every borrow of it: a
//! forgotten guard leaves nothing in this process that leads to memory no longer mapped.

use std::{fmt, io, ptr::NonNull, sync::atomic::AtomicU64};

use super::owner::Me;
use crate::{Block, ElementType, Error, Kind, SegmentFault, Shape};

/// The part of a lock that all locks of one kind have, at the beginning of their block.
pub(super) trait Head: Sized + fmt::Debug {
    const KIND: Kind;

    /// How many words the table has, in a block that has room for `most` behind its head; `None` if
    /// the block cannot be one of this kind.
    fn words(&self, most: usize) -> Option<usize>;

    /// The namespaces in which holders' names mean something; 0 if holders are not named.
    fn namespace(&self) -> u64;
}

/// The data behind head and table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    /// Stands for the type, as the block's slot has it.
    pub(super) element: ElementType,
    pub(super) size: usize,
    pub(super) align: usize,
}

impl Content {
    /// `len` values of `T`, if there can be as many.
    pub(super) fn of<T>(len: usize) -> Option<Self> {
        const { assert!(align_of::<T>() <= 64, "no block is aligned to more than 64 bytes") };
        let size = len.checked_mul(size_of::<T>())?;
        Some(Self { element: ElementType::bytes_of::<T>(), size, align: align_of::<T>() })
    }

    /// No data.
    pub(super) fn none() -> Self {
        Self { element: ElementType::bytes_of::<()>(), size: 0, align: 1 }
    }
}

/// A counted handle to a lock in shared memory.
pub(super) struct LockLayout<H> {
    block: Block,
    head: NonNull<H>,
    words: usize,
    data_at: usize,
}

// SAFETY: the head and the words consist of atomics; the block may be used and dropped anywhere.
// Access to the data is up to the code that makes a reference of `data`.
unsafe impl<H> Send for LockLayout<H> {}
// SAFETY: as above.
unsafe impl<H> Sync for LockLayout<H> {}

impl<H: Head> LockLayout<H> {
    /// A fresh lock; table and data are zero.
    pub(super) fn new(head: H, words: usize, content: Content) -> Result<Self, Error> {
        let too_long = || Error::TooLong { len: u64::MAX, limit: isize::MAX as u64 };
        let bytes = data_at::<H>(words, content.align).and_then(|at| at.checked_add(content.size));
        let len = bytes.ok_or_else(too_long)?;
        let block = Block::new(Shape { kind: H::KIND, element: content.element, len })?;
        let start = block.as_ptr().cast::<H>();
        // SAFETY: the block has room for the head, is aligned to 64 bytes, and is known to no other
        // code yet.
        unsafe { start.write(head) };
        Ok(Self::within(block, words, content.align).expect("made for it"))
    }

    /// Opens the lock in a block of its kind, whose data are aligned to `align`; returns how many
    /// bytes the data are.
    pub(super) fn open(block: Block, align: usize) -> Result<(Self, usize), SegmentFault> {
        let room = block.len().checked_sub(size_of::<H>()).ok_or(SegmentFault::NoSuchObject)?;
        // SAFETY: within the block, as just checked, and aligned; a head consists of atomics, so
        // others may write it.
        let head = unsafe { block.as_ptr().cast::<H>().as_ref() };
        let words = head.words(room / size_of::<AtomicU64>());
        let (words, namespace) = (words.ok_or(SegmentFault::NoSuchObject)?, head.namespace());
        if namespace != 0 && Me::now().is_ok_and(|me| me.namespace != namespace) {
            return Err(SegmentFault::ForeignNamespace);
        }
        let layout = Self::within(block, words, align).ok_or(SegmentFault::NoSuchObject)?;
        let size = layout.block.len() - layout.data_at;
        Ok((layout, size))
    }

    fn within(block: Block, words: usize, align: usize) -> Option<Self> {
        let data_at = data_at::<H>(words, align).filter(|at| *at <= block.len())?;
        let head = block.as_ptr().cast();
        Some(Self { block, head, words, data_at })
    }

    #[inline]
    pub(super) fn head(&self) -> &H {
        // SAFETY: written by `new` or checked by `open`; mapped as long as the block lives; atomics
        // only.
        unsafe { self.head.as_ref() }
    }

    /// The table of holders.
    #[inline]
    pub(super) fn table(&self) -> &[AtomicU64] {
        // SAFETY: `words` words lie behind the head, inside the block, as `within` checked; a
        // head's size is a multiple of 8, and zeroed memory is a word.
        unsafe {
            let start = self.head.add(1).cast::<AtomicU64>();
            NonNull::slice_from_raw_parts(start, self.words).as_ref()
        }
    }

    /// Where the data begin.
    pub(super) fn data(&self) -> NonNull<u8> {
        // SAFETY: inside the block or just behind it, as `within` checked.
        unsafe { self.block.as_ptr().add(self.data_at) }
    }

    pub(super) fn block(&self) -> &Block {
        &self.block
    }
}

/// Where data of this alignment begin behind the head and `words` words.
fn data_at<H: Head>(words: usize, align: usize) -> Option<usize> {
    const {
        assert!(align_of::<H>() <= 64 && size_of::<H>().is_multiple_of(size_of::<AtomicU64>()));
    }
    let table = words.checked_mul(size_of::<AtomicU64>())?;
    size_of::<H>().checked_add(table)?.checked_next_multiple_of(align)
}

impl<H> Clone for LockLayout<H> {
    fn clone(&self) -> Self {
        Self { block: self.block.clone(), ..*self }
    }
}

impl<H> PartialEq for LockLayout<H> {
    fn eq(&self, other: &Self) -> bool {
        self.block == other.block
    }
}

/// The calling thread as the maker of a lock.
pub(super) fn maker() -> Result<Me, Error> {
    Me::now().map_err(|error| Error::os("naming the maker of a lock", io::Error::other(error)))
}
