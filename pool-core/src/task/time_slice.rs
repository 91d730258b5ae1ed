//! How long a worker goes on with one chunk while other calls wait.

use std::time::{Duration, Instant};

/// Longer than the chunks whose size the pool chooses, so that those stay whole.
const TIME_SLICE: Duration = Duration::from_millis(1);
/// Nanoseconds that may pass between two looks at the clock, which costs more than the smallest
/// item.
const BETWEEN_LOOKS: u128 = 20_000;
/// The most items between two looks: later items may take longer than those before.
const MOST_BETWEEN_LOOKS: u128 = 64;

/// The time of one chunk.
#[derive(Debug)]
pub(crate) struct TimeSlice {
    /// `None` before the first look, if the chunk is not timed.
    began: Option<Instant>,
    next_look: usize,
}

impl TimeSlice {
    pub(crate) fn since(began: Option<Instant>) -> Self {
        Self { began, next_look: 0 }
    }

    /// Reads the clock after `done` items of the chunk, if it is time to; returns whether the slice
    /// is over.
    pub(crate) fn check(&mut self, done: usize) -> bool {
        if done < self.next_look {
            return false;
        }
        let time = self.began.get_or_insert_with(Instant::now).elapsed();
        let items = (done as u128 * BETWEEN_LOOKS).checked_div(time.as_nanos());
        let items = items.unwrap_or(MOST_BETWEEN_LOOKS).clamp(1, MOST_BETWEEN_LOOKS);
        self.next_look = done + items as usize;
        time >= TIME_SLICE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_after_every_long_item_and_few_of_the_short_ones() {
        let ago = |time| TimeSlice::since(Instant::now().checked_sub(time));
        let mut slice = ago(Duration::from_micros(900));
        assert!(!slice.check(30));
        assert_eq!(slice.next_look, 31);
        assert!(ago(Duration::from_millis(2)).check(1));
        let mut slice = TimeSlice::since(None);
        assert!(!slice.check(1 << 20));
        assert_eq!(slice.next_look, (1 << 20) + 64);
        assert!(!slice.check((1 << 20) + 63));
    }
}
