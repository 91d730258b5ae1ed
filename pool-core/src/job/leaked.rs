//! Whether a killed worker may still have what its task borrowed from the caller.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Set at the end of a call if a worker may have kept what its task borrowed: a killed worker that
/// the kernel holds in a system call that no signal interrupts.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeakFlag(Arc<AtomicBool>);

impl LeakFlag {
    /// Notes that a worker may have kept it.
    pub(crate) fn keep(&self) {
        // Relaxed: read by the thread that writes it.
        self.0.store(true, Relaxed);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.load(Relaxed)
    }
}
