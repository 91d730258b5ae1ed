//! The locks of a thread that ends with leaked guards.
//!
//! A guard that was forgotten takes its references with it: they end before it moves. One that is
//! leaked where it lies, on the heap, lends references for ever, and other threads may have them; a
//! lock taken from that thread, as from one that was killed, would lend a second one. Nothing of
//! the kind outlives a process that is killed.
//!
//! Invariant: a lock is not taken from a thread of a living process while a reference that its
//! guard has lent may be used. A guard on the thread's own stack lends none that outlive the
//! thread. Guards anywhere else are noted when they lend, in their own thread, since neither they
//! nor references to them can leave it; and a thread with such a note and guards left gives its
//! locks up as it ends.

use std::{cell::Cell, ffi::c_void, io, ptr, sync::OnceLock};

use super::{
    lock_layout::LockLayout,
    owner::{Me, Owner},
    raw_mutex::RawMutex,
    raw_rwlock::{RawRwLock, RwLockParts},
};
use crate::{Block, Kind, exclusive, sys};

thread_local! {
    /// Where the thread's stack begins, and how many bytes it has.
    static STACK: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// Whether a guard lent references while it was not on the stack.
    static NOTED: Cell<bool> = const { Cell::new(false) };
}

/// A guard lends a reference to the data as long as it is borrowed itself.
#[inline]
pub(super) fn note<G>(guard: &G) {
    let (start, bytes) = STACK.get();
    if ptr::from_ref(guard).addr().wrapping_sub(start) >= bytes {
        NOTED.set(true);
    }
}

/// Prepares for the end of the calling thread, before it gets its first guard.
pub(super) fn watch_thread() -> io::Result<()> {
    static KEY: OnceLock<Option<sys::AtThreadEnd>> = OnceLock::new();
    // The end of a thread, not of a process: `exit` leaves its locks to holders that repair.
    let key = KEY.get_or_init(|| sys::AtThreadEnd::new(at_end).ok());
    key.as_ref().ok_or_else(|| io::Error::other("all thread keys are in use"))?.watch_thread()?;
    // Without a stack every guard is noted.
    STACK.set(sys::thread_stack().unwrap_or((0, 0)));
    Ok(())
}

extern "C" fn at_end(_: *mut c_void) {
    if let Some(me) = Me::known()
        && NOTED.replace(false)
        && exclusive::of_this_thread() > 0
    {
        exclusive::leave_behind();
        abandon_all(me.thread);
    }
    // A thread that locks after this is watched anew.
    Me::forget();
}

/// All locks that this process has a handle to: `registry.rs` names the child that does not know
/// its own.
fn abandon_all(holder: Owner) {
    for block in Block::all_of(Kind::Mutex) {
        if let Ok((mutex, _)) = LockLayout::<RawMutex>::open(block, 1) {
            mutex.head().abandon(holder);
        }
    }
    for block in Block::all_of(Kind::RwLock) {
        if let Ok((lock, _)) = LockLayout::<RawRwLock>::open(block, 1) {
            RwLockParts::from(&lock).abandon(holder);
        }
    }
}
