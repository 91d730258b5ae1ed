//! One holder at a time, which may take the lock again, and a count of its guards.
//!
//! ```text
//!   ┌──── last unlock ─────┐
//!   ▼                      │
//!  FREE ── lock ──▶ holder, 1 guard ◀── lock, unlock ──▶ holder, several guards
//!                          │
//!                          └── last unlock, data not repaired ──▶ UNRECOVERABLE
//! ```
//!
//! From a holder that died, with however many guards, the next one takes the lock with 1 guard.
//!
//! Invariant: the word of the [`RawMutex`] alone says which thread holds the lock; what stands
//! beside it means something to that thread only, and is written anew by the next one before any
//! of its guards exists. So whenever a holder is killed, at whatever depth, the next one finds its
//! name, and nothing that it left half counted.

use std::{
    io,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        // Relaxed: only the holder reads and writes what stands beside the word, and the word's
        // Acquire and Release order what one holder did before what the next one does.
        Ordering::Relaxed,
    },
};

use super::{
    backoff::Backoff,
    error::LockError,
    owner::Owner,
    raw_mutex::{RawMutex, Taken},
};
use crate::sys;

/// How many guards one thread can have.
const MOST_GUARDS: u32 = u32::MAX;

/// The part of a reentrant mutex that lies in shared memory.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawReentrantMutex {
    mutex: RawMutex,
    /// How many guards the holder has. Never 0: a signal handler that locks and unlocks before the
    /// thread below it has stored its 1 must not take its own guard for the last one.
    guards: AtomicU32,
    /// 1 if a holder died and its heir has not repaired the data yet.
    unrepaired: AtomicU32,
    /// The [`program`] in which the holder has its guards. After an `exec` the thread has the name
    /// that it had, but not its guards.
    program: AtomicU64,
}

const _: () = assert!(size_of::<RawReentrantMutex>() == 32);

/// A random number, the same in this process until it replaces its program by `exec`, and in its
/// forked children.
#[inline]
fn program() -> Result<u64, LockError> {
    match PROGRAM.load(Relaxed) {
        0 => draw_program().map_err(|source| LockError::Unidentified { source }),
        drawn => Ok(drawn),
    }
}

static PROGRAM: AtomicU64 = AtomicU64::new(0);

#[cold]
fn draw_program() -> io::Result<u64> {
    let mut bytes = [0; 8];
    sys::random(&mut bytes)?;
    let drawn = u64::from_ne_bytes(bytes) | 1;
    // Of several threads that draw at once, all take the number of the first.
    Ok(PROGRAM.compare_exchange(0, drawn, Relaxed, Relaxed).map_or_else(|first| first, |_| drawn))
}

impl RawReentrantMutex {
    pub(super) fn new(mutex: RawMutex) -> Self {
        Self {
            mutex,
            guards: AtomicU32::new(1),
            unrepaired: AtomicU32::new(0),
            program: AtomicU64::new(0),
        }
    }

    /// The namespaces in which holders' names mean something.
    pub(super) fn namespace(&self) -> u64 {
        self.mutex.namespace()
    }

    /// Takes the lock for the calling thread, which may hold it already. Whatever the depth, it is
    /// [`Taken::FromTheDead`] as long as the data are not repaired.
    #[inline]
    pub(super) fn lock(
        &self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<(Taken, Owner), LockError> {
        let (me, program) = (self.mutex.signer()?, program()?);
        if self.mutex.is_held_by(me) {
            return Ok((self.lock_again(program)?, me));
        }
        let how = self.mutex.lock_as(me, backoff)?;
        self.unrepaired.store(u32::from(how == Taken::FromTheDead), Relaxed);
        self.guards.store(1, Relaxed);
        self.program.store(program, Relaxed);
        Ok((how, me))
    }

    #[inline]
    fn lock_again(&self, program: u64) -> Result<Taken, LockError> {
        if self.program.load(Relaxed) != program {
            return Err(LockError::WouldDeadlock);
        }
        let guards = self.guards.load(Relaxed);
        if guards == MOST_GUARDS {
            return Err(LockError::TooManyGuards { limit: MOST_GUARDS as usize });
        }
        self.guards.store(guards + 1, Relaxed);
        Ok(if self.is_unrepaired() { Taken::FromTheDead } else { Taken::Given })
    }

    /// Takes one guard from the calling thread, which holds the lock. The last one gives the lock
    /// back, or leaves it so that no thread gets it any more if the data are not repaired.
    #[inline]
    pub(super) fn unlock(&self) {
        let guards = self.guards.load(Relaxed);
        if guards > 1 {
            self.guards.store(guards - 1, Relaxed);
        } else if self.is_unrepaired() {
            self.mutex.give_up();
        } else {
            self.mutex.unlock();
        }
    }

    /// Whether the data are as a dead holder left them. The caller holds the lock.
    #[inline]
    pub(super) fn is_unrepaired(&self) -> bool {
        self.unrepaired.load(Relaxed) != 0
    }

    /// Notes that the data are whole again. The caller holds the lock.
    pub(super) fn mark_repaired(&self) {
        self.unrepaired.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::sync::owner::Me;

    fn had_by_another_thread(lock: &RawReentrantMutex) -> bool {
        let attempt = || match lock.lock(Backoff::none) {
            Ok(_) => {
                lock.unlock();
                true
            }
            Err(LockError::TimedOut) => false,
            Err(error) => panic!("{error}"),
        };
        thread::scope(|scope| scope.spawn(attempt).join().expect("no panic"))
    }

    #[test]
    fn one_guard_more_than_can_be_counted_is_refused_and_changes_nothing() {
        let lock = RawReentrantMutex::new(RawMutex::new(&Me::now().unwrap()));
        lock.lock(Backoff::endless).unwrap();
        lock.guards.store(MOST_GUARDS - 1, Relaxed); // stands for as many calls
        assert!(matches!(lock.lock(Backoff::endless), Ok((Taken::Given, _))));
        for _ in 0..2 {
            let refused = lock.lock(|| Backoff::at_most(Duration::ZERO));
            let Err(LockError::TooManyGuards { limit }) = refused else { panic!("{refused:?}") };
            assert_eq!(limit, u32::MAX as usize);
        }
        assert_eq!(lock.guards.load(Relaxed), MOST_GUARDS);
        // A guard that is given back makes room for another one.
        lock.unlock();
        lock.lock(Backoff::endless).unwrap();
        assert!(!had_by_another_thread(&lock));
        lock.guards.store(2, Relaxed);
        lock.unlock();
        assert!(!had_by_another_thread(&lock));
        lock.unlock();
        assert!(had_by_another_thread(&lock));
    }
}
