//! How long tasks took, as a distribution.

use std::time::Duration;

use super::{
    histogram::{BUCKETS, bucket_end, bucket_start},
    row::RowTimes,
};

/// How long tasks took: counts of times in ranges that are at most a sixteenth of their start wide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskTimes {
    /// Counts by buckets, without those behind the last one that is not 0.
    counts: Vec<u64>,
}

impl TaskTimes {
    pub(super) fn of(workers: &[RowTimes]) -> Self {
        let mut counts = vec![0u64; BUCKETS];
        for worker in workers {
            for (sum, count) in counts.iter_mut().zip(&worker.histogram) {
                *sum = sum.saturating_add(*count);
            }
        }
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        counts.truncate(used);
        Self { counts }
    }

    /// How many tasks had their time taken.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The ranges in which there are times, the shortest first: the shortest and the longest time
    /// of each, and how many tasks took as long.
    pub fn ranges(&self) -> impl Iterator<Item = (Duration, Duration, u64)> + '_ {
        let range = |(bucket, count): (usize, &u64)| {
            let (start, end) = (bucket_start(bucket), bucket_end(bucket));
            (Duration::from_nanos(start), Duration::from_nanos(end), *count)
        };
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(range)
    }

    /// The time that this part of the tasks, from 0 to 1, took at most; `None` where no task had
    /// its time taken. It is the end of its range: at most a sixteenth too long.
    ///
    /// A part below 0 counts as 0, one beyond 1 as 1, and one that is no number as 1.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        let part = if part.is_nan() { 1.0 } else { part.clamp(0.0, 1.0) };
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0u64;
        self.ranges().find_map(|(_, end, count)| {
            below = below.saturating_add(count);
            (below >= rank).then_some(end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_at_the_ends_of_their_ranges() {
        let none = TaskTimes::default();
        assert_eq!((none.count(), none.quantile(0.5)), (0, None));
        let mut counts = vec![0; BUCKETS];
        (counts[3], counts[10]) = (3, 1);
        let times = TaskTimes::of(&[RowTimes { histogram: counts, ..RowTimes::default() }]);
        assert_eq!(times.count(), 4);
        for (part, nanos) in [(-1.0, 3), (0.0, 3), (0.75, 3), (0.76, 10), (2.0, 10), (f64::NAN, 10)]
        {
            assert_eq!(times.quantile(part), Some(Duration::from_nanos(nanos)), "{part}");
        }
        assert_eq!(times.ranges().count(), 2);
    }
}
