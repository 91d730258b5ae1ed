//! Several calls at once: whose chunk goes first, and whether workers are to make room for others.
//!
//! Invariant: both are hints to the workers. At most one chunk of a call goes first at a time, so
//! that calls which have much under way take turns.

use super::{chunk::Chunk, dispatch::Engine};

impl Engine {
    /// Counts a new chunk of an open job, and says in it whether it goes first.
    #[inline]
    pub(super) fn count_new(&mut self, chunk: &mut Chunk) {
        let Some(record) = self.jobs.get_mut(&chunk.job) else { return };
        // The first chunk of a call that has just come, or whose other chunks have all ended: so no
        // chunk overtakes an earlier one of its job, which many calls of one item each may share.
        chunk.goes_first = record.chunks == 0
            && chunk.worker.is_none()
            && self.published_slots > self.workers.len();
        self.busy_jobs += usize::from(record.chunks == 0);
        record.chunks += 1;
    }

    /// Whether several jobs have chunks under way, and these are more than there are workers, or
    /// some are for one worker, which may be busy.
    #[inline]
    pub(crate) fn others_wait(&self) -> bool {
        self.busy_jobs > 1
            && (self.published_slots > self.workers.len() || self.targeted.any_published())
    }
}
