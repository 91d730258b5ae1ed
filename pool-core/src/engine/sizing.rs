//! How many items make the next chunk.
//!
//! Without a setting: as many as fill about 200 µs by the times of earlier chunks, at most what is
//! left divided by four times the workers, at most about 1 MiB of encoded items, at least 1. With a
//! setting: MPIRE's formulas, with fractions carried over from chunk to chunk.

/// What a user may set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SizingRules {
    /// Items per chunk, fractions allowed.
    pub(crate) chunk_size: Option<f64>,
    /// Chunks for the whole input.
    pub(crate) n_splits: Option<usize>,
}

/// Items per chunk when an input of unknown length is to be split, as in MPIRE.
const SPLIT_OF_UNKNOWN: f64 = 4.0;
const TARGET_NANOS: f64 = 200_000.0;
const TARGET_BYTES: f64 = 1024.0 * 1024.0;
/// The largest fixed size: every whole number up to it is one of `f64`, so that fractions can be
/// carried over.
const MOST_FIXED: f64 = (1u64 << 53) as f64;
/// One of so many chunks with a fixed length is timed.
const TIMED: u64 = 16;
/// Chunks that take longer are all timed, so that their workers know when to make room for others.
const LONG_NANOS: f64 = 500_000.0;
/// How much larger than the last chunk the next one may be.
const GROWTH: f64 = 64.0;

/// The sizes of one job's chunks.
#[derive(Debug, Clone)]
pub(crate) struct Sizer {
    workers: usize,
    /// Items of the whole input, if known.
    len: Option<u64>,
    taken: u64,
    chunks: u64,
    fixed: Option<FixedSize>,
    nanos_per_item: Option<f64>,
    bytes_per_item: f64,
    last: usize,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct FixedSize {
    size: f64,
    current: f64,
}

impl Sizer {
    /// Sizes for an input of `len` items on `workers` workers; never more than `most` in a chunk
    /// unless the user asks for it.
    pub(crate) fn new(rules: SizingRules, workers: usize, len: Option<u64>, most: usize) -> Self {
        let split = || {
            let splits = rules.n_splits? as f64;
            Some(len.map_or(SPLIT_OF_UNKNOWN, |len| len as f64 / splits))
        };
        let fixed = rules.chunk_size.or_else(split).map(|size| {
            let size = size.clamp(1.0, MOST_FIXED);
            FixedSize { size, current: size }
        });
        Self {
            workers,
            len,
            taken: 0,
            chunks: 0,
            fixed,
            nanos_per_item: None,
            bytes_per_item: 0.0,
            last: 1,
            most: most.max(1),
        }
    }

    /// Makes chunks of no more than `items`, but for sizes that the user has set.
    pub(crate) fn limit(&mut self, items: usize) {
        self.most = self.most.min(items.max(1));
    }

    /// Items of the whole input, if known.
    pub(crate) fn len(&self) -> Option<u64> {
        self.len
    }

    /// Whether sizes follow from the times of chunks.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.fixed.is_none()
    }

    /// Whether the next chunk is to be timed: of chunks with a fixed length a few are enough, since
    /// reading the clock costs more than the smallest task.
    pub(crate) fn wants_time(&self) -> bool {
        let is_short = || self.nanos_of(self.next()).is_some_and(|nanos| nanos < LONG_NANOS);
        self.fixed.is_none() || self.chunks.is_multiple_of(TIMED) || !is_short()
    }

    /// How long so many items take, as far as is known.
    pub(crate) fn nanos_of(&self, items: usize) -> Option<f64> {
        self.nanos_per_item.map(|nanos| nanos * items as f64)
    }

    /// How many items the next chunk takes, if there are that many.
    pub(crate) fn next(&self) -> usize {
        if let Some(fixed) = self.fixed {
            return (fixed.current.ceil() as usize).max(1);
        }
        let Some(nanos) = self.nanos_per_item else { return 1 };
        let by_time = TARGET_NANOS / nanos.max(0.1);
        let by_bytes = TARGET_BYTES / self.bytes_per_item.max(1e-3);
        let by_rest = match self.len {
            Some(len) => len.saturating_sub(self.taken) as f64 / (4 * self.workers) as f64,
            None => f64::INFINITY,
        };
        let by_growth = self.last as f64 * GROWTH;
        let size = by_time.min(by_bytes).min(by_rest).min(by_growth);
        (size as usize).clamp(1, self.most)
    }

    /// Counts a chunk of `items` items in `bytes` bytes that was taken from the input.
    pub(crate) fn took(&mut self, items: usize, bytes: usize) {
        self.taken += items as u64;
        self.chunks += 1;
        match &mut self.fixed {
            // In this order, as MPIRE rounds: 10 items in 6 chunks are 2, 2, 1, 2, 2, 1.
            Some(fixed) => fixed.current = fixed.current + fixed.size - fixed.current.ceil(),
            None if items > 0 => {
                self.last = items;
                self.bytes_per_item = bytes as f64 / items as f64;
            }
            None => {}
        }
    }

    /// Takes into account that a chunk of `items` items ran for `nanos` nanoseconds.
    pub(crate) fn ran(&mut self, items: usize, nanos: u64) {
        if items == 0 || nanos == 0 {
            return;
        }
        let seen = nanos as f64 / items as f64;
        // A short time weighs more: a chunk that took long may just have lost its CPU.
        self.nanos_per_item = Some(match self.nanos_per_item {
            Some(before) if seen < before => before * 0.25 + seen * 0.75,
            Some(before) => before * 0.5 + seen * 0.5,
            None => seen,
        });
    }
}

#[cfg(test)]
#[path = "sizing_tests.rs"]
mod made_up_tasks;

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(rules: SizingRules, len: u64) -> Vec<usize> {
        let mut sizer = Sizer::new(rules, 2, Some(len), usize::MAX);
        let mut left = len as usize;
        let mut lengths = Vec::new();
        while left > 0 {
            let size = sizer.next().min(left);
            sizer.took(size, size);
            lengths.push(size);
            left -= size;
        }
        lengths
    }

    #[test]
    fn fixed_sizes_follow_the_formula_of_mpire() {
        let splits = |n| SizingRules { n_splits: Some(n), ..SizingRules::default() };
        let size = |s| SizingRules { chunk_size: Some(s), ..SizingRules::default() };
        assert_eq!(lengths(splits(3), 10), [4, 3, 3]);
        assert_eq!(lengths(size(2.5), 10), [3, 2, 3, 2]);
        assert_eq!(lengths(splits(4), 10), [3, 2, 3, 2]);
        assert_eq!(lengths(splits(6), 10), [2, 2, 1, 2, 2, 1]);
        assert_eq!(lengths(splits(5), 6), [2, 1, 1, 1, 1]);
        assert_eq!(lengths(splits(5), 7), [2, 1, 2, 1, 1]);
        assert_eq!(lengths(splits(7), 100), [15, 14, 14, 15, 14, 14, 14]);
        assert_eq!(lengths(size(4.0), 10), [4, 4, 2]);
    }

    #[test]
    fn the_largest_sizes_stay_what_they_are() {
        for size in [f64::MAX, u64::MAX as f64, MOST_FIXED] {
            let rules = SizingRules { chunk_size: Some(size), ..SizingRules::default() };
            let mut sizer = Sizer::new(rules, 2, None, usize::MAX);
            for _ in 0..5 {
                assert_eq!(sizer.next(), MOST_FIXED as usize);
                sizer.took(3, 24);
            }
        }
    }

    #[test]
    fn adaptive_sizes_fill_the_time_and_shrink_towards_the_end() {
        let mut sizer = Sizer::new(SizingRules::default(), 2, Some(1_000_000), usize::MAX);
        assert_eq!(sizer.next(), 1);
        sizer.took(1, 8);
        sizer.ran(1, 1000);
        assert_eq!(sizer.next(), 64);
        sizer.took(64, 512);
        sizer.ran(64, 64_000);
        assert_eq!(sizer.next(), 200);
        sizer.took(999_000, 8 * 999_000);
        assert_eq!(sizer.next(), 935 / 8);
    }

    #[test]
    fn large_items_and_slow_items_travel_alone() {
        let mut sizer = Sizer::new(SizingRules::default(), 2, None, usize::MAX);
        sizer.took(1, 3 << 20);
        sizer.ran(1, 100);
        assert_eq!(sizer.next(), 1);
        let mut sizer = Sizer::new(SizingRules::default(), 2, None, 50);
        sizer.ran(1, 5_000_000);
        assert_eq!(sizer.next(), 1);
        sizer.ran(1, 100);
        sizer.ran(1, 100);
        sizer.ran(1, 100);
        sizer.ran(1, 100);
        assert_eq!(sizer.next(), 10);
    }
}
