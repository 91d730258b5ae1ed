//! Whether shared objects are part of core dumps.
//!
//! Invariant: every mapping begins outside of core dumps (`mapping.rs`); only those of shared
//! objects and named segments are put into them, while the setting of this process says so.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::object;

static DUMPED: AtomicBool = AtomicBool::new(false);

/// Sets whether core dumps of this process contain shared arrays, values and locks, and named
/// segments mapped from now on. By default they do not: shared memory is often larger than the
/// memory that a dump is for.
///
/// Children that are forked afterwards inherit the setting. Workers of a pool are told by its
/// option `dump_shared_memory`.
///
/// ```
/// let array = pool_shm::SharedArray::<u64>::new(1000)?;
/// pool_shm::dump_shared_objects(true);
/// // A debugger finds the elements in a core dump of this process now.
/// # pool_shm::dump_shared_objects(false);
/// # drop(array);
/// # Ok::<(), pool_shm::Error>(())
/// ```
pub fn dump_shared_objects(on: bool) {
    DUMPED.store(on, SeqCst);
    object::set_dumped(on);
}

/// Whether a shared object that is mapped now is part of core dumps.
pub(crate) fn are_objects_dumped() -> bool {
    DUMPED.load(SeqCst)
}
