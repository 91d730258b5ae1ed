//! What is delivered at the normal end of this process: captured logs and output of workers and
//! processes that nothing has waited for, as those of a pool in a `static`.
//!
//! Invariant: a process that was forked from this one begins with an empty list.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::{Duration, Instant},
};

use crate::{mutex::lock, output};

/// How long the end of this process waits for loggers.
const LIMIT: Duration = Duration::from_secs(5);

/// What has something to deliver.
pub(crate) trait Delivers: Send + Sync {
    /// Delivers what was handed over until now; waits for a logger until then.
    fn deliver(&self, until: Instant);
}

impl Delivers for output::Capture {
    fn deliver(&self, _: Instant) {
        self.flush(); // which has a limit of its own
    }
}

#[cfg(feature = "capture-log")]
impl Delivers for crate::capture::Collector {
    fn deliver(&self, until: Instant) {
        self.flush_until(until);
    }
}

/// Those that a process has.
pub(super) struct Deliveries {
    process: u32,
    all: Vec<Weak<dyn Delivers>>,
    /// Whether [`at_exit`] is registered, in this process or one that it was forked from.
    has_handler: bool,
}

static DELIVERIES: Mutex<Deliveries> =
    Mutex::new(Deliveries { process: 0, all: Vec::new(), has_handler: false });

/// Locks the list of this process.
pub(super) fn locked() -> MutexGuard<'static, Deliveries> {
    let mut deliveries = lock(&DELIVERIES);
    let process = process::id();
    if deliveries.process != process {
        std::mem::forget(std::mem::take(&mut deliveries.all));
        deliveries.process = process;
    }
    deliveries
}

/// Has this delivered when the process ends, if it is there by then.
pub(crate) fn deliver_at_end<D: Delivers + 'static>(delivers: &Arc<D>) {
    let mut deliveries = locked();
    if !deliveries.has_handler {
        // SAFETY: the function has the form that the call asks for, and unwinds never.
        unsafe { libc::atexit(at_exit) };
        deliveries.has_handler = true;
    }
    deliveries.all.retain(|other| other.strong_count() > 0);
    let delivers: Weak<D> = Arc::downgrade(delivers);
    deliveries.all.push(delivers);
}

extern "C" fn at_exit() {
    deliver_all();
}

/// Delivers all; this process is about to end. Where it is told so twice, since its children end in
/// between, the second time has what these have left.
pub(super) fn deliver_all() {
    let all = locked().all.clone();
    let until = Instant::now() + LIMIT;
    for delivers in all.iter().filter_map(Weak::upgrade) {
        // A panic here is a defect, and must neither unwind into the C library nor keep others out.
        let _ = catch_unwind(AssertUnwindSafe(|| delivers.deliver(until)));
    }
}
