//! State of which each process has its own, although a fork copies it.
//!
//! Invariant: a forked child never waits for a lock that a thread of its parent held at the moment
//! of the fork, and never reads state that such a thread left half changed: it has a state of its
//! own.

use std::{
    fmt,
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use crate::{Error, fork_mark::this_process};

/// A mutex for a static, of which a forked child gets a fresh one.
///
/// ```
/// use pool_shm::PerProcess;
///
/// static NAMES: PerProcess<Vec<String>> = PerProcess::new(Option::unwrap_or_default);
///
/// NAMES.lock()?.push("a".into());
/// assert_eq!(NAMES.lock()?.len(), 1);
/// # Ok::<(), pool_shm::Error>(())
/// ```
pub struct PerProcess<T: 'static> {
    /// The state of the process that locked last; never freed, since threads keep references to it.
    current: AtomicPtr<Owned<T>>,
    /// Makes a child's first state, given the state of its parent if that was whole at the fork.
    inherit: fn(Option<T>) -> T,
}

impl<T> fmt::Debug for PerProcess<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerProcess").finish_non_exhaustive()
    }
}

struct Owned<T> {
    process: u64,
    state: Mutex<T>,
}

impl<T: Default + Send> PerProcess<T> {
    /// A state that begins with what `inherit` makes: of nothing in the first process, of the
    /// parent's state in a forked child, if no thread was changing that at the fork.
    pub const fn new(inherit: fn(Option<T>) -> T) -> Self {
        Self { current: AtomicPtr::new(ptr::null_mut()), inherit }
    }

    /// The state of this process.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, at the first call only.
    pub fn lock(&'static self) -> Result<MutexGuard<'static, T>, Error> {
        let process = this_process()?.get();
        // Acquire: pairs with the AcqRel below.
        let mut seen = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or leaked below and so valid for ever; only shared references are made.
            let known = NonNull::new(seen).map(|owned| unsafe { owned.as_ref() });
            if let Some(owned) = known.filter(|owned| owned.process == process) {
                return Ok(owned.state.lock().unwrap_or_else(PoisonError::into_inner));
            }
            let place = Box::into_raw(Box::new(Owned { process, state: Mutex::default() }));
            // SAFETY: made just now, and freed below at the earliest, once no reference is left.
            let fresh = unsafe { &*place };
            let mut state = fresh.state.lock().unwrap_or_else(PoisonError::into_inner);
            match self.current.compare_exchange(seen, place, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    // If the lock is free, no thread was inside at the fork, and none is now: its
                    // process is another one.
                    let whole = known.and_then(|owned| owned.state.try_lock().ok());
                    *state = (self.inherit)(whole.map(|mut state| std::mem::take(&mut *state)));
                    return Ok(state);
                }
                Err(winner) => {
                    drop(state);
                    // SAFETY: leaked just now, and no other thread saw it.
                    drop(unsafe { Box::from_raw(place) });
                    seen = winner;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_process_share_one_state() {
        static COUNT: PerProcess<u32> = PerProcess::new(|_| 0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| *COUNT.lock().unwrap() += 1));
            }
        });
        assert_eq!(*COUNT.lock().unwrap(), 4000);
    }
}
