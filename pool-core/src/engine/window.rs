//! How many items of a job may be under way: taken from the input and not yet with the consumer.
//!
//! Invariant: a chunk is let through when nothing is active, so a limit below the chunk's length
//! slows a job down and never stops it.

/// How far ahead of its consumer a job goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// To its end, in one call: many small chunks may be under way at once, since the consumer takes all it gets.
    Call,
    /// To its end beside others, none of which shall wait for long behind its chunks.
    Aside,
    /// No more of the input than workers need to stay busy, since the consumer may leave.
    Lazy,
}

/// The limits of one job, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// Most items under way, as the user set it; otherwise it follows the chunk size.
    set: Option<usize>,
    workers: usize,
    /// Most items under way without a setting.
    most: usize,
    /// Whether many small chunks may be under way at once.
    deep: bool,
    active: usize,
    /// Encoded bytes of chunks that have not ended.
    bytes: usize,
    chunks: usize,
}

/// Read-ahead without a setting never exceeds this many items of a lazy job.
pub(crate) const MOST_READ_AHEAD: usize = 4096;
/// Chunks of a deep job that may be under way even if they hold one item each.
const DEEP_CHUNKS: usize = 128;
/// Encoded bytes under way beyond which every worker gets just one chunk more.
const MANY_BYTES: usize = 64 << 20;

impl Window {
    pub(crate) fn new(set: Option<usize>, workers: usize, pace: Pace) -> Self {
        let most = if pace == Pace::Lazy { MOST_READ_AHEAD } else { usize::MAX };
        let deep = pace == Pace::Call;
        Self { set, workers, most, deep, active: 0, bytes: 0, chunks: 0 }
    }

    /// The most items that a chunk should have so that every worker can have two.
    pub(crate) fn most_in_chunk(&self) -> usize {
        (self.set.unwrap_or(self.most) / (2 * self.workers)).max(1)
    }

    /// Whether a chunk of `items` may be taken from the input.
    pub(crate) fn admits(&self, items: usize) -> bool {
        if self.active == 0 {
            return true;
        }
        if self.bytes > MANY_BYTES && self.chunks > self.workers {
            return false;
        }
        let chunks = if self.deep { (2 * self.workers).max(DEEP_CHUNKS) } else { 2 * self.workers };
        let limit = match self.set {
            Some(set) => set,
            None if items > 64 => (2 * self.workers).saturating_mul(items),
            None => chunks.saturating_mul(items),
        };
        self.active.saturating_add(items)
            <= limit.min(if self.set.is_some() { usize::MAX } else { self.most })
    }

    /// Items were taken from the input, in so many chunks with so many bytes.
    pub(crate) fn took(&mut self, chunks: usize, items: usize, bytes: usize) {
        self.active += items;
        self.bytes += bytes;
        self.chunks += chunks;
    }

    /// A chunk of `bytes` has ended.
    pub(crate) fn ended(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.chunks = self.chunks.saturating_sub(1);
    }

    /// The consumer has got `items` items.
    pub(crate) fn yielded(&mut self, items: usize) {
        self.active = self.active.saturating_sub(items);
    }

    /// Items under way.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// Chunks that have not ended.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_the_chunk_lets_one_through() {
        let mut window = Window::new(Some(2), 4, Pace::Lazy);
        assert!(window.admits(4));
        window.took(1, 4, 32);
        assert!(!window.admits(4));
        window.yielded(4);
        assert!(window.admits(4));
    }

    #[test]
    fn a_lazy_job_reads_two_chunks_per_worker_ahead_and_never_too_much() {
        let mut window = Window::new(None, 2, Pace::Lazy);
        for _ in 0..4 {
            assert!(window.admits(10));
            window.took(1, 10, 80);
        }
        assert!(!window.admits(10));
        let mut window = Window::new(None, 2, Pace::Lazy);
        window.took(1, MOST_READ_AHEAD - 1024, 80);
        assert!(window.admits(1024) && !window.admits(1025));
    }
}
