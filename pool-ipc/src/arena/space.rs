//! Address space in blocks of 2^n pages: which are free, and how much of each is warm.
//!
//! Invariant: below the frontier every page belongs to exactly one block, free (listed here) or
//! taken; a block lies at a multiple of its size. Beyond the first `touched` bytes of a free block
//! no page holds memory.
//!
//! Address space is plentiful, so blocks keep their size: each class is a stack of its own, and
//! only when addresses run short are blocks split or joined with their buddies.

use std::collections::VecDeque;

use super::pages_to_release::PagesToRelease;

/// A free block that holds memory.
#[derive(Clone, Copy, Debug)]
struct Warm {
    offset: u64,
    touched: u64,
    freed_at: u64,
}

/// The free blocks of one size.
#[derive(Debug, Default)]
struct Class {
    /// The block freed last is at the back.
    warm: VecDeque<Warm>,
    /// How many blocks at the front stayed free since the last trim.
    idle: usize,
    cold: Vec<u64>,
}

/// A block that was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) offset: u64,
    pub(super) touched: u64,
}

#[derive(Debug)]
pub(super) struct Space {
    page: u64,
    capacity: u64,
    frontier: u64,
    warm: u64,
    /// Counts frees, to tell which block is the coldest.
    clock: u64,
    /// By the number of pages, as a power of two.
    classes: Vec<Class>,
}

impl Space {
    /// Free space of `capacity` bytes, whole pages.
    pub(super) fn new(page: u64, capacity: u64) -> Self {
        debug_assert!(page.is_power_of_two() && capacity.is_multiple_of(page));
        let classes = (capacity / page).checked_ilog2().map_or(0, |largest| largest as usize + 1);
        let classes = (0..classes).map(|_| Class::default()).collect();
        Self { page, capacity, frontier: 0, warm: 0, clock: 0, classes }
    }

    /// Bytes of the largest block there can be.
    pub(super) fn largest(&self) -> u64 {
        self.classes.len().checked_sub(1).map_or(0, |class| self.size(class))
    }

    /// Bytes of memory in free blocks.
    pub(super) fn warm(&self) -> u64 {
        self.warm
    }

    /// The class of blocks that hold `len` bytes.
    pub(super) fn class_of(&self, len: u64) -> usize {
        // 0 for a page, 1 for two, 2 for up to four, and so on.
        let rest = len.saturating_sub(1) >> self.page.trailing_zeros();
        (u64::BITS - rest.leading_zeros()) as usize
    }

    /// Takes a free block: the one freed last, or else one without memory.
    #[inline]
    pub(super) fn take(&mut self, class: usize) -> Option<Taken> {
        let found = self.pop_warm(class).or_else(|| self.pop_cold(class));
        found.or_else(|| self.fresh(class)).or_else(|| self.split(class))
    }

    /// Frees a block of which at most the first `touched` bytes hold memory.
    #[inline]
    pub(super) fn put(&mut self, class: usize, offset: u64, touched: u64) {
        let list = &mut self.classes[class];
        if touched == 0 {
            list.cold.push(offset);
        } else {
            self.clock += 1;
            self.warm += touched;
            list.warm.push_back(Warm { offset, touched, freed_at: self.clock });
        }
    }

    /// Gives back `want` bytes, or all there are, of the blocks that were free the longest; says
    /// how many.
    pub(super) fn give_coldest(&mut self, want: u64, to_release: &mut PagesToRelease) -> u64 {
        let mut left = want;
        while left > 0 {
            let oldest =
                |list: &&mut Class| list.warm.front().map_or(u64::MAX, |block| block.freed_at);
            let Some(list) = self.classes.iter_mut().min_by_key(oldest) else {
                break;
            };
            let Some(block) = list.warm.front_mut() else {
                break;
            };
            let keep = block.touched.saturating_sub(left.next_multiple_of(self.page));
            let gone = block.touched - keep;
            to_release.push(block.offset + keep, gone);
            block.touched = keep;
            self.warm -= gone;
            left = left.saturating_sub(gone);
            if keep == 0 {
                list.cold.extend(list.warm.pop_front().map(|block| block.offset));
                list.idle = list.idle.saturating_sub(1);
            }
        }
        want - left
    }

    /// Gives back the memory of all blocks that stayed free since the last call.
    pub(super) fn trim(&mut self, to_release: &mut PagesToRelease) {
        for list in &mut self.classes {
            for block in list.warm.drain(..list.idle) {
                to_release.push(block.offset, block.touched);
                self.warm -= block.touched;
                list.cold.push(block.offset);
            }
            list.idle = list.warm.len();
        }
    }

    /// Joins free buddies until there is a block of `class`, if there can be one. The memory of
    /// joined blocks is given back.
    pub(super) fn coalesce(&mut self, class: usize, to_release: &mut PagesToRelease) {
        for smaller in 0..class {
            let size = self.size(smaller);
            let list = &mut self.classes[smaller];
            let mut free: Vec<u64> = list.warm.iter().map(|block| block.offset).collect();
            free.extend(&list.cold);
            free.sort_unstable();
            let pairs =
                free.windows(2).filter(|pair| pair[0] & size == 0 && pair[1] == pair[0] + size);
            let joined: Vec<u64> = pairs.map(|pair| pair[0]).collect();
            if joined.is_empty() {
                continue;
            }
            let stays = |offset: u64| joined.binary_search(&(offset & !size)).is_err();
            self.warm -= list.retain(stays, to_release);
            self.classes[smaller + 1].cold.extend(joined);
        }
        self.retreat(to_release);
    }

    /// Moves the frontier back over free blocks.
    fn retreat(&mut self, to_release: &mut PagesToRelease) {
        let mut free: Vec<(u64, u64)> = Vec::new();
        for (class, list) in self.classes.iter().enumerate() {
            let offsets =
                list.warm.iter().map(|block| block.offset).chain(list.cold.iter().copied());
            free.extend(offsets.map(|offset| (offset, self.page << class)));
        }
        free.sort_unstable();
        while let Some((offset, size)) = free.pop() {
            if offset + size != self.frontier {
                break;
            }
            self.frontier = offset;
        }
        let frontier = self.frontier;
        for list in &mut self.classes {
            self.warm -= list.retain(|offset| offset < frontier, to_release);
        }
    }

    /// A block that was never used, from the frontier.
    fn fresh(&mut self, class: usize) -> Option<Taken> {
        let size = self.size(class);
        let offset = self.frontier.next_multiple_of(size);
        if offset + size > self.capacity {
            return None;
        }
        while self.frontier < offset {
            // The largest block that may lie here ends at or before `offset`, which is a multiple
            // of a larger one.
            let gap = (self.frontier / self.page).trailing_zeros() as usize;
            self.classes[gap].cold.push(self.frontier);
            self.frontier += self.size(gap);
        }
        self.frontier = offset + size;
        Some(Taken { offset, touched: 0 })
    }

    /// A part of the smallest larger block that is free.
    fn split(&mut self, class: usize) -> Option<Taken> {
        let larger = (class + 1..self.classes.len()).find_map(|larger| {
            Some((larger, self.pop_cold(larger).or_else(|| self.pop_warm(larger))?))
        });
        let (larger, mut block) = larger?;
        for half in (class..larger).rev() {
            let size = self.size(half);
            self.put(half, block.offset + size, block.touched.saturating_sub(size));
            block.touched = block.touched.min(size);
        }
        Some(block)
    }

    fn pop_cold(&mut self, class: usize) -> Option<Taken> {
        let offset = self.classes[class].cold.pop()?;
        Some(Taken { offset, touched: 0 })
    }

    #[inline]
    fn pop_warm(&mut self, class: usize) -> Option<Taken> {
        let list = &mut self.classes[class];
        let Warm { offset, touched, .. } = list.warm.pop_back()?;
        list.idle = list.idle.min(list.warm.len());
        self.warm -= touched;
        Some(Taken { offset, touched })
    }

    fn size(&self, class: usize) -> u64 {
        self.page << class
    }
}

impl Class {
    /// Drops the blocks for which `stays` is false and gives their memory back; returns how many
    /// bytes.
    fn retain(&mut self, stays: impl Fn(u64) -> bool, to_release: &mut PagesToRelease) -> u64 {
        let mut gone = 0;
        self.warm.retain(|block| {
            let stays = stays(block.offset);
            if !stays {
                to_release.push(block.offset, block.touched);
                gone += block.touched;
            }
            stays
        });
        // Which of the rest are idle is not known any more: they all get another round.
        self.idle = 0;
        self.cold.retain(|&offset| stays(offset));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn at(offset: u64, touched: u64) -> Option<Taken> {
        Some(Taken { offset: offset * PAGE, touched: touched * PAGE })
    }

    fn flushed(to_release: &mut PagesToRelease) -> Vec<(u64, u64)> {
        let mut pages = Vec::new();
        to_release.flush(|offset, len| pages.push((offset / PAGE, len / PAGE)));
        pages
    }

    #[test]
    fn classes_are_powers_of_two() {
        let space = Space::new(PAGE, 64 * PAGE);
        let classes = [1, PAGE, PAGE + 1, 2 * PAGE, 4 * PAGE + 1].map(|len| space.class_of(len));
        assert_eq!(classes, [0, 0, 1, 1, 3]);
        assert_eq!(space.largest(), 64 * PAGE);
        assert_eq!(Space::new(PAGE, 0).largest(), 0);
        assert_eq!(Space::new(PAGE, 100 * PAGE).largest(), 64 * PAGE);
    }

    #[test]
    fn gaps_before_aligned_blocks_are_used() {
        let mut space = Space::new(PAGE, 16 * PAGE);
        assert_eq!(space.take(0), at(0, 0));
        assert_eq!(space.take(2), at(4, 0));
        assert_eq!(space.take(1), at(2, 0));
        assert_eq!(space.take(0), at(1, 0));
        assert_eq!(space.take(0), at(8, 0));
    }

    #[test]
    fn split_blocks_keep_their_warm_part() {
        let mut space = Space::new(PAGE, 4 * PAGE);
        assert_eq!(space.take(2), at(0, 0));
        space.put(2, 0, 3 * PAGE);
        assert_eq!(space.take(0), at(0, 1));
        assert_eq!(space.warm(), 2 * PAGE);
        assert_eq!(space.take(1), at(2, 1));
        assert_eq!(space.take(0), at(1, 1));
        assert_eq!((space.take(0), space.warm()), (None, 0));
    }

    #[test]
    fn buddies_join_when_asked() {
        let mut space = Space::new(PAGE, 4 * PAGE);
        let mut to_release = PagesToRelease::default();
        let offsets: Vec<u64> = (0..4).filter_map(|_| Some(space.take(0)?.offset)).collect();
        for offset in [1, 0, 2] {
            space.put(0, offsets[offset], PAGE);
        }
        assert_eq!(space.take(1), None);
        space.coalesce(1, &mut to_release);
        // Pages 1 and 2 lie side by side and are no buddies.
        assert_eq!(flushed(&mut to_release), [(0, 2)]);
        assert_eq!((space.take(1), space.warm()), (at(0, 0), PAGE));
        space.put(1, 0, 0);
        space.put(0, offsets[3], 0);
        space.coalesce(2, &mut to_release);
        assert_eq!(flushed(&mut to_release), [(2, 1)]);
        assert_eq!((space.take(2), space.warm()), (at(0, 0), 0));
    }

    #[test]
    fn the_longest_free_goes_first_and_from_its_end() {
        let mut space = Space::new(PAGE, 64 * PAGE);
        let mut to_release = PagesToRelease::default();
        let (first, second) = (space.take(2), space.take(0));
        assert_eq!((first, second), (at(0, 0), at(4, 0)));
        space.put(2, 0, 4 * PAGE);
        space.put(0, 4 * PAGE, PAGE);
        assert_eq!(space.give_coldest(1, &mut to_release), 1);
        assert_eq!((flushed(&mut to_release), space.warm()), (vec![(3, 1)], 4 * PAGE));
        assert_eq!(space.give_coldest(4 * PAGE, &mut to_release), 4 * PAGE);
        assert_eq!((flushed(&mut to_release), space.warm()), (vec![(0, 3), (4, 1)], 0));
        assert_eq!(space.give_coldest(PAGE, &mut to_release), 0);
    }

    #[test]
    fn only_what_stayed_free_is_trimmed() {
        let mut space = Space::new(PAGE, 64 * PAGE);
        let mut to_release = PagesToRelease::default();
        let offsets: Vec<u64> = (0..3).filter_map(|_| Some(space.take(0)?.offset)).collect();
        for &offset in &offsets {
            space.put(0, offset, PAGE);
        }
        space.trim(&mut to_release);
        assert_eq!(flushed(&mut to_release), []);
        assert_eq!(space.take(0), at(2, 1));
        space.put(0, offsets[2], PAGE);
        space.trim(&mut to_release);
        assert_eq!(flushed(&mut to_release), [(0, 2)]);
        assert_eq!(space.take(0), at(2, 1));
    }
}
