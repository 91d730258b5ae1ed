//! Mutexes that nobody leaves in disorder.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks it, also after a panic under it: no code of the user runs under our locks, and our own
/// panics are defects that the next caller should see for itself.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
