//! A mark that tells by a plain load whether this process has been forked.
//!
//! Invariant: the word lies in a private page that the kernel empties in every forked child, so a
//! value other than 0 was written by the very process that reads it. The list of taken words lies
//! outside of the page, so a child does not give away the word of a mark that it has inherited.

use std::{
    fmt,
    num::NonZeroU64,
    ptr::{self, NonNull},
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::sys::mman::{MmapAdvise, madvise};

use crate::{Error, limits::page_size};

/// A word that reads as the value its maker gave, and as 0 in every child forked afterwards.
///
/// Reading is one plain load, where asking for the process id is a system call. A fresh program
/// started from this one does not have the mark at all; `vfork` and threads share it.
///
/// ```
/// use std::num::NonZeroU64;
///
/// let mark = pool_shm::ForkMark::new(NonZeroU64::MIN)?;
/// assert_eq!(mark.get(), 1); // a forked child would read 0
/// # Ok::<(), pool_shm::Error>(())
/// ```
pub struct ForkMark {
    word: NonNull<AtomicU64>,
    storage: Storage,
}

/// Where the word of a mark lies.
enum Storage {
    /// In this word of the page that most marks of a process share.
    Shared(usize),
    /// In a page of its own, since the shared page was full.
    Own { _page: MmapRaw },
}

// SAFETY: the word is an atomic that lives as long as the mark, wherever that goes.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    /// A mark that reads as `value` in this process.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, or on a kernel older than 4.14.
    pub fn new(value: NonZeroU64) -> Result<Self, Error> {
        let mark = Self::unset()?;
        mark.set(value);
        Ok(mark)
    }

    /// A mark that has no value yet: it reads as 0.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub fn unset() -> Result<Self, Error> {
        let mark = match shared::take(shared::page()?) {
            Some((index, word)) => Self { word, storage: Storage::Shared(index) },
            None => {
                let page = wiped_page()?;
                let word = NonNull::new(page.as_mut_ptr().cast());
                let word = word.expect("no mapping starts at address 0");
                Self { word, storage: Storage::Own { _page: page } }
            }
        };
        // Relaxed: as in `get`. An earlier owner of the word may have left its value.
        mark.word().store(0, Ordering::Relaxed);
        Ok(mark)
    }

    /// Maps the page that marks share, so that children forked from now on need not map it each.
    ///
    /// # Errors
    ///
    /// The errors of [`new`](Self::new).
    pub fn prepare() -> Result<(), Error> {
        this_process().map(|_| ())
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

    /// Gives the mark `value`, unless this process has set one; returns the value that it has then.
    /// Of several threads that call this, one sets.
    pub fn get_or_set(&self, value: NonZeroU64) -> u64 {
        let set = self.word().compare_exchange(0, value.get(), Ordering::SeqCst, Ordering::SeqCst);
        set.map_or_else(|found| found, |_| value.get())
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the page is mapped for as long as `self`, the word aligned, and no other mark has
        // it.
        unsafe { self.word.as_ref() }
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        if let Storage::Shared(index) = self.storage {
            self.word().store(0, Ordering::Relaxed);
            shared::give_back(index);
        }
    }
}

impl fmt::Debug for ForkMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForkMark").field(&self.get()).finish()
    }
}

/// A fresh private page that forked children find empty.
fn wiped_page() -> Result<MmapRaw, Error> {
    let page = MmapOptions::new()
        .len(page_size())
        .map_anon()
        .map_err(|source| Error::os("mapping a fork mark", source))?;
    let page = MmapRaw::from(page);
    let start = NonNull::new(page.as_mut_ptr()).expect("no mapping starts at address 0");
    // SAFETY: the range is exactly the page mapped above, which no other code knows yet.
    unsafe { madvise(start.cast(), page.len(), MmapAdvise::MADV_WIPEONFORK) }
        .map_err(|source| Error::os("marking a page to be wiped on fork", source))?;
    // Without it the page is dumped, and nothing is lost.
    let _ = page.advise(Advice::DontDump);
    Ok(page)
}

/// The page that most marks of a process share: a mapping and a first touch for each would cost
/// every worker some microseconds.
mod shared {
    use super::{AtomicPtr, AtomicU64, Error, NonNull, Ordering, ptr, wiped_page};

    /// Words that are given away: no more than the smallest page holds.
    const WORDS: usize = 4096 / size_of::<AtomicU64>();

    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
    /// A bit for each word that a mark has. No lock: a thread may hold one while another forks.
    static TAKEN: [AtomicU64; WORDS / 64] = [const { AtomicU64::new(0) }; WORDS / 64];

    /// The page, mapped when it is first needed, and never unmapped.
    pub(super) fn page() -> Result<NonNull<AtomicU64>, Error> {
        // Acquire: pairs with the Release below.
        if let Some(page) = NonNull::new(PAGE.load(Ordering::Acquire)) {
            return Ok(page);
        }
        let fresh = wiped_page()?;
        let start = fresh.as_mut_ptr().cast();
        let first =
            PAGE.compare_exchange(ptr::null_mut(), start, Ordering::AcqRel, Ordering::Acquire);
        let page = match first {
            Ok(_) => {
                std::mem::forget(fresh);
                start
            }
            // Another thread was first; this page is unmapped.
            Err(page) => page,
        };
        Ok(NonNull::new(page).expect("a mapping that does not start at address 0"))
    }

    /// A word that no mark has, and its number.
    pub(super) fn take(page: NonNull<AtomicU64>) -> Option<(usize, NonNull<AtomicU64>)> {
        let index = TAKEN.iter().enumerate().find_map(|(group, bits)| {
            // Acquire: pairs with the Release of `give_back`, so its former owner uses the word no
            // more.
            let take = |bits: u64| (bits != u64::MAX).then(|| bits | (bits + 1));
            let before = bits.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).ok()?;
            Some(group * 64 + before.trailing_ones() as usize)
        })?;
        // SAFETY: the page has more than `WORDS` words.
        Some((index, unsafe { page.add(index) }))
    }

    /// Takes the word back from a mark that is gone.
    pub(super) fn give_back(index: usize) {
        TAKEN[index / 64].fetch_and(!(1 << (index % 64)), Ordering::Release);
    }
}

static MARK: OnceLock<ForkMark> = OnceLock::new();

/// Whether [`this_process`] has returned `number` in this very process.
#[inline]
pub(crate) fn is_this_process(number: NonZeroU64) -> bool {
    MARK.get().is_some_and(|mark| mark.get() == number.get())
}

/// A number that tells this process from those it was forked from. It never changes within a
/// process.
///
/// # Errors
///
/// [`Error::Os`] as in [`ForkMark::new`], at the first call only.
pub(crate) fn this_process() -> Result<NonZeroU64, Error> {
    // The mark is emptied by a fork and the count is not: so a child takes the next number, which
    // none of its ancestors has.
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
    let next = NonZeroU64::new(next).expect("counted up from 1");
    // Several threads of the child may be here; the first one names the process.
    Ok(NonZeroU64::new(mark.get_or_set(next)).expect("a mark that was set"))
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
        assert_eq!(mark.get_or_set(NonZeroU64::MAX), 1);
        assert_eq!(format!("{mark:?}"), "ForkMark(1)");
    }

    #[test]
    fn marks_are_apart_however_many_there_are() {
        let value = |at: u64| NonZeroU64::new(at + 1).unwrap();
        let marks: Vec<_> = (0..1500).map(|at| ForkMark::new(value(at)).unwrap()).collect();
        assert!(marks.iter().any(|mark| matches!(mark.storage, Storage::Own { .. })));
        assert!((0..).zip(&marks).all(|(at, mark)| mark.get() == at + 1));
        drop(marks);
        let again = ForkMark::new(NonZeroU64::MIN).unwrap();
        assert!(matches!(again.storage, Storage::Shared(_)));
    }

    #[test]
    fn a_process_keeps_its_number() {
        assert_eq!(this_process().unwrap(), this_process().unwrap());
    }
}
