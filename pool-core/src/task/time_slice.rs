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
        self.next_look = done + items_until_next_look(done, time);
        time >= TIME_SLICE
    }
}

/// How many items may run before the clock is read again, if `done` took this time.
fn items_until_next_look(done: usize, time: Duration) -> usize {
    let items = (done as u128 * BETWEEN_LOOKS).checked_div(time.as_nanos());
    items.unwrap_or(MOST_BETWEEN_LOOKS).clamp(1, MOST_BETWEEN_LOOKS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_after_every_long_item_and_few_of_the_short_ones() {
        assert_eq!(items_until_next_look(30, Duration::from_micros(900)), 1);
        assert_eq!(items_until_next_look(1000, Duration::from_micros(900)), 22);
        assert_eq!(items_until_next_look(1 << 20, Duration::from_micros(900)), 64);
        assert_eq!(items_until_next_look(1, Duration::ZERO), 64);
    }

    #[test]
    fn a_slice_is_over_after_its_time_and_not_asked_about_before_the_next_look() {
        let mut slice = TimeSlice::since(Instant::now().checked_sub(2 * TIME_SLICE));
        assert!(slice.check(1));
        assert!(!slice.check(slice.next_look - 1));
        assert!(slice.check(slice.next_look));
    }
}
