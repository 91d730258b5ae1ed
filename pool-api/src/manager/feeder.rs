//! Puts the items of an iterator in a thread of its own.
//!
//! Invariant: the thread keeps no manager alive while it waits for its iterator; it ends when the
//! manager takes no items any more.

use std::{
    io,
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
    thread::{self, JoinHandle},
};

use super::{error::ManagerError, state::ManagerState};

/// The thread, which returns the first error with its item.
pub(super) type Feeder<A> = JoinHandle<Result<(), ManagerError<A>>>;

/// Notes that the items are put, however that ends.
struct Feeding<A, R>(Weak<ManagerState<A, R>>);

impl<A, R> Drop for Feeding<A, R> {
    fn drop(&mut self) {
        if let Some(state) = self.0.upgrade() {
            state.is_feeding.store(false, SeqCst);
            state.unread.wake();
        }
    }
}

/// Starts the thread.
pub(super) fn feed<A: Send + 'static, R: Send + 'static>(
    state: &Arc<ManagerState<A, R>>,
    items: impl Iterator<Item = A> + Send + 'static,
) -> io::Result<Feeder<A>> {
    let feeding = Feeding(Arc::downgrade(state));
    thread::Builder::new().name("pool-feeder".to_owned()).spawn(move || {
        for item in items {
            let Some(state) = feeding.0.upgrade() else { return Err(ManagerError::Closed(item)) };
            state.put(item, None)?;
        }
        Ok(())
    })
}
