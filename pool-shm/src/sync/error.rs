//! Why something was not locked, or was locked with a warning.
//!
//! Invariant: a thread that gets a guard inside an error holds the lock as with any other guard.

use std::{convert::Infallible, error, fmt, io};

/// Why a lock, a permit or a place at a barrier was not obtained, or what is wrong with it. `G` is
/// the guard in [`HolderDied`](Self::HolderDied); without a guard there is no such variant.
#[non_exhaustive]
pub enum LockError<G = Infallible> {
    /// A thread died while it held the lock, and the data may be half changed. **The caller holds
    /// the lock now**: repair the data and call `mark_repaired` on the guard, or drop the guard and
    /// no thread gets the lock any more.
    HolderDied(G),
    /// A thread died while it held the lock, and the next holder gave up. The lock stays unusable:
    /// make a new one.
    Unrecoverable,
    /// The calling thread itself holds what it would wait for. Drop that guard first.
    WouldDeadlock,
    /// Another thread holds it. Only calls that do not wait return this.
    WouldBlock,
    /// The time was over first.
    TimedOut,
    /// More threads hold the lock for reading than it has places for. Make it with more, or wait
    /// for one to finish.
    TooManyReaders {
        /// How many there can be.
        limit: usize,
    },
    /// The calling thread has so many guards of a reentrant mutex already. Drop one of them first;
    /// this call has changed nothing.
    TooManyGuards {
        /// How many there can be.
        limit: usize,
    },
    /// The semaphore cannot have so many permits. None was added.
    TooManyPermits {
        /// How many there can be.
        limit: usize,
    },
    /// A party died or gave up, or the barrier was reset. All parties see this until one resets the
    /// barrier.
    Broken,
    /// The lock was made in another PID namespace, or in another time namespace. Its holders' ids
    /// mean something else here.
    ForeignNamespace,
    /// The calling thread cannot be named, so no other thread could tell that it died: there is no
    /// `/proc`, or it belongs to another PID namespace.
    Unidentified {
        /// The system's error.
        source: io::Error,
    },
}

impl<G> LockError<G> {
    /// The guard, if a holder died. For data that no death can leave half changed:
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// use pool_api::{LockError, SharedMutex};
    ///
    /// let counter = SharedMutex::new(0u64)?;
    /// let mut guard = counter.lock().or_else(|error| {
    ///     let mut guard = error.into_guard()?; // any other error stays one
    ///     guard.mark_repaired(); // one store adds one: it happened or it did not
    ///     Ok::<_, LockError>(guard)
    /// })?;
    /// *guard += 1;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every error but [`HolderDied`](Self::HolderDied); the error keeps nothing borrowed.
    pub fn into_guard(self) -> Result<G, LockError> {
        self.split()
    }

    /// Gives up the lock of a dead holder, so that `?` can hand the error on: a guard cannot leave
    /// its function.
    ///
    /// [`HolderDied`](Self::HolderDied) becomes [`Unrecoverable`](Self::Unrecoverable), for all
    /// threads.
    ///
    /// ```
    /// # use pool_shm as pool_api;
    /// use pool_api::{LockError, SharedMutex};
    ///
    /// fn add(counter: &SharedMutex<u64>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    ///     *counter.lock().map_err(LockError::give_up)? += 1;
    ///     Ok(())
    /// }
    /// # add(&SharedMutex::new(0).expect("a mutex")).expect("no holder died");
    /// ```
    pub fn give_up(self) -> LockError {
        match self.split() {
            Ok(guard) => {
                drop(guard);
                LockError::Unrecoverable
            }
            Err(error) => error,
        }
    }

    /// The guard, or the same error where the guard would be of another type.
    pub(super) fn split<H>(self) -> Result<G, LockError<H>> {
        Err(match self {
            Self::HolderDied(guard) => return Ok(guard),
            Self::Unrecoverable => LockError::Unrecoverable,
            Self::WouldDeadlock => LockError::WouldDeadlock,
            Self::WouldBlock => LockError::WouldBlock,
            Self::TimedOut => LockError::TimedOut,
            Self::TooManyReaders { limit } => LockError::TooManyReaders { limit },
            Self::TooManyGuards { limit } => LockError::TooManyGuards { limit },
            Self::TooManyPermits { limit } => LockError::TooManyPermits { limit },
            Self::Broken => LockError::Broken,
            Self::ForeignNamespace => LockError::ForeignNamespace,
            Self::Unidentified { source } => LockError::Unidentified { source },
        })
    }
}

impl LockError {
    /// Turns an error without a guard into one that could have a guard.
    pub(super) fn widen<G>(self) -> LockError<G> {
        match self.split() {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// Turns the error into one of a call that does not wait.
    pub(super) fn of_a_try(self) -> Self {
        match self {
            Self::TimedOut => Self::WouldBlock,
            other => other,
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HolderDied(_) => {
                "a thread died while it held the lock; the data needs repair or is given up"
            }
            Self::Unrecoverable => {
                "a thread died while it held the lock, and the data was not repaired"
            }
            Self::WouldDeadlock => "the calling thread holds the lock already",
            Self::WouldBlock => "another thread holds the lock",
            Self::TimedOut => "the lock was not had in time",
            Self::TooManyReaders { limit } => {
                return write!(
                    f,
                    "more than {limit} threads would read; make the lock with more places"
                );
            }
            Self::TooManyGuards { limit } => {
                return write!(f, "the calling thread has {limit} guards of the lock already");
            }
            Self::TooManyPermits { limit } => {
                return write!(f, "the semaphore would have more than its {limit} permits");
            }
            Self::Broken => "the barrier is broken: a party died or gave up; reset it",
            Self::ForeignNamespace => "the lock belongs to another PID or time namespace",
            Self::Unidentified { .. } => "/proc does not say who the calling thread is",
        })
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HolderDied(_) => f.write_str("HolderDied(..)"),
            Self::Unrecoverable => f.write_str("Unrecoverable"),
            Self::WouldDeadlock => f.write_str("WouldDeadlock"),
            Self::WouldBlock => f.write_str("WouldBlock"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::TooManyReaders { limit } => {
                f.debug_struct("TooManyReaders").field("limit", limit).finish()
            }
            Self::TooManyGuards { limit } => {
                f.debug_struct("TooManyGuards").field("limit", limit).finish()
            }
            Self::TooManyPermits { limit } => {
                f.debug_struct("TooManyPermits").field("limit", limit).finish()
            }
            Self::Broken => f.write_str("Broken"),
            Self::ForeignNamespace => f.write_str("ForeignNamespace"),
            Self::Unidentified { source } => {
                f.debug_struct("Unidentified").field("source", source).finish()
            }
        }
    }
}

impl<G> error::Error for LockError<G> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unidentified { source } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_without_a_guard_travel() {
        fn travels<T: error::Error + Send + Sync + 'static>() {}
        travels::<LockError>();
    }

    #[test]
    fn the_system_s_answer_is_the_source_and_not_in_the_text() {
        let source = io::Error::from_raw_os_error(libc::ENOENT);
        let (reason, error) = (source.to_string(), LockError::<u8>::Unidentified { source });
        assert!(!error.to_string().contains(&reason), "{error}");
        let source = error::Error::source(&error).expect("it has one");
        assert_eq!(source.to_string(), reason);
    }

    #[test]
    fn only_a_dead_holder_leaves_a_guard() {
        assert!(matches!(LockError::HolderDied(5).into_guard(), Ok(5)));
        assert!(matches!(LockError::HolderDied(5).give_up(), LockError::Unrecoverable));
        assert!(matches!(LockError::<u8>::Broken.into_guard(), Err(LockError::Broken)));
        assert!(matches!(LockError::<u8>::TimedOut.give_up(), LockError::TimedOut));
        assert!(matches!(LockError::TimedOut.of_a_try(), LockError::WouldBlock));
    }
}
