//! How many items of a job may be under way: taken from the input and not yet with the consumer.
//!
//! Invariant: a chunk is let through when nothing is active, so a limit below the chunk's length
//! slows a job down and never stops it.

/// How far ahead of its consumer a job goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// To its end, in a blocking call: many short chunks may be under way at once, since the
    /// consumer takes all results.
    #[default]
    Call,
    /// Calls of one item each, none of which waits for the others: a chunk each.
    Single,
    /// To its end in the background: other calls shall not wait for long behind its chunks.
    Background,
    /// No more of the input than workers need to stay busy, since the consumer may leave.
    Lazy,
}

/// The limits of one job, and what it has under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Most items under way, as the user set it; otherwise it follows the chunk size.
    set: Option<usize>,
    workers: usize,
    /// Most items under way without a setting.
    most: usize,
    pace: Pace,
    active: usize,
    /// Encoded bytes of chunks that have not ended.
    bytes: usize,
    chunks: usize,
}

/// Most items of a lazy job that are under way without a setting.
pub(crate) const MOST_READ_AHEAD: usize = 4096;
/// Chunks of a call, or single calls, that may be under way even if they hold one item each, while
/// they are short.
const DEEP_CHUNKS: usize = 128;
/// Work beyond the chunk in hand that a call may have waiting for each worker: the next call waits
/// behind it.
const DEEP_NANOS: f64 = 4_000_000.0;
/// Work that single calls may have under way for each worker, if that is more than two of them.
const SINGLE_NANOS: f64 = 100_000.0;
/// Encoded bytes under way beyond which every worker gets just one chunk more.
const MANY_BYTES: usize = 64 << 20;

impl Window {
    pub(crate) fn new(set: Option<usize>, workers: usize, pace: Pace) -> Self {
        let most = if pace == Pace::Lazy { MOST_READ_AHEAD } else { usize::MAX };
        Self { set, workers, most, pace, active: 0, bytes: 0, chunks: 0 }
    }

    /// The most items that a chunk should have so that every worker can have two.
    pub(crate) fn most_in_chunk(&self) -> usize {
        (self.set.unwrap_or(self.most) / (2 * self.workers)).max(1)
    }

    /// How many chunks may be under way that take `nanos` each, if that is known.
    fn chunks_of(&self, nanos: Option<f64>) -> usize {
        let two_each = 2 * self.workers;
        let most = two_each.max(DEEP_CHUNKS);
        let per_worker = |work: f64, nanos: f64| (self.workers as f64 * work / nanos) as usize;
        match (nanos, self.pace) {
            (Some(nanos), Pace::Call) => {
                // One for each worker, and at least one for the worker that finishes first.
                let waiting = per_worker(DEEP_NANOS, nanos.max(1.0));
                self.workers.saturating_add(waiting.max(1)).min(most)
            }
            (Some(nanos), Pace::Single) => per_worker(SINGLE_NANOS, nanos).clamp(two_each, most),
            // Other calls shall not wait long before the first chunk says how long one takes.
            _ => two_each,
        }
    }

    /// Whether a chunk of `items` may be taken from the input; `nanos`: how long it takes, if that
    /// is known.
    pub(crate) fn admits(&self, items: usize, nanos: Option<f64>) -> bool {
        if self.active == 0 {
            return true;
        }
        if self.bytes > MANY_BYTES && self.chunks > self.workers {
            return false;
        }
        let chunks = self.chunks_of(nanos);
        let limit = match self.set {
            Some(set) => set,
            None if items > 64 => chunks.min(2 * self.workers).saturating_mul(items),
            None => chunks.saturating_mul(items),
        };
        self.active.saturating_add(items)
            <= limit.min(if self.set.is_some() { usize::MAX } else { self.most })
    }

    /// Counts items that were taken from the input, in so many chunks with so many bytes.
    pub(crate) fn took(&mut self, chunks: usize, items: usize, bytes: usize) {
        self.active += items;
        self.bytes += bytes;
        self.chunks += chunks;
    }

    /// Subtracts a chunk of `bytes` that has ended.
    pub(crate) fn ended(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.chunks = self.chunks.saturating_sub(1);
    }

    /// Subtracts `items` items that the consumer has got.
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
        assert!(window.admits(4, None));
        window.took(1, 4, 32);
        assert!(!window.admits(4, None));
        window.yielded(4);
        assert!(window.admits(4, None));
    }

    #[test]
    fn a_lazy_job_reads_two_chunks_per_worker_ahead_and_never_too_much() {
        let mut window = Window::new(None, 2, Pace::Lazy);
        for _ in 0..4 {
            assert!(window.admits(10, None));
            window.took(1, 10, 80);
        }
        assert!(!window.admits(10, None));
        let mut window = Window::new(None, 2, Pace::Lazy);
        window.took(1, MOST_READ_AHEAD - 1024, 80);
        assert!(window.admits(1024, None) && !window.admits(1025, None));
    }

    /// How many chunks of one item a job of a call has under way.
    fn depth(workers: usize, nanos: Option<f64>) -> usize {
        depth_of(Pace::Call, workers, nanos)
    }

    fn depth_of(pace: Pace, workers: usize, nanos: Option<f64>) -> usize {
        let mut window = Window::new(None, workers, pace);
        let admitted = |window: &mut Window| window.admits(1, nanos).then(|| window.took(1, 1, 8));
        std::iter::from_fn(|| admitted(&mut window)).count()
    }

    #[test]
    fn what_waits_for_workers_is_bounded_by_its_time() {
        for workers in [1, 2, 16] {
            assert_eq!(
                depth(workers, Some(50e6)),
                workers + 1,
                "one in each hand, one for the next"
            );
            assert_eq!(depth(workers, Some(1e9)), workers + 1);
            assert_eq!(depth(workers, Some(2e6)), 3 * workers);
            assert_eq!(depth(workers, None), 2 * workers, "the first tell how long they take");
            assert_eq!(depth(workers, Some(500.0)), 128);
            assert_eq!(depth(workers, Some(0.0)), 128);
        }
        assert_eq!(depth(100, Some(500.0)), 200);
    }

    #[test]
    fn single_calls_have_two_for_each_worker_or_a_tenth_of_a_millisecond() {
        for workers in [1, 2, 16] {
            assert_eq!(depth_of(Pace::Single, workers, None), 2 * workers);
            assert_eq!(depth_of(Pace::Single, workers, Some(1e6)), 2 * workers);
            assert_eq!(depth_of(Pace::Single, workers, Some(25e3)), 4 * workers);
            assert_eq!(depth_of(Pace::Single, workers, Some(0.0)), 128);
        }
        assert_eq!(depth_of(Pace::Single, 100, Some(500.0)), 200);
        // Beyond many bytes every worker gets just one call more.
        let mut window = Window::new(None, 2, Pace::Single);
        window.took(1, 1, MANY_BYTES + 1);
        assert!(window.admits(1, Some(500.0)));
        window.took(2, 2, 8);
        assert!(!window.admits(1, Some(500.0)));
        window.ended(MANY_BYTES + 1);
        assert!(window.admits(1, Some(500.0)));
    }
}
