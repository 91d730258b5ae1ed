//! Knowing that this process has been forked, by a plain load.
//!
//! Invariant: the word lies alone in a private page that the kernel empties in every forked child, so a value other than 0 was
//! written by the very process that reads it.

use std::{
    fmt,
    num::NonZeroU64,
    ptr::NonNull,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::mman::{MmapAdvise, madvise};

use crate::{Error, limits::page_size};

/// A word that reads as the value its maker gave, and as 0 in every child forked afterwards.
///
/// Reading is one plain load, where asking for the process id is a system call. A fresh program started from this one
/// does not have the mark at all; `vfork` and threads share it.
///
/// ```
/// use std::num::NonZeroU64;
///
/// let mark = pool_shm::ForkMark::new(NonZeroU64::MIN)?;
/// assert_eq!(mark.get(), 1); // a forked child would read 0
/// # Ok::<(), pool_shm::Error>(())
/// ```
pub struct ForkMark {
    page: MmapRaw,
}

impl ForkMark {
    /// A mark that reads as `value` in this process.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, or on a kernel older than 4.14.
    pub fn new(value: NonZeroU64) -> Result<Self, Error> {
        let page = MmapOptions::new()
            .len(page_size())
            .map_anon()
            .map_err(|source| Error::os("mapping a fork mark", source))?;
        let page = MmapRaw::from(page);
        let start = NonNull::new(page.as_mut_ptr()).expect("no mapping starts at address 0");
        // SAFETY: the range is exactly the page mapped above, which nobody else knows yet.
        unsafe { madvise(start.cast(), page.len(), MmapAdvise::MADV_WIPEONFORK) }
            .map_err(|source| Error::os("marking a page to be wiped on fork", source))?;
        let mark = Self { page };
        mark.set(value);
        Ok(mark)
    }

    /// The value last set by this process, or 0 if it was forked since and has set none itself.
    #[inline]
    pub fn get(&self) -> u64 {
        // Relaxed: only this process writes the word, and nothing is published by it.
        self.word().load(Ordering::Relaxed)
    }

    /// Gives the mark a value that is valid for this process.
    pub fn set(&self, value: NonZeroU64) {
        // Relaxed: as in `get`.
        self.word().store(value.get(), Ordering::Relaxed);
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped for as long as `self`, aligned to more than 8 bytes, and accessed here only.
        unsafe { AtomicU64::from_ptr(self.page.as_mut_ptr().cast()) }
    }
}

impl fmt::Debug for ForkMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForkMark").field(&self.get()).finish()
    }
}

static MARK: OnceLock<ForkMark> = OnceLock::new();

/// Whether [`this_process`] has said `number` before, in this very process.
#[inline]
pub(crate) fn is_this_process(number: NonZeroU64) -> bool {
    MARK.get().is_some_and(|mark| mark.get() == number.get())
}

/// A number that tells this process from those it was forked from. It never changes within a process.
///
/// # Errors
///
/// [`Error::Os`] as in [`ForkMark::new`], at the first call only.
pub(crate) fn this_process() -> Result<NonZeroU64, Error> {
    // The mark is emptied by a fork and the count is not: so a child takes the next number, which none of its
    // ancestors has.
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let mark = match MARK.get() {
        Some(mark) => mark,
        None => {
            let fresh = ForkMark::new(NonZeroU64::MIN)?;
            COUNT.store(1, Ordering::SeqCst);
            MARK.get_or_init(|| fresh)
        }
    };
    if let Some(number) = NonZeroU64::new(mark.get()) {
        return Ok(number);
    }
    let next = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    // Several threads of the child may be here; the first one names the process.
    let settled = mark.word().compare_exchange(0, next, Ordering::SeqCst, Ordering::SeqCst);
    Ok(NonZeroU64::new(settled.map_or_else(|seen| seen, |_| next)).expect("counted up from 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_set() {
        let mark = ForkMark::new(NonZeroU64::MAX).unwrap();
        assert_eq!(mark.get(), u64::MAX);
        mark.set(NonZeroU64::MIN);
        assert_eq!(mark.get(), 1);
        assert_eq!(format!("{mark:?}"), "ForkMark(1)");
    }

    #[test]
    fn a_process_keeps_its_number() {
        assert_eq!(this_process().unwrap(), this_process().unwrap());
    }
}
