//! Puts results into the order that their consumer wants.
//!
//! Invariant (ordered): `ready` ends just before position `next`; values that came early wait in
//! `early`. Invariant (noted): no two ranges in `noted` touch, so there are no more of them than
//! chunks under way, and one.

use std::{collections::BTreeMap, ops::Range};

use crate::ids::ItemIndex;

/// The most bytes that are reserved for values in advance.
const MOST_RESERVED: usize = 256 << 20;

/// Values on their way to the consumer.
#[derive(Debug)]
pub(super) struct Arrivals<T> {
    ordered: bool,
    ready: Vec<T>,
    next: ItemIndex,
    early: BTreeMap<ItemIndex, Vec<T>>,
    /// The ranges of the positions that have come, by their start, with their end, if the values
    /// are wanted in order of arrival and those that never come have to be known.
    noted: Option<BTreeMap<ItemIndex, ItemIndex>>,
}

impl<T> Arrivals<T> {
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            ready: Vec::new(),
            next: ItemIndex::FIRST,
            early: BTreeMap::new(),
            noted: None,
        }
    }

    /// Has it know the positions that have come, also of values in order of arrival.
    pub(super) fn noting(self) -> Self {
        Self { noted: (!self.ordered).then(BTreeMap::new), ..self }
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
    pub(super) fn add(&mut self, first: ItemIndex, fill: impl FnOnce(&mut Vec<T>)) {
        if !self.ordered || first == self.next {
            let before = self.ready.len();
            fill(&mut self.ready);
            self.added(first, before);
        } else {
            let mut values = Vec::new();
            fill(&mut values);
            self.early.insert(first, values);
        }
    }

    /// Values from position `first` on have come behind the `before` that were ready.
    fn added(&mut self, first: ItemIndex, before: usize) {
        let behind = first.after(self.ready.len() - before);
        if self.ordered {
            self.next = behind;
            self.catch_up();
        } else if let Some(noted) = &mut self.noted {
            note(noted, first..behind);
        }
    }

    fn catch_up(&mut self) {
        while let Some(mut values) = self.early.remove(&self.next) {
            self.next = self.next.after(values.len());
            self.ready.append(&mut values);
        }
    }

    /// Fills each gap among the first `items` items, in order, with the value that `missing` makes
    /// of the gap's position.
    pub(super) fn fill_gaps(&mut self, items: u64, missing: impl Fn(ItemIndex) -> T) {
        let end = ItemIndex::new(items);
        if let Some(noted) = self.noted.take() {
            for (first, behind) in noted.into_iter().chain([(end, end)]) {
                let gap = self.next.onwards().take_while(|index| *index < first);
                self.ready.extend(gap.map(&missing));
                self.next = behind;
            }
        }
        while self.next < end {
            self.ready.push(missing(self.next));
            self.next = self.next.after(1);
            self.catch_up();
        }
    }

    /// Takes what is ready.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.ready)
    }
}

/// Adds positions.
fn note(noted: &mut BTreeMap<ItemIndex, ItemIndex>, Range { start: first, end }: Range<ItemIndex>) {
    let before = noted.range(..first).next_back().filter(|(_, behind)| **behind == first);
    let first = before.map_or(first, |(before, _)| *before);
    let end = noted.remove(&end).unwrap_or(end);
    noted.insert(first, end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges<const N: usize>(ranges: [(u64, u64); N]) -> BTreeMap<ItemIndex, ItemIndex> {
        ranges.map(|(first, end)| (ItemIndex::new(first), ItemIndex::new(end))).into()
    }

    #[test]
    fn noted_positions_leave_gaps_that_are_filled_at_the_end() {
        let mut arrivals = Arrivals::new(false).noting();
        for first in [7, 2, 9, 3, 4] {
            arrivals.add(ItemIndex::new(first), |out| out.push(first));
        }
        assert_eq!(arrivals.noted, Some(ranges([(2, 5), (7, 8), (9, 10)])));
        arrivals.add(ItemIndex::new(8), |out| out.push(8));
        assert_eq!(arrivals.noted, Some(ranges([(2, 5), (7, 10)])));
        assert_eq!(arrivals.take(), [7, 2, 9, 3, 4, 8]);
        arrivals.fill_gaps(12, |at| 100 + at.number());
        assert_eq!(arrivals.take(), [100, 101, 105, 106, 110, 111]);
        let mut arrivals = Arrivals::new(false).noting();
        arrivals.add(ItemIndex::new(0), |out| out.extend([0, 1]));
        arrivals.fill_gaps(2, |at| 100 + at.number());
        assert_eq!(arrivals.take(), [0, 1]);
    }

    #[test]
    fn early_values_wait_for_the_ones_before_them() {
        let mut arrivals = Arrivals::new(true);
        arrivals.add(ItemIndex::new(2), |out| out.extend([2, 3]));
        arrivals.add(ItemIndex::new(5), |out| out.push(5));
        assert!(arrivals.take().is_empty());
        arrivals.add(ItemIndex::new(0), |out| out.extend([0, 1]));
        assert_eq!(arrivals.take(), [0, 1, 2, 3]);
        arrivals.add(ItemIndex::new(4), |out| out.push(4));
        assert_eq!(arrivals.take(), [4, 5]);
        arrivals.add(ItemIndex::new(8), |out| out.push(8));
        arrivals.fill_gaps(10, |at| 100 + at.number());
        assert_eq!(arrivals.take(), [106, 107, 8, 109]);
        let mut arrivals = Arrivals::new(false);
        arrivals.add(ItemIndex::new(7), |out| out.push(7));
        assert_eq!(arrivals.take(), [7]);
    }
}
