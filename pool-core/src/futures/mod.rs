//! Futures: calls whose results are waited for later, anywhere.
//!
//! Invariant: every future is completed exactly once, whoever is or is not in a call, and none of the user's code
//! (encoding, decoding, drops, callbacks) runs under a lock.
//!
//! `handle.rs` is what the caller holds, `entry.rs` what it shares with whoever completes it, `group.rs` waits for several,
//! `callbacks.rs` runs callbacks. Calls of one item go their own way; maps (`map.rs`) and streams (`stream.rs`) are jobs as those of `crate::job`, which
//! `background.rs` knows while nobody is in a call. A crew has a desk for its
//! futures: that of processes (`processes.rs`, and for the way there `sending.rs`, with the books of `books.rs` and what is sent in `parcel.rs`) works in the
//! threads of those who wait, and in `driver.rs`'s thread when nobody does; that of threads (`threads.rs`) in the workers.

mod again;
mod background;
mod books;
mod callbacks;
mod desk;
mod driver;
mod entry;
#[cfg(feature = "threads")]
mod errand;
mod group;
mod handle;
mod map;
mod parcel;
mod processes;
mod refused;
mod sending;
mod stream;
#[cfg(feature = "threads")]
mod threads;

pub(crate) use desk::{Budget, Terms, Unaccepted};
pub(crate) use driver::{Paused, pause_drivers};
pub use group::{AsCompleted, WaitFor, as_completed, wait};
pub use handle::AsyncResult;
pub(crate) use processes::ProcessDesk;
pub use refused::Refused;
pub use stream::AsyncValues;
#[cfg(feature = "threads")]
pub(crate) use threads::ThreadDesk;

use crate::{
    mutex::lock,
    worker::{drop_quietly, quietly},
};

/// Futures that wait to be sent, in a pool; beyond them `apply_async` waits.
pub(crate) const MOST_WAITING: usize = 4096;
/// Maps that have not ended, in a pool; beyond them `map_async` waits.
pub(crate) const MOST_MAPS: usize = 1024;
