//! Reads what the zygote reports while no call is under way, where endpoints of channels or outputs
//! of failed items wait for that.
//!
//! Invariant: as long as items or results of ended calls may keep endpoints, or an error waits for
//! the output of a worker that is to end, a thread looks once in a while (`idle_watch.rs`).
//! Otherwise reports wait for the next call, and cost nothing.

use std::sync::{Arc, Weak, atomic::Ordering::Relaxed};

use pool_ipc::SegmentId;

use super::{
    idle_watch::{IdleWatch, LookWhileIdle},
    state::Session,
};
use crate::{error::Error, mutex::lock};

impl Session {
    /// Notes that results have come with these segments.
    #[cold]
    pub(crate) fn note_results_with(&self, ids: &[SegmentId]) {
        if ids.iter().any(|id| id.is_presence()) {
            // Relaxed: a hint, and the lock orders the rest.
            self.reports_matter.store(true, Relaxed);
            self.lock().endpoints_came = true;
        }
    }

    /// Sees to it that reports are read while no call is under way, if anything waits for them.
    pub(crate) fn watch_while_idle(self: &Arc<Self>) {
        if !self.reports_matter() || self.is_foreign() || !self.waits_for_reports() {
            return;
        }
        // Without a thread the next call reads them.
        let _ = self.begin_idle_watch();
    }

    /// Whether reports may have to be read while no call is under way.
    #[inline]
    pub(crate) fn reports_matter(&self) -> bool {
        self.reports_matter.load(Relaxed)
    }

    fn waits_for_reports(&self) -> bool {
        let state = self.lock();
        let waits_for_output =
            || self.output.as_ref().is_some_and(|capture| capture.waits_for_ends());
        state.endpoints_came || state.on_the_way.any_presence() || waits_for_output()
    }

    fn begin_idle_watch(self: &Arc<Self>) -> Result<(), Error> {
        let mut present = lock(&self.idle);
        let watch = match &*present {
            Some(watch) => watch,
            None => {
                let this: Weak<Self> = Arc::downgrade(self);
                present.insert(IdleWatch::new(this)?)
            }
        };
        let begin = watch.begin();
        drop(present);
        begin()
    }
}

impl LookWhileIdle for Session {
    /// Reads reports, unless a thread drives, and looks again later if that is needed.
    fn look_while_idle(self: Arc<Self>) {
        let mut state = self.lock();
        if !state.driving {
            self.collect(&mut state);
            self.handle_reports(&mut state);
        }
        let deferred_log = state.deferred_log.take();
        drop(state);
        deferred_log.write();
        self.watch_while_idle();
    }
}
