//! What tasks borrow from the caller, and whether a killed worker may still have it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// What the tasks of a job borrow from its caller, who then waits for every one of them.
#[derive(Debug)]
pub(crate) enum Borrows {
    Nothing,
    /// Parts of an array, in the context; the flag is set if a worker may have kept its part.
    Parts(LeakFlag),
    /// Whatever the function has captured. It has no access to its worker.
    Captures,
}

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
