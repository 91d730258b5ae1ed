//! Plain data behind a lock: one value, or a slice of them.
//!
//! Invariant: the pointer leads to initialised data of the lock's own block, of the type that the
//! block was made for. Nothing here makes a reference to them except before other code knows the
//! lock.

use std::ptr::{self, NonNull};

use bytemuck::Pod;

use super::lock_layout::{Content, Head, LockLayout};
use crate::{Block, Error, SegmentFault};

/// A counted handle to a lock and its data.
pub(super) struct Guarded<H, T: ?Sized> {
    layout: LockLayout<H>,
    data: NonNull<T>,
}

// SAFETY: a handle alone gives no access to the data; a lock does, to one thread that writes or
// several that read, which is what `Send` and `Sync` of the data allow.
unsafe impl<H, T: ?Sized + Send + Sync> Send for Guarded<H, T> {}
// SAFETY: as above.
unsafe impl<H, T: ?Sized + Send + Sync> Sync for Guarded<H, T> {}

impl<H: Head, T: Pod> Guarded<H, T> {
    pub(super) fn new(head: H, words: usize, value: T) -> Result<Self, Error> {
        let layout =
            LockLayout::new(head, words, Content::of::<T>(1).expect("one value has a size"))?;
        let data = layout.data().cast::<T>();
        // SAFETY: the data have room for one `T`, aligned, and are known to no other code yet.
        unsafe { data.write(value) };
        Ok(Self { layout, data })
    }

    pub(super) fn open(block: Block) -> Result<Self, SegmentFault> {
        let (layout, size) = LockLayout::open(block, align_of::<T>())?;
        if size != size_of::<T>() {
            return Err(SegmentFault::OtherLength);
        }
        let data = layout.data().cast();
        Ok(Self { layout, data })
    }
}

impl<H: Head, T: Pod> Guarded<H, [T]> {
    pub(super) fn zeroed(head: H, words: usize, len: usize) -> Result<Self, Error> {
        const { assert!(size_of::<T>() > 0, "a slice of nothing has no length in shared memory") };
        let too_long = Error::TooLong { len: u64::MAX, limit: isize::MAX as u64 };
        let layout = LockLayout::new(head, words, Content::of::<T>(len).ok_or(too_long)?)?;
        let data = NonNull::slice_from_raw_parts(layout.data().cast(), len);
        Ok(Self { layout, data })
    }

    pub(super) fn from_slice(head: H, words: usize, values: &[T]) -> Result<Self, Error> {
        let fresh = Self::zeroed(head, words, values.len())?;
        // SAFETY: the data have room for as many values, and are known to no other code yet.
        unsafe {
            ptr::copy_nonoverlapping(values.as_ptr(), fresh.data.as_ptr().cast(), values.len());
        }
        Ok(fresh)
    }

    pub(super) fn open_slice(block: Block) -> Result<Self, SegmentFault> {
        let (layout, size) = LockLayout::open(block, align_of::<T>())?;
        let len = size.checked_div(size_of::<T>()).filter(|len| len * size_of::<T>() == size);
        let len = len.ok_or(SegmentFault::OtherLength)?;
        let data = NonNull::slice_from_raw_parts(layout.data().cast(), len);
        Ok(Self { layout, data })
    }
}

impl<H: Head, T: ?Sized> Guarded<H, T> {
    #[inline]
    pub(super) fn head(&self) -> &H {
        self.layout.head()
    }

    #[inline]
    pub(super) fn data(&self) -> NonNull<T> {
        self.data
    }

    pub(super) fn layout(&self) -> &LockLayout<H> {
        &self.layout
    }

    pub(super) fn block(&self) -> &Block {
        self.layout.block()
    }
}

impl<H, T: ?Sized> Clone for Guarded<H, T> {
    fn clone(&self) -> Self {
        Self { layout: self.layout.clone(), data: self.data }
    }
}
