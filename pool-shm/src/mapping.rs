//! One mapping of a segment.
//!
//! Invariant: every byte of `as_ptr() .. as_ptr() + len()` can be accessed without a fault for as
//! long as the mapping lives, in the process that made it; a forked child never unmaps a range that
//! it did not inherit. A core dump contains the mapping only if that is asked for.

use std::{
    fmt,
    mem::ManuallyDrop,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    Error,
    fork_mark::this_process,
    limits::inner_pages,
    region::{HarmlessAdvice, Region},
};

/// One mapping of a [`Segment`](crate::Segment), unmapped on drop. It needs no descriptor.
///
/// It hands out pointers, never references, since other processes may write the same memory at any
/// time.
pub struct Mapping {
    map: ManuallyDrop<Region>,
    writable: bool,
    /// The process that alone has this mapping, as [`this_process`] numbers it, or 0 if forked
    /// children have it too.
    kept_by: AtomicU64,
}

impl Mapping {
    /// A mapping that was just made.
    pub(crate) fn new(map: Region, writable: bool) -> Self {
        // A kernel that does not know this advice dumps it, which is no reason to fail.
        let _ = map.advise(HarmlessAdvice::DontDump);
        Self { map: ManuallyDrop::new(map), writable, kept_by: AtomicU64::new(0) }
    }

    /// Makes the mapping part of this process's core dumps, which it is not by default: a dump
    /// reads every page, and those of a sparse segment take memory then. Forked children have it as
    /// it is at the fork.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the kernel refuses; in a child that was forked while the mapping was kept
    /// from it, always.
    pub fn set_dumped(&self, on: bool) -> Result<(), Error> {
        const DOING: &str = "choosing what core dumps contain";
        if self.is_foreign() {
            return Err(Error::os(DOING, nix::errno::Errno::ENOMEM));
        }
        let advice = if on { HarmlessAdvice::DoDump } else { HarmlessAdvice::DontDump };
        self.map.advise(advice).map_err(|source| Error::os(DOING, source))
    }

    /// The first byte. Writing through it needs [`is_writable`](Self::is_writable).
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.start()
    }

    /// Bytes mapped; never 0.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "no mapping is empty")]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether this process may write here.
    #[inline]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Keeps children forked from now on from having this mapping: an access there is a fault.
    /// Dropping the value in such a child does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the kernel refuses; nothing changed then.
    pub fn dont_fork(&self) -> Result<(), Error> {
        let process = this_process()?;
        self.map
            .advise(HarmlessAdvice::DontFork)
            .map_err(|source| Error::os("keeping a mapping from forked children", source))?;
        self.kept_by.store(process.get(), Ordering::SeqCst);
        Ok(())
    }

    /// Lets children forked from now on have this mapping again.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] if the kernel refuses; in a child that was forked while the mapping was kept
    /// from it, always.
    pub fn do_fork(&self) -> Result<(), Error> {
        const DOING: &str = "sharing a mapping with forked children";
        if self.is_foreign() {
            return Err(Error::os(DOING, nix::errno::Errno::ENOMEM));
        }
        self.map.advise(HarmlessAdvice::DoFork).map_err(|source| Error::os(DOING, source))?;
        self.kept_by.store(0, Ordering::SeqCst);
        Ok(())
    }

    /// Gives the memory of the whole pages inside the range back to the system; they read as zero
    /// in every process afterwards.
    ///
    /// Code that makes references out of [`as_ptr`](Self::as_ptr) must ensure that their range is
    /// not discarded.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::ReadOnly`], or [`Error::Os`] if the kernel refuses, as it
    /// does for locked pages.
    pub fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        const DOING: &str = "giving pages of a mapping back";
        let size = self.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::OutOfRange { offset, len, size });
        }
        if !self.writable {
            return Err(Error::ReadOnly);
        }
        if self.is_foreign() {
            return Err(Error::os(DOING, nix::errno::Errno::ENOMEM));
        }
        let Some((start, len)) = inner_pages(offset, len) else {
            return Ok(());
        };
        // SAFETY: this zeroes shared memory, as any peer may at any time; the crate makes
        // references only into mappings of shared objects, which it does not hand out, and a caller
        // that makes one promised to leave its range alone.
        unsafe { self.map.remove(start as usize, len as usize) }
            .map_err(|source| Error::os(DOING, source))
    }

    /// Whether this is a forked child that did not get the mapping, so that its addresses may mean
    /// something else.
    fn is_foreign(&self) -> bool {
        match self.kept_by.load(Ordering::SeqCst) {
            0 => false,
            keeper => this_process().map_or(true, |process| process.get() != keeper),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.is_foreign() {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.map) }
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("start", &self.as_ptr())
            .field("len", &self.len())
            .field("writable", &self.writable)
            .finish()
    }
}
