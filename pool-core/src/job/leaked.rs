//! What the tasks of a call have borrowed from its caller.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Says, when the call is over, whether a worker may have kept what its task had: one that was
/// killed and that the kernel has not let go of a call that no signal interrupts.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeakFlag(Arc<AtomicBool>);

impl LeakFlag {
    /// A worker may have kept it.
    pub(crate) fn keep(&self) {
        // Relaxed: asked by the thread that says it.
        self.0.store(true, Relaxed);
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.0.load(Relaxed)
    }
}
