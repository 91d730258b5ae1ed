//! Address space that this process has mapped, unmapped on drop.
//!
//! Invariant: the range belongs to one `Region` alone, so unmapping it, or changing its protection,
//! touches nothing else.

use std::{num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use nix::{
    errno::Errno,
    sys::mman::{
        MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munlock,
    },
};

use crate::{limits::page_size, sys};

/// One whole mapping.
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address and a length; the memory there is shared with other processes anyway.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// How a region shows a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// All processes see each other's writes.
    Shared,
    /// The region shows each page as it was when it was first touched.
    Private,
}

impl Region {
    /// Maps the first `len` bytes of a file, without reserving memory for them.
    pub(crate) fn new(fd: impl AsFd, len: usize, prot: ProtFlags, view: View) -> nix::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let sharing = match view {
            View::Shared => MapFlags::MAP_SHARED,
            View::Private => MapFlags::MAP_PRIVATE,
        };
        let flags = sharing | MapFlags::MAP_NORESERVE;
        // SAFETY: the kernel chooses an address that nothing is mapped at.
        let start = unsafe { mmap(None, len, prot, flags, fd, 0) }?;
        Ok(Self { start: start.cast(), len: len.get() })
    }

    /// Maps a file shared, in a way that `mlockall` of the program does not populate: it reads no
    /// page in that cannot be accessed, and none at all once the region is unlocked.
    pub(crate) fn unlocked(fd: impl AsFd, len: usize, prot: ProtFlags) -> nix::Result<Self> {
        if !is_populated() {
            let region = Self::new(fd, len, prot, View::Shared)?;
            region.unlock();
            return Ok(region);
        }
        let region = Self::new(fd, len, ProtFlags::PROT_NONE, View::Shared)?;
        region.unlock();
        // SAFETY: the range is this region's, which nothing refers into yet.
        unsafe { mprotect(region.start.cast(), region.len, prot) }?;
        Ok(region)
    }

    /// Whether this process could map so many bytes more, and may lock as many if it locks what it
    /// maps.
    pub(crate) fn probe(len: usize) -> nix::Result<()> {
        Self::anonymous(len, ProtFlags::PROT_NONE).map(drop)
    }

    fn anonymous(len: usize, prot: ProtFlags) -> nix::Result<Self> {
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: the kernel chooses an address that nothing is mapped at.
        let start = unsafe { mmap_anonymous(None, len, prot, flags) }?;
        Ok(Self { start: start.cast(), len: len.get() })
    }

    fn unlock(&self) {
        // SAFETY: the range is this region's. A kernel without locked memory refuses, and has
        // locked nothing.
        let _ = unsafe { munlock(self.start.cast(), self.len) };
    }

    #[inline]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives the kernel an advice that changes nothing this process reads.
    pub(crate) fn advise(&self, advice: HarmlessAdvice) -> nix::Result<()> {
        let advice = match advice {
            HarmlessAdvice::DontFork => MmapAdvise::MADV_DONTFORK,
            HarmlessAdvice::DoFork => MmapAdvise::MADV_DOFORK,
            HarmlessAdvice::DontDump => MmapAdvise::MADV_DONTDUMP,
            HarmlessAdvice::DoDump => MmapAdvise::MADV_DODUMP,
        };
        // SAFETY: the range is this region's, and the advice leaves its content alone.
        unsafe { madvise(self.start.cast(), self.len, advice) }
    }

    /// Gives the pages of a range back, which read as zero afterwards, in every process.
    ///
    /// # Safety
    ///
    /// The range lies within the region, is writable, and there is no reference into it.
    pub(crate) unsafe fn remove(&self, offset: usize, len: usize) -> nix::Result<()> {
        debug_assert!(offset + len <= self.len, "a range within the region");
        // SAFETY: promised by the caller.
        unsafe { madvise(self.start.add(offset).cast(), len, MmapAdvise::MADV_REMOVE) }
    }
}

/// Whether the kernel takes memory for what this process maps before it is touched, as it does
/// after `mlockall` with `MCL_FUTURE`. Asking first spares all other programs the detour, for which
/// tools that watch each byte of memory need minutes.
fn is_populated() -> bool {
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let page = Region::anonymous(page_size(), prot);
    page.is_ok_and(|page| sys::is_resident(page.start))
}

/// The advice that [`Region::advise`] takes.
#[derive(Clone, Copy)]
pub(crate) enum HarmlessAdvice {
    DontFork,
    DoFork,
    DontDump,
    DoDump,
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is this region's, whose owner makes no use of its address any more.
        let unmapped = unsafe { nix::sys::mman::munmap(self.start.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a range that was mapped: {unmapped:?}");
    }
}
