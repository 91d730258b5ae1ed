//! The name of a holder, a thread or a process: a later one of the same id is not taken for it.
//!
//! Invariant: a holder fits into one word together with the state of what it holds, so taking and
//! signing are one step: there is no instruction at which something is taken and not signed for.
//!
//! ```text
//!  63            32 31       22 21            0
//!  start time, ticks | ten flags |  thread id
//! ```

use std::{
    cell::Cell,
    fs, io,
    num::NonZeroU64,
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicU32, AtomicU64},
};

use super::{error::LockError, leaked, process_end, stat::Stat};
use crate::{
    fork_mark::{is_this_process, this_process},
    sys,
};

/// Thread ids are smaller than 2²² on every Linux (`PID_MAX_LIMIT`).
const ID_BITS: u32 = 22;
const FLAG_BITS: u32 = 10;
const FLAGS: u64 = ((1 << FLAG_BITS) - 1) << ID_BITS;

/// The bit of flag `index`, of ten.
pub(super) const fn flag(index: u32) -> u64 {
    assert!(index < FLAG_BITS);
    1 << (ID_BITS + index)
}

/// A thread, or a process by its first thread: id and start time. Two of the same id do not start
/// in the same 10 ms, since ids go round before they come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(u64);

impl Owner {
    /// Signs nothing.
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn new(id: u32, start_ticks: u64) -> Self {
        debug_assert!(id >> ID_BITS == 0);
        Self(start_ticks << 32 | id as u64)
    }

    /// The owner that signed `word`.
    pub(super) const fn of(word: u64) -> Self {
        Self(word & !FLAGS)
    }

    /// The signature, with no flag set.
    pub(super) const fn word(self) -> u64 {
        self.0
    }

    pub(super) const fn id(self) -> u32 {
        (self.0 & ((1 << ID_BITS) - 1)) as u32
    }

    /// Where in a table of `len` places to begin looking for a free one: each always at the same
    /// one, others elsewhere.
    pub(super) const fn place_in(self, len: usize) -> usize {
        // Fibonacci hashing, and a product instead of a division.
        let hash = self.id().wrapping_mul(0x9e37_79b1);
        ((hash as u128 * len as u128) >> 32) as usize
    }

    /// Whether the thread or process that has this id now, and started at `start_ticks`, is this
    /// owner.
    pub(super) const fn started_at(self, start_ticks: u64) -> bool {
        (self.0 >> 32) as u32 == start_ticks as u32
    }
}

/// The half of a word that changes with its owner and its flags, to sleep on.
pub(super) fn futex_half(word: &AtomicU64) -> &AtomicU32 {
    let index = if cfg!(target_endian = "little") { 0 } else { 1 };
    // SAFETY: lies inside the word, is aligned, and lives as long. Its address goes to the kernel,
    // which compares; no code loads or stores through it.
    unsafe { AtomicU32::from_ptr(word.as_ptr().cast::<u32>().add(index)) }
}

/// The value of the [`futex_half`] of a word with this value.
pub(super) const fn half(word: u64) -> u32 {
    word as u32
}

/// The calling thread and its process, as they sign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Me {
    pub(super) thread: Owner,
    pub(super) process: Owner,
    /// The namespaces in which these ids and times mean something.
    pub(super) namespace: u64,
    /// The process in which this was found out, as [`this_process`] numbers it.
    pub(super) number: NonZeroU64,
}

thread_local! {
    static ME: Cell<Option<Me>> = const { Cell::new(None) };
}

impl Me {
    /// The calling thread, which may have been forked since it last asked.
    ///
    /// # Errors
    ///
    /// [`LockError::Unidentified`] where there is no `/proc`, or not the one of this process.
    #[inline]
    pub(super) fn now() -> Result<Self, LockError> {
        Self::known().map_or_else(Self::find, Ok)
    }

    /// Whether `owner` is the calling thread. Makes no system call, and a forked child does not
    /// take inherited locks for its own.
    #[inline]
    pub(super) fn is_thread(owner: Owner) -> bool {
        Self::known().is_some_and(|me| me.thread == owner)
    }

    /// The calling thread, if it has ever asked in this process.
    #[inline]
    pub(super) fn known() -> Option<Self> {
        ME.get().filter(|me| is_this_process(me.number))
    }

    /// Makes the calling thread be named anew when it asks again.
    pub(super) fn forget() {
        ME.set(None);
    }

    #[cold]
    fn find() -> Result<Self, LockError> {
        let unidentified = |source| LockError::Unidentified { source };
        let number = this_process().map_err(|error| unidentified(io::Error::other(error)))?;
        let me = Self {
            thread: signed("/proc/thread-self/stat", sys::thread_id()).map_err(unidentified)?,
            process: signed("/proc/self/stat", std::process::id()).map_err(unidentified)?,
            namespace: namespace().map_err(unidentified)?,
            number,
        };
        leaked::watch_thread().map_err(unidentified)?;
        process_end::note_signing(number.get());
        ME.set(Some(me));
        Ok(me)
    }
}

/// The owner that the `stat` file at `path` describes, whose id must be `id`.
fn signed(path: &str, id: u32) -> io::Result<Owner> {
    let stat = Stat::read(path)?;
    if stat.id != id || id >> ID_BITS != 0 {
        // Ids of another namespace, which no other process of this namespace could look up.
        return Err(io::Error::other("/proc belongs to another PID namespace"));
    }
    Ok(Owner::new(id, stat.start_ticks))
}

/// The PID namespace of this process, and its time namespace: start times depend on that.
///
/// # Errors
///
/// The kernel's error where there is no `/proc`.
fn namespace() -> io::Result<u64> {
    let pid = fs::metadata("/proc/self/ns/pid")?.ino();
    // Kernels before 5.6 have one time only.
    let time = fs::metadata("/proc/self/ns/time").map_or(0, |time| time.ino());
    Ok(pid ^ time.rotate_left(32))
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, thread};

    use super::*;

    #[test]
    fn flags_do_not_touch_the_signature() {
        let owner = Owner::new((1 << 22) - 1, u64::from(u32::MAX));
        let all = (0..10).fold(owner.word(), |word, index| word | flag(index));
        assert_eq!(Owner::of(all), owner);
        assert_eq!(all, u64::MAX);
        assert_eq!(owner.id(), (1 << 22) - 1);
        assert!(owner.started_at(u64::from(u32::MAX)) && !owner.started_at(0));
        for len in [1, 2, 3, 64, usize::MAX] {
            assert!(owner.place_in(len) < len);
        }
    }

    #[test]
    fn the_half_to_sleep_on_has_id_and_flags() {
        let word = AtomicU64::new(Owner::new(77, 5).word() | flag(0));
        let low = futex_half(&word);
        // SAFETY: nothing else accesses the word at the moment; a plain read through its address.
        assert_eq!(unsafe { low.as_ptr().read() }, half(word.load(Ordering::Relaxed)));
        assert_eq!(half(word.load(Ordering::Relaxed)), 77 | 1 << 22);
    }

    #[test]
    fn every_thread_signs_for_itself_and_all_for_the_process() {
        let me = Me::now().unwrap();
        assert!(Me::is_thread(me.thread));
        thread::spawn(move || {
            let other = Me::now().unwrap();
            assert_ne!(other.thread, me.thread);
            assert_eq!(other.process, me.process);
            assert_eq!(other.namespace, me.namespace);
            assert!(!Me::is_thread(me.thread));
        })
        .join()
        .unwrap();
    }
}
