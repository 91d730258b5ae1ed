//! One holder at a time, and no more than its word.
//!
//! ```text
//!            ┌──────────────────── unlock ────────────────────┐
//!            ▼                                                │
//!          FREE ── lock ──▶ holder ── it died; next one ──▶ holder ── not repaired ──▶ UNRECOVERABLE
//! ```
//!
//! Invariant: every arrow is one atomic step on the word, which names the holder. So whenever a
//! holder is killed the word says, truly, that it holds or that it does not. A holder that ends
//! while references to the data live on goes to UNRECOVERABLE by itself. The choice of the woken
//! thread is a hint: waiters look by themselves ([`Backoff`]).

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    backoff::{Backoff, Rest},
    error::LockError,
    owner::{Me, Owner, flag, futex_half, half},
    stat::{Life, is_dead},
};
use crate::futex;

const FREE: u64 = 0;
/// A thread may sleep on the word.
const WAITERS: u64 = flag(0);
/// No thread gets the lock any more.
const UNRECOVERABLE: u64 = flag(1);

/// The part of a mutex that lies in shared memory.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawMutex {
    word: AtomicU64,
    /// The namespaces in which holders' names mean something. Never changes.
    namespace: AtomicU64,
}

const _: () = assert!(size_of::<RawMutex>() == 16);

/// How the lock was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// From a holder that gave it back, or as its first holder.
    Given,
    /// From a holder that died.
    FromTheDead,
}

impl RawMutex {
    pub(super) fn new(me: &Me) -> Self {
        Self { word: AtomicU64::new(FREE), namespace: AtomicU64::new(me.namespace) }
    }

    /// The namespaces in which holders' names mean something.
    pub(super) fn namespace(&self) -> u64 {
        // Relaxed: written before other code knows the lock.
        self.namespace.load(Ordering::Relaxed)
    }

    /// Takes the lock for the calling thread.
    #[inline]
    pub(super) fn lock(
        &self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<(Taken, Owner), LockError> {
        let me = self.signer()?;
        Ok((self.lock_as(me, backoff)?, me))
    }

    /// The name by which the calling thread signs here.
    #[inline]
    pub(super) fn signer(&self) -> Result<Owner, LockError> {
        let me = Me::now()?;
        if me.namespace != self.namespace() {
            return Err(LockError::ForeignNamespace);
        }
        Ok(me.thread)
    }

    /// Takes the lock for the calling thread, whose [`signer`](Self::signer) is `me`.
    #[inline]
    pub(super) fn lock_as(
        &self,
        me: Owner,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<Taken, LockError> {
        // Acquire: pairs with the Release in `unlock`.
        let taken = self.step(FREE, me.word(), Ordering::Acquire);
        if taken { Ok(Taken::Given) } else { self.wait(me, backoff()) }
    }

    /// Whether the calling thread, whose [`signer`](Self::signer) is `me`, holds the lock.
    #[inline]
    pub(super) fn is_held_by(&self, me: Owner) -> bool {
        // Relaxed: the thread itself wrote its name, and no other thread writes or removes that.
        Owner::of(self.word.load(Ordering::Relaxed)) == me
    }

    #[cold]
    fn wait(&self, me: Owner, mut backoff: Backoff) -> Result<Taken, LockError> {
        // Once it has slept, a waiter cannot know which others do, so it takes the mark along.
        let mut mark = 0;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if seen == FREE {
                if self.step(FREE, me.word() | mark, Ordering::Acquire) {
                    return Ok(Taken::Given);
                }
                continue;
            }
            if seen == UNRECOVERABLE {
                return Err(LockError::Unrecoverable);
            }
            if Owner::of(seen) == me {
                return Err(LockError::WouldDeadlock);
            }
            if seen & WAITERS == 0 && backoff.spin() {
                continue;
            }
            let rest = if backoff.is_over() {
                Rest::Over
            } else if seen & WAITERS == 0 && !self.step(seen, seen | WAITERS, Ordering::Relaxed) {
                Rest::Again
            } else {
                mark = WAITERS;
                backoff.rest(futex_half(&self.word), half(seen | WAITERS))
            };
            if rest == Rest::Again {
                continue;
            }
            if self.inherit(me) {
                return Ok(Taken::FromTheDead);
            }
            if rest == Rest::Over && self.word.load(Ordering::Relaxed) != FREE {
                return Err(LockError::TimedOut);
            }
        }
    }

    /// Takes the lock from a holder that has died, if it has.
    fn inherit(&self, me: Owner) -> bool {
        let seen = self.word.load(Ordering::Relaxed);
        let holder = Owner::of(seen);
        // The word is compared with what it was before the look, so only one can inherit. Others
        // may sleep on it.
        holder != Owner::NONE
            && is_dead(holder, Life::Thread)
            && self.step(seen, me.word() | WAITERS, Ordering::Acquire)
    }

    /// Gives the lock back. The caller holds it.
    #[inline]
    pub(super) fn unlock(&self) {
        self.leave(FREE, 1);
    }

    /// Leaves the lock so that no thread gets it any more. The caller holds it.
    pub(super) fn give_up(&self) {
        self.leave(UNRECOVERABLE, u32::MAX);
    }

    /// Keeps all threads from getting the lock from `holder`, if it holds it: the calling thread,
    /// which ends and leaves references to the data to others.
    pub(super) fn abandon(&self, holder: Owner) {
        if Owner::of(self.word.load(Ordering::Relaxed)) == holder {
            self.give_up();
        }
    }

    #[inline]
    fn leave(&self, state: u64, wake: u32) {
        // Release: pairs with the Acquire of the next holder.
        let was = self.word.swap(state, Ordering::Release);
        debug_assert!(Me::is_thread(Owner::of(was)), "unlocked by another thread");
        if was & WAITERS != 0 {
            futex::wake(futex_half(&self.word), wake);
        }
    }

    #[inline]
    fn step(&self, from: u64, to: u64, success: Ordering) -> bool {
        self.word.compare_exchange(from, to, success, Ordering::Relaxed).is_ok()
    }
}
