//! The atomics and the futex of the board, exchangeable so that its state machine can be
//! model-checked.
//!
//! Everything under `board/` takes its atomics from here and from nowhere else.
//!
//! * `primitive/modelled.rs`: atomics for the model checker.
//! * `primitive/prefetch.rs`: asks for cache lines before they are needed.

#[cfg(loom)]
pub(crate) mod modelled;
mod prefetch;

pub(crate) use prefetch::{prefetch_for_reading, prefetch_for_writing};

#[cfg(loom)]
pub(crate) use modelled::{AtomicI64, AtomicU32, AtomicU64, wait, wake};
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
