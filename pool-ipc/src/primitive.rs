//! The atomics and the futex of board and channels, exchangeable so that their state machines can
//! be model-checked.
//!
//! Everything under `board/`, and the ring and the events of `channel/`, take their atomics from
//! here and from nowhere else.
//!
//! * `primitive/modelled.rs`: atomics for the model checker.
//! * `primitive/prefetch.rs`: asks for cache lines before they are needed.

#[cfg(loom)]
pub(crate) mod modelled;
mod prefetch;

pub use prefetch::prefetch_for_reading;
pub(crate) use prefetch::prefetch_for_writing;

#[cfg(loom)]
pub(crate) use modelled::{AtomicI64, AtomicU32, AtomicU64, wait, wait_for, wake, wake_up_to};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

pub(crate) use std::sync::atomic::Ordering;

/// Sleeps until `word` is woken, if it still holds `expected`; may come back early.
#[cfg(not(loom))]
pub(crate) fn wait(word: &AtomicU32, expected: u32) {
    // Whatever ended the wait, the caller looks again.
    let _ = pool_shm::futex::wait(word, expected, None);
}

/// Wakes one sleeper of `word`, which the caller has changed.
#[cfg(not(loom))]
pub(crate) fn wake(word: &AtomicU32) {
    pool_shm::futex::wake(word, 1);
}

/// Sleeps like [`wait`], but not longer than `limit`.
#[cfg(not(loom))]
pub(crate) fn wait_for(word: &AtomicU32, expected: u32, limit: std::time::Duration) {
    // Whatever ended the wait, the caller looks again.
    let _ = pool_shm::futex::wait(word, expected, Some(limit));
}

/// Wakes at most `most` sleepers of `word`, which the caller has changed; returns how many it woke.
#[cfg(not(loom))]
pub(crate) fn wake_up_to(word: &AtomicU32, most: u32) -> u32 {
    pool_shm::futex::wake(word, most)
}
