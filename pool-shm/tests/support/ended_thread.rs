//! A dead holder within one process.

use std::thread;

/// Runs `holds` in a thread that ends at once: guards that it forgot there belong to a dead thread.
pub(crate) fn in_a_thread_that_ends(holds: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(holds).join().expect("no panic"));
}
