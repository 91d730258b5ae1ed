//! The count of this process's forks.
//!
//! Invariant: if the count equals one noted earlier, the C library has forked no process from this
//! one since then, and this is the process that noted it. (A system call that goes past the C
//! library is not seen.)

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use crate::sys;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Forks since the first call; parent and child both count one. `None` if they cannot be counted.
pub(crate) fn forks() -> Option<u64> {
    static COUNTED: OnceLock<bool> = OnceLock::new();
    let counted = *COUNTED.get_or_init(|| sys::before_each_fork(count).is_ok());
    counted.then(|| COUNT.load(SeqCst))
}

extern "C" fn count() {
    COUNT.fetch_add(1, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_counted_without_a_fork() {
        let before = forks();
        assert!(before.is_some());
        assert_eq!(forks(), before);
    }
}
