//! Blocks smaller than a page: pages cut into equal parts.
//!
//! Invariant: a part is on its class's free stack exactly if its bit in the slab's `live` is 0; a
//! slab is counted in `empty` exactly if no bit is set.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Bytes of the smallest block, and what every block is a multiple of: two cache lines, since CPUs
/// fetch them in pairs.
const SMALLEST: u64 = 128;

/// Parts of a slab, at most: one bit each.
const PARTS: u64 = u64::BITS as u64;

/// A map from offsets of pages. They differ in their middle bits, and the table looks at the lowest
/// and the highest.
pub(super) type ByOffset<V> = HashMap<u64, V, BuildHasherDefault<OffsetHasher>>;

/// Spreads one multiple of the page size over all bits.
#[derive(Debug, Default)]
pub(super) struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 ^ u64::from(byte)));
    }

    #[inline]
    fn write_u64(&mut self, offset: u64) {
        // 2^64 divided by the golden ratio: neighbours end far apart (Knuth, vol. 3, 6.4).
        let spread = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// A page cut into parts.
#[derive(Debug)]
struct Slab {
    class: usize,
    live: u64,
    /// How many of its free parts `release` has met while it counts.
    met: u64,
}

/// The free parts of one size.
#[derive(Debug, Default)]
struct Class {
    /// The part freed last is at the end.
    free: Vec<u64>,
    /// How many parts at the start stayed free since the last trim.
    idle: usize,
    /// How many parts at the start are known to hold no whole slab.
    without_whole: usize,
}

/// Whether taking or putting a part changed its slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlabChange {
    /// The slab was live and is live.
    None,
    /// The slab changed between live and empty.
    Switched,
}

#[derive(Debug)]
pub(super) struct Slabs {
    page: u64,
    smallest: u64,
    classes: Vec<Class>,
    slabs: ByOffset<Slab>,
    empty: u64,
}

impl Slabs {
    pub(super) fn new(page: u64) -> Self {
        let smallest = SMALLEST.max(page / PARTS);
        let classes = (page / smallest).ilog2();
        let classes = (0..classes).map(|_| Class::default()).collect();
        Self { page, smallest, classes, slabs: ByOffset::default(), empty: 0 }
    }

    /// Slabs without a live part.
    pub(super) fn empty(&self) -> u64 {
        self.empty
    }

    /// The class of blocks that hold `len` bytes, unless that takes a page.
    #[inline]
    pub(super) fn class_of(&self, len: u64) -> Option<usize> {
        // 0 up to the smallest size, 1 up to twice that, and so on.
        let rest = len.saturating_sub(1) >> self.smallest.trailing_zeros();
        (len <= self.page / 2).then(|| (u64::BITS - rest.leading_zeros()) as usize)
    }

    /// Bytes of a block of `class`.
    #[inline]
    pub(super) fn size(&self, class: usize) -> u64 {
        self.smallest << class
    }

    /// Takes the block freed last.
    #[inline]
    pub(super) fn take(&mut self, class: usize) -> Option<(u64, SlabChange)> {
        let list = &mut self.classes[class];
        let offset = list.free.pop()?;
        list.idle = list.idle.min(list.free.len());
        let (page, bit) = self.place(offset, class);
        let slab = self.slabs.get_mut(&page).expect("a free part belongs to a slab");
        let change = change(slab.live);
        slab.live |= bit;
        self.empty -= u64::from(change == SlabChange::Switched);
        Some((offset, change))
    }

    /// Cuts a page; its first part is live.
    pub(super) fn cut(&mut self, class: usize, page: u64) {
        self.slabs.insert(page, Slab { class, live: 1, met: 0 });
        let size = self.size(class);
        let parts = (1..self.page / size).rev().map(|part| page + part * size);
        self.classes[class].free.extend(parts);
    }

    /// Frees a block; `None` if there is no such live block.
    #[inline]
    pub(super) fn put(&mut self, class: usize, offset: u64) -> Option<SlabChange> {
        let (page, bit) = self.place(offset, class);
        let whole = offset.is_multiple_of(self.size(class));
        let slab = self.slabs.get_mut(&page).filter(|slab| slab.class == class && whole)?;
        if slab.live & bit == 0 {
            return None;
        }
        slab.live &= !bit;
        let change = change(slab.live);
        self.empty += u64::from(change == SlabChange::Switched);
        self.classes[class].free.push(offset);
        Some(change)
    }

    /// Calls `gone` with each page that is not a slab any more because all its parts stayed free
    /// since the last call.
    pub(super) fn trim(&mut self, mut gone: impl FnMut(u64)) {
        for class in 0..self.classes.len() {
            let list = &mut self.classes[class];
            list.without_whole = list.without_whole.min(list.idle);
            // The parts below `idle` have not moved; so unless there are more of them than last
            // time, they hold no new whole slab.
            if list.idle > list.without_whole {
                self.release(class, &mut gone);
            }
            let list = &mut self.classes[class];
            list.idle = list.free.len();
        }
    }

    /// Calls `gone` with each page that is not a slab any more because none of its parts is live.
    pub(super) fn release_empty(&mut self, mut gone: impl FnMut(u64)) {
        for class in 0..self.classes.len() {
            if self.empty == 0 {
                return;
            }
            self.classes[class].idle = self.classes[class].free.len();
            self.release(class, &mut gone);
            self.classes[class].idle = 0;
        }
    }

    /// Removes the slabs whose parts are all among the idle ones.
    fn release(&mut self, class: usize, gone: &mut impl FnMut(u64)) {
        let Self { page, slabs, classes, .. } = self;
        let (list, of) = (&mut classes[class], |offset: u64| offset & !(*page - 1));
        let parts = *page / (self.smallest << class);
        let mut whole = Vec::new();
        for &offset in &list.free[..list.idle] {
            let slab = slabs.get_mut(&of(offset)).expect("a free part belongs to a slab");
            slab.met += 1;
            if slab.met == parts {
                whole.push(of(offset));
            }
        }
        for page in &whole {
            slabs.remove(page);
        }
        list.idle -= whole.len() * parts as usize;
        if !whole.is_empty() {
            list.free.retain(|&offset| slabs.contains_key(&of(offset)));
        }
        for &offset in &list.free[..list.idle] {
            slabs.get_mut(&of(offset)).expect("a free part belongs to a slab").met = 0;
        }
        list.without_whole = list.idle;
        self.empty -= whole.len() as u64;
        whole.into_iter().for_each(gone);
    }

    /// The page of a part, and its bit.
    #[inline]
    fn place(&self, offset: u64, class: usize) -> (u64, u64) {
        let within = offset & (self.page - 1);
        (offset - within, 1 << (within >> (self.smallest.trailing_zeros() as usize + class)))
    }
}

/// How a first part, or the loss of the last one, changes a slab whose other parts are `others`.
#[inline]
fn change(others: u64) -> SlabChange {
    if others == 0 { SlabChange::Switched } else { SlabChange::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn classes_are_powers_of_two() {
        let slabs = Slabs::new(PAGE);
        let class = |len| slabs.class_of(len).map(|class| slabs.size(class));
        assert_eq!(
            [0, 1, 128, 129, 1000, 2048].map(class).map(Option::unwrap),
            [128, 128, 128, 256, 1024, 2048]
        );
        assert_eq!(class(2049), None);
        assert_eq!(Slabs::new(1 << 16).class_of(1), Some(0));
        assert_eq!(Slabs::new(1 << 16).size(0), 1024);
    }

    #[test]
    fn freed_last_is_taken_first() {
        let mut slabs = Slabs::new(PAGE);
        assert_eq!(slabs.take(1), None);
        slabs.cut(1, 2 * PAGE);
        assert_eq!(slabs.take(1), Some((2 * PAGE + 256, SlabChange::None)));
        assert_eq!(slabs.put(1, 2 * PAGE), Some(SlabChange::None));
        assert_eq!(slabs.put(1, 2 * PAGE + 256), Some(SlabChange::Switched));
        assert_eq!(slabs.empty(), 1);
        assert_eq!(slabs.take(1), Some((2 * PAGE + 256, SlabChange::Switched)));
        assert_eq!(slabs.take(1), Some((2 * PAGE, SlabChange::None)));
    }

    #[test]
    fn what_is_not_live_is_not_freed() {
        let mut slabs = Slabs::new(PAGE);
        slabs.cut(1, 0);
        for offset in [128, 256, PAGE] {
            assert_eq!(slabs.put(1, offset), None, "{offset}");
        }
        assert_eq!(slabs.put(0, 0), None);
        assert_eq!(slabs.put(1, 0), Some(SlabChange::Switched));
        assert_eq!(slabs.put(1, 0), None);
    }

    #[test]
    fn slabs_go_when_they_stayed_empty() {
        let mut slabs = Slabs::new(PAGE);
        let mut gone = Vec::new();
        for page in [0, 1] {
            slabs.cut(4, page * PAGE); // two parts
            slabs.put(4, page * PAGE);
        }
        slabs.trim(|page| gone.push(page));
        assert!(gone.is_empty());
        let (offset, _) = slabs.take(4).unwrap();
        assert_eq!(offset, PAGE);
        slabs.put(4, offset);
        slabs.trim(|page| gone.push(page));
        assert_eq!((&gone[..], slabs.empty()), (&[0][..], 1));
        slabs.trim(|page| gone.push(page));
        assert_eq!((&gone[..], slabs.empty()), (&[0, PAGE][..], 0));
        assert_eq!(slabs.take(4), None);
    }

    #[test]
    fn only_empty_slabs_are_released() {
        let mut slabs = Slabs::new(PAGE);
        let mut gone = Vec::new();
        for page in [0, 1, 2] {
            slabs.cut(4, page * PAGE);
            slabs.put(4, page * PAGE);
        }
        let (live, _) = slabs.take(4).unwrap();
        slabs.release_empty(|page| gone.push(page));
        gone.sort_unstable();
        assert_eq!((&gone[..], slabs.empty()), (&[0, PAGE][..], 0));
        assert_eq!(slabs.put(4, live), Some(SlabChange::Switched));
    }
}
