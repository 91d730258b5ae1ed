//! Counts references that a fork must not carry along.
//!
//! Invariant: [`exclusive_borrows`] is at least the number of references that code of this thread
//! can reach, into shared memory that a lock or a lender has given to it alone, or into memory that
//! no forked child has. A fork copies such a reference, and whatever protects it, but not the
//! memory.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

std::thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The count of references that threads leaked before they ended.
static LEFT_BEHIND: AtomicUsize = AtomicUsize::new(0);

/// How many references this thread has just now that a fork must not carry along: guards of shared
/// locks, slices that were lent out, items and results that are read or decoded in place, and
/// values that are written straight into shared memory. While there is one, the thread must not be
/// forked by safe code: parent and child would both have it, or the child would find other memory
/// at that address.
///
/// References leaked by a thread that has ended count for every thread, and for ever.
#[must_use]
pub fn exclusive_borrows() -> usize {
    COUNT.get() + LEFT_BEHIND.load(SeqCst)
}

/// How many such references the calling thread has.
pub(crate) fn of_this_thread() -> usize {
    COUNT.get()
}

/// Notes that the calling thread ends and leaves its references to the others.
pub(crate) fn leave_behind() {
    LEFT_BEHIND.fetch_add(COUNT.replace(0), SeqCst);
}

/// Is counted by [`exclusive_borrows`] while it lives. It belongs to the thread that made it.
///
/// ```
/// use pool_shm::{Exclusive, exclusive_borrows};
///
/// let exclusive = Exclusive::begin();
/// assert_eq!(exclusive_borrows(), 1);
/// drop(exclusive);
/// assert_eq!(exclusive_borrows(), 0);
/// ```
///
/// ```compile_fail,E0277
/// fn sent<T: Send>(_: T) {}
/// sent(pool_shm::Exclusive::begin());
/// ```
#[derive(Debug)]
pub struct Exclusive {
    of_this_thread: PhantomData<*const ()>,
}

impl Exclusive {
    /// Counts one more.
    #[inline]
    #[must_use = "it is counted only while it lives"]
    pub fn begin() -> Self {
        COUNT.set(COUNT.get() + 1);
        Self { of_this_thread: PhantomData }
    }
}

impl Drop for Exclusive {
    #[inline]
    fn drop(&mut self) {
        COUNT.set(COUNT.get() - 1);
    }
}
