//! Puts results into the order that their consumer wants.
//!
//! Invariant (ordered): `ready` ends just before position `next`; values that came early wait in
//! `early`.

use std::collections::BTreeMap;

/// The most bytes that are reserved for values in advance.
const MOST_RESERVED: usize = 256 << 20;

/// Values on their way to the consumer.
#[derive(Debug)]
pub(super) struct Arrivals<T> {
    ordered: bool,
    ready: Vec<T>,
    next: u64,
    early: BTreeMap<u64, Vec<T>>,
}

impl<T> Arrivals<T> {
    pub(super) fn new(ordered: bool) -> Self {
        Self { ordered, ready: Vec::new(), next: 0, early: BTreeMap::new() }
    }

    /// Reserves room for `len` values, if the number is known and not too large to reserve in
    /// advance.
    pub(super) fn expect(&mut self, len: Option<u64>) {
        let most = MOST_RESERVED / size_of::<T>().max(1);
        let len = len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        // If reserving fails, the vector grows value by value.
        let _ = self.ready.try_reserve_exact(len.min(most));
    }

    /// Has `fill` append the values from position `first` on to the right vector.
    pub(super) fn add(&mut self, first: u64, fill: impl FnOnce(&mut Vec<T>)) {
        if !self.ordered {
            fill(&mut self.ready);
        } else if first == self.next {
            let before = self.ready.len();
            fill(&mut self.ready);
            self.next += (self.ready.len() - before) as u64;
            self.catch_up();
        } else {
            let mut values = Vec::new();
            fill(&mut values);
            self.early.insert(first, values);
        }
    }

    fn catch_up(&mut self) {
        while let Some(mut values) = self.early.remove(&self.next) {
            self.next += values.len() as u64;
            self.ready.append(&mut values);
        }
    }

    /// Fills each gap before position `end`, in order, with the value that `missing` makes of the
    /// gap's position.
    pub(super) fn complete(&mut self, end: u64, missing: impl Fn(u64) -> T) {
        while self.next < end {
            self.ready.push(missing(self.next));
            self.next += 1;
            self.catch_up();
        }
    }

    /// Takes what is ready.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_values_wait_for_the_ones_before_them() {
        let mut arrivals = Arrivals::new(true);
        arrivals.add(2, |out| out.extend([2, 3]));
        arrivals.add(5, |out| out.push(5));
        assert!(arrivals.take().is_empty());
        arrivals.add(0, |out| out.extend([0, 1]));
        assert_eq!(arrivals.take(), [0, 1, 2, 3]);
        arrivals.add(4, |out| out.push(4));
        assert_eq!(arrivals.take(), [4, 5]);
        arrivals.add(8, |out| out.push(8));
        arrivals.complete(10, |at| 100 + at);
        assert_eq!(arrivals.take(), [106, 107, 8, 109]);
        let mut arrivals = Arrivals::new(false);
        arrivals.add(7, |out| out.push(7));
        assert_eq!(arrivals.take(), [7]);
    }
}
