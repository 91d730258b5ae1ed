//! The atomics of the board, exchangeable so that its state machine can be model-checked.
//!
//! Everything under `board/` takes its atomics from here and from nowhere else.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
