//! Futures: calls of one item each, whose results are waited for later, anywhere.
//!
//! Invariant: every future is completed exactly once, whoever is or is not in a call, and none of the user's code
//! (encoding, decoding, drops, callbacks) runs under a lock.
//!
//! `handle.rs` is what the caller holds, `entry.rs` what it shares with whoever completes it, `group.rs` waits for several,
//! `callbacks.rs` runs callbacks. A crew has a desk for its
//! futures: that of processes (`processes.rs`, with the books of `books.rs` and what it sends in `parcel.rs`) works in the
//! threads of those who wait, and in `driver.rs`'s thread when nobody does; that of threads (`threads.rs`) in the workers.

mod again;
mod books;
mod callbacks;
mod desk;
mod driver;
mod entry;
mod group;
mod handle;
mod parcel;
mod processes;
mod refused;
#[cfg(feature = "threads")]
mod threads;

pub(crate) use desk::{Budget, Unaccepted};
pub(crate) use driver::pause_drivers;
pub use group::{AsCompleted, WaitFor, as_completed, wait};
pub use handle::AsyncResult;
pub(crate) use processes::ProcessDesk;
pub use refused::Refused;
#[cfg(feature = "threads")]
pub(crate) use threads::ThreadDesk;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::worker::take_panic;

/// Futures that wait to be sent, in a pool; beyond them `apply_async` waits.
pub(crate) const MOST_WAITING: usize = 4096;

/// Drops a value of the user's; what its `Drop` panics with goes no further.
fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Runs code of the user's; what it panics with goes no further.
fn quietly(act: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(act)) {
        take_panic(payload);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
