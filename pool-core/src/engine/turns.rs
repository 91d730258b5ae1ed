//! Calls beside each other: whose chunk goes first, and whether workers are to make room for
//! others.
//!
//! Invariant: both are hints to the workers. No more than one chunk of a call goes first at a time,
//! so that calls which have much under way take turns.

use super::{chunk::Chunk, dispatch::Engine};

impl Engine {
    /// Counts a new chunk of an open job, and says in it whether it goes first.
    #[inline]
    pub(super) fn count_new(&mut self, chunk: &mut Chunk) {
        let Some(book) = self.jobs.get_mut(chunk.job) else { return };
        // The first of a call that has just come, or whose other chunks have all ended: so none
        // overtakes an earlier one of its job, which is that of many calls of one item each.
        chunk.goes_first =
            book.chunks == 0 && chunk.home.is_none() && self.published_slots > self.workers.len();
        self.busy_jobs += usize::from(book.chunks == 0);
        book.chunks += 1;
    }

    /// Whether several jobs have chunks under way, and more than the workers have in hand, or some
    /// that no other worker may take than one which may be busy.
    #[inline]
    pub(crate) fn others_wait(&self) -> bool {
        self.busy_jobs > 1
            && (self.published_slots > self.workers.len() || self.addressed.any_published())
    }
}
