//! The orderly end of a process, which breaks nothing: it leaves the barriers that it is a party
//! of, gives its permits back, and its places among readers. An idle process keeps what it holds,
//! and may be killed: the barriers at which it does not wait do not miss it.
//!
//! Invariant: the process uses nothing of what it gave back, since it ends in the same call. Locks
//! that it holds alone stay signed: the data may be half changed, so the next holder has to be
//! told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{
    lock_layout::{Head, LockLayout},
    owner::Me,
    raw_barrier::{BarrierParts, RawBarrier},
    raw_rwlock::{RawRwLock, RwLockParts},
    raw_semaphore::{RawSemaphore, SemaphoreParts},
};
use crate::{Block, Kind, fork_mark::this_process, sys};

/// The last process in which a thread signed for something, as [`this_process`] numbers it.
static SIGNED_IN: AtomicU64 = AtomicU64::new(0);

/// The last process in which a thread waited at a barrier.
static WAITED_IN: AtomicU64 = AtomicU64::new(0);

/// Notes that a thread of this process waits at a barrier.
#[inline]
pub(super) fn note_waiting() {
    if let Ok(process) = this_process() {
        // Relaxed: the thread that looks for it is idle after what it knows to have ended.
        WAITED_IN.store(process.get(), Relaxed);
    }
}

/// Announces that this process has nothing to do: until [`end_idle`], its death breaks no
/// [`SharedBarrier`](crate::SharedBarrier) but those at which a thread of it waits just then.
/// Workers of a pool are idle between two chunks of tasks. In a process that has never waited at a
/// barrier this does nothing, and costs a load.
#[inline]
pub fn begin_idle() {
    if WAITED_IN.load(Relaxed) != 0 {
        set_away(true);
    }
}

/// Announces that this process has something to do again, for which others may wait: its death
/// breaks the barriers that it is a party of.
#[inline]
pub fn end_idle() {
    if WAITED_IN.load(Relaxed) != 0 {
        set_away(false);
    }
}

#[cold]
fn set_away(is_away: bool) {
    // A forked child has taken no slot of its own yet.
    if this_process().is_ok_and(|process| process.get() == WAITED_IN.load(Relaxed))
        && let Ok(me) = Me::now()
    {
        for barrier in locks::<RawBarrier>(Kind::Barrier) {
            let parts = BarrierParts { head: barrier.head(), slots: barrier.table() };
            parts.set_away(me.process, is_away);
        }
    }
}

/// Notes that a thread of the process of this number can sign from now on.
pub(super) fn note_signing(process: u64) {
    // Relaxed: a thread that looks for it ends the process after all that it waits for.
    SIGNED_IN.store(process, Relaxed);
}

/// Ends this process at once, as `_exit` does (no handlers, no destructors, nothing is flushed),
/// but in order: its end breaks no [`SharedBarrier`](crate::SharedBarrier) that it does not wait at
/// just then, and permits of a [`SharedSemaphore`](crate::SharedSemaphore) that it still has are
/// given back. The next holder of a lock that it holds alone, a mutex for example, gets it as from
/// a process that died.
pub fn exit_process(code: i32) -> ! {
    if this_process().is_ok_and(|process| process.get() == SIGNED_IN.load(Relaxed))
        && let Ok(me) = Me::now()
    {
        leave_all(&me);
    }
    sys::exit_now(code)
}

fn leave_all(me: &Me) {
    for barrier in locks::<RawBarrier>(Kind::Barrier) {
        BarrierParts { head: barrier.head(), slots: barrier.table() }.leave();
    }
    for semaphore in locks::<RawSemaphore>(Kind::Semaphore) {
        SemaphoreParts { head: semaphore.head(), permits: semaphore.table() }.release_all(me);
    }
    // A guard that was leaked may have lent its references to other threads, which still run.
    if sys::is_single_threaded() {
        for lock in locks::<RawRwLock>(Kind::RwLock) {
            RwLockParts::from(&lock).leave_all(me);
        }
    }
}

/// All locks of a kind that this process has a handle to.
fn locks<H: Head>(kind: Kind) -> impl Iterator<Item = LockLayout<H>> {
    Block::all_of(kind).into_iter().filter_map(|block| Some(LockLayout::open(block, 1).ok()?.0))
}
