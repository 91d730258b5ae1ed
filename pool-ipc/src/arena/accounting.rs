//! The accounting of an arena: which bytes are live, which are warm, and what the limit says. Pure
//! logic, no memory is touched.
//!
//! Invariant: every page that may hold memory is counted once, as live (in a live block) or as warm
//! (touched earlier, not in use), and after each operation live + warm is at most the limit, or at
//! most the live bytes if a block was let in past the limit. So the limit bounds the memory that
//! the arena takes, but for such blocks.

use super::{
    block::{ArenaFull, Block},
    pages_to_release::PagesToRelease,
    slabs::{ByOffset, SlabChange, Slabs},
    space::{Space, Taken},
};

/// When pages go back to make room, at least so many bytes go back, so that not every allocation
/// pays for a system call.
const GIVE_AT_LEAST: u64 = 256 << 10;

/// A live block of whole pages.
#[derive(Clone, Copy, Debug)]
struct Whole {
    class: usize,
    len: u64,
    /// Bytes from its start that may hold memory from an earlier life.
    touched: u64,
}

impl Whole {
    /// Warm bytes behind what is in use.
    fn slack(&self) -> u64 {
        self.touched.saturating_sub(self.len)
    }
}

#[derive(Debug)]
pub(super) struct Accounting {
    page: u64,
    limit: u64,
    /// Bytes of live blocks of whole pages, and of slabs with live parts.
    live: u64,
    /// Warm bytes behind live blocks.
    slack: u64,
    blocks: usize,
    wholes: ByOffset<Whole>,
    slabs: Slabs,
    space: Space,
    to_release: PagesToRelease,
}

impl Accounting {
    /// The accounting of `capacity` bytes of address space, of which `limit` may hold memory.
    pub(super) fn new(page: u64, capacity: u64, limit: u64) -> Self {
        let space = Space::new(page, capacity / page * page);
        // An empty space has room for one block of its largest class, so every block within the
        // limit fits sometime.
        let limit = limit.min(space.largest()) / page * page;
        Self {
            page,
            limit,
            live: 0,
            slack: 0,
            blocks: 0,
            wholes: ByOffset::default(),
            slabs: Slabs::new(page),
            space,
            to_release: PagesToRelease::default(),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Raises the limit so that a block of `len` bytes fits, if the space has one.
    pub(super) fn raise_limit(&mut self, len: u64) {
        let len = len.max(1).min(self.space.largest()).next_multiple_of(self.page);
        self.limit = self.limit.max((self.live + len).min(self.space.largest()));
    }

    /// Allocates at least `len` bytes although live blocks leave no room; `len` alone fits the
    /// limit.
    pub(super) fn alloc_past_limit(
        &mut self,
        len: u64,
        give: impl FnMut(u64, u64),
    ) -> Result<Block, ArenaFull> {
        let limit = self.limit;
        if len > limit {
            return Err(self.refuse(len, give));
        }
        self.raise_limit(len);
        let block = self.alloc(len, give);
        self.limit = limit;
        block
    }

    /// Bytes of pages with live blocks.
    pub(super) fn used(&self) -> u64 {
        self.live
    }

    /// Bytes of pages that hold memory and are not in use.
    pub(super) fn warm(&self) -> u64 {
        self.slack + self.space.warm() + self.slabs.empty() * self.page
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Allocates a block of at least `len` bytes; calls `give` with the ranges to be given back
    /// first.
    #[inline]
    pub(super) fn alloc(
        &mut self,
        len: u64,
        give: impl FnMut(u64, u64),
    ) -> Result<Block, ArenaFull> {
        match self.slabs.class_of(len) {
            Some(class) => self.alloc_part(class, len, give),
            None => self.alloc_whole(len, give),
        }
    }

    /// Frees a block; returns whether it was live.
    #[inline]
    pub(super) fn free(&mut self, block: Block) -> bool {
        let freed = match self.slabs.class_of(block.len) {
            Some(class) => self.free_part(class, block.offset),
            None => self.free_whole(block.offset),
        };
        self.blocks -= usize::from(freed.is_some());
        freed.is_some()
    }

    /// Keeps only the first `used` bytes of a live block, the only ones that were touched. `None`
    /// if it is not live.
    pub(super) fn shrink(&mut self, block: Block, used: u64) -> Option<Block> {
        if self.slabs.class_of(block.len).is_some() {
            return Some(block);
        }
        let whole = self.wholes.get_mut(&block.offset)?;
        let len = used.max(1).next_multiple_of(self.page).min(whole.len);
        self.live -= whole.len - len;
        self.slack -= whole.slack();
        whole.len = len;
        self.slack += whole.slack();
        Some(Block { offset: block.offset, len })
    }

    /// Gives back the pages of blocks that stayed free since the last call.
    pub(super) fn trim(&mut self, give: impl FnMut(u64, u64)) {
        let Self { slabs, space, to_release, page, .. } = self;
        space.trim(to_release);
        slabs.trim(|offset| {
            to_release.push(offset, *page);
            space.put(0, offset, 0);
        });
        to_release.flush(give);
    }

    #[inline]
    fn alloc_part(
        &mut self,
        class: usize,
        len: u64,
        give: impl FnMut(u64, u64),
    ) -> Result<Block, ArenaFull> {
        let offset = match self.slabs.take(class) {
            Some((offset, change)) => {
                self.live += if change == SlabChange::Switched { self.page } else { 0 };
                offset
            }
            None => self.cut(class, len, give)?,
        };
        self.blocks += 1;
        Ok(Block { offset, len: self.slabs.size(class) })
    }

    #[inline]
    fn cut(
        &mut self,
        class: usize,
        len: u64,
        give: impl FnMut(u64, u64),
    ) -> Result<u64, ArenaFull> {
        let Some(page) = self.admit(0, self.page) else {
            return Err(self.refuse(len, give));
        };
        self.slabs.cut(class, page.offset);
        self.live += self.page;
        self.settle(give);
        Ok(page.offset)
    }

    fn alloc_whole(&mut self, wanted: u64, give: impl FnMut(u64, u64)) -> Result<Block, ArenaFull> {
        if wanted > self.limit {
            return Err(self.refuse(wanted, give));
        }
        let len = wanted.next_multiple_of(self.page);
        let class = self.space.class_of(len);
        let Some(Taken { offset, touched }) = self.admit(class, len) else {
            return Err(self.refuse(wanted, give));
        };
        let whole = Whole { class, len, touched };
        self.wholes.insert(offset, whole);
        self.live += len;
        self.slack += whole.slack();
        self.blocks += 1;
        self.settle(give);
        Ok(Block { offset, len })
    }

    #[inline]
    fn free_part(&mut self, class: usize, offset: u64) -> Option<()> {
        let change = self.slabs.put(class, offset)?;
        self.live -= if change == SlabChange::Switched { self.page } else { 0 };
        Some(())
    }

    fn free_whole(&mut self, offset: u64) -> Option<()> {
        let whole = self.wholes.remove(&offset)?;
        self.live -= whole.len;
        self.slack -= whole.slack();
        self.space.put(whole.class, offset, whole.touched.max(whole.len));
        Some(())
    }

    /// A free block for `len` bytes, if they fit the limit once everything warm is given back.
    #[inline]
    fn admit(&mut self, class: usize, len: u64) -> Option<Taken> {
        if len > self.limit.saturating_sub(self.live) {
            return None;
        }
        self.space.take(class).or_else(|| {
            let Self { slabs, space, to_release, page, .. } = self;
            slabs.release_empty(|offset| {
                to_release.push(offset, *page);
                space.put(0, offset, 0);
            });
            space.coalesce(class, to_release);
            space.take(class)
        })
    }

    /// Brings live + warm back under the limit after `live` grew.
    #[inline]
    fn settle(&mut self, give: impl FnMut(u64, u64)) {
        let held = self.live + self.warm();
        let most = self.limit.max(self.live);
        if held > most {
            self.reclaim(held - most);
        }
        self.to_release.flush(give);
    }

    /// Gives back warm pages: the coldest first, then those behind live blocks, then empty slabs,
    /// which are few.
    #[cold]
    fn reclaim(&mut self, excess: u64) {
        let Self { slabs, space, to_release, page, .. } = self;
        if space.give_coldest(excess.max(GIVE_AT_LEAST), to_release) >= excess {
            return;
        }
        for (&offset, whole) in self.wholes.iter_mut().filter(|(_, whole)| whole.slack() > 0) {
            to_release.push(offset + whole.len, whole.slack());
            whole.touched = whole.len;
        }
        self.slack = 0;
        if self.live + space.warm() + slabs.empty() * *page > self.limit.max(self.live) {
            slabs.release_empty(|offset| {
                to_release.push(offset, *page);
                space.put(0, offset, 0);
            });
        }
        debug_assert!(
            self.live + self.warm() <= self.limit.max(self.live),
            "more is warm than the limit leaves"
        );
    }

    #[cold]
    fn refuse(&mut self, wanted: u64, give: impl FnMut(u64, u64)) -> ArenaFull {
        self.to_release.flush(give);
        ArenaFull { wanted: wanted.max(1), used: self.live, limit: self.limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn accounting(capacity: u64, limit: u64) -> Accounting {
        Accounting::new(PAGE, capacity * PAGE, limit * PAGE)
    }

    fn nothing(offset: u64, len: u64) {
        panic!("gave {len} bytes at {offset} back");
    }

    fn collect(pages: &mut Vec<(u64, u64)>) -> impl FnMut(u64, u64) {
        |offset, len| pages.push((offset / PAGE, len / PAGE))
    }

    #[test]
    fn blocks_are_aligned_and_large_enough() {
        let mut accounting = accounting(1 << 22, 1 << 20);
        for len in [0, 1, 127, 128, 129, 2048, 2049, PAGE, PAGE + 1, 5 * PAGE, 3 << 30] {
            let block = accounting.alloc(len, nothing).unwrap();
            assert!(block.len >= len.max(1), "{block:?} for {len}");
            assert!(block.offset.is_multiple_of(if len > PAGE / 2 { PAGE } else { 128 }));
        }
    }

    #[test]
    fn the_block_freed_last_comes_first() {
        for len in [100, 3 * PAGE] {
            let mut accounting = accounting(1 << 20, 1 << 20);
            let blocks: Vec<_> = (0..8).map(|_| accounting.alloc(len, nothing).unwrap()).collect();
            for index in [3, 0, 7] {
                assert!(accounting.free(blocks[index]));
            }
            for index in [7, 0, 3] {
                assert_eq!(accounting.alloc(len, nothing).unwrap(), blocks[index]);
            }
        }
    }

    #[test]
    fn what_was_asked_for_counts_and_not_the_class() {
        let mut accounting = accounting(1 << 20, 15);
        let blocks: Vec<_> = (0..3).map(|_| accounting.alloc(5 * PAGE, nothing).unwrap()).collect();
        assert_eq!(accounting.used(), 15 * PAGE);
        let full = accounting.alloc(1, nothing).unwrap_err();
        assert_eq!(full, ArenaFull { wanted: 1, used: 15 * PAGE, limit: 15 * PAGE });
        assert!(!full.never_fits());
        assert!(accounting.alloc(15 * PAGE + 1, nothing).unwrap_err().never_fits());
        assert!(accounting.alloc(u64::MAX, nothing).unwrap_err().never_fits());
        blocks.into_iter().for_each(|block| assert!(accounting.free(block)));
        assert_eq!(
            (accounting.used(), accounting.warm(), accounting.is_empty()),
            (0, 15 * PAGE, true)
        );
    }

    #[test]
    fn warm_pages_make_room() {
        let mut accounting = accounting(1 << 20, 8);
        let mut to_release = Vec::new();
        let large = accounting.alloc(6 * PAGE, nothing).unwrap();
        accounting.free(large);
        accounting.alloc(4 * PAGE, collect(&mut to_release)).unwrap();
        // A page or two would not be worth the system call.
        assert_eq!(to_release, [(0, 6)]);
        assert_eq!((accounting.used(), accounting.warm()), (4 * PAGE, 0));
    }

    #[test]
    fn pages_behind_a_live_block_make_room_too() {
        let mut accounting = accounting(1 << 20, 8);
        let mut to_release = Vec::new();
        let large = accounting.alloc(8 * PAGE, nothing).unwrap();
        accounting.free(large);
        let smaller = accounting.alloc(5 * PAGE, nothing).unwrap();
        assert_eq!(
            (smaller.offset, accounting.used(), accounting.warm()),
            (large.offset, 5 * PAGE, 3 * PAGE)
        );
        accounting.alloc(3 * PAGE, collect(&mut to_release)).unwrap();
        assert_eq!((to_release, accounting.warm()), (vec![(5, 3)], 0));
    }

    #[test]
    fn empty_slabs_make_room_too() {
        let mut accounting = accounting(1 << 20, 8);
        let mut to_release = Vec::new();
        let small = accounting.alloc(1, nothing).unwrap();
        accounting.free(small);
        assert_eq!((accounting.used(), accounting.warm()), (0, PAGE));
        accounting.alloc(8 * PAGE, collect(&mut to_release)).unwrap();
        assert_eq!((to_release, accounting.warm()), (vec![(0, 1)], 0));
    }

    #[test]
    fn shrunk_blocks_count_less() {
        let mut accounting = accounting(1 << 20, 8);
        let block = accounting.alloc(8 * PAGE, nothing).unwrap();
        let block = accounting.shrink(block, PAGE + 1).unwrap();
        assert_eq!((block.len, accounting.used(), accounting.warm()), (2 * PAGE, 2 * PAGE, 0));
        accounting.alloc(6 * PAGE, nothing).unwrap();
        assert!(accounting.free(block));
        assert_eq!(accounting.warm(), 2 * PAGE);
    }

    #[test]
    fn only_live_blocks_are_freed() {
        let mut accounting = accounting(1 << 20, 8);
        let (small, large) =
            (accounting.alloc(1, nothing).unwrap(), accounting.alloc(PAGE, nothing).unwrap());
        assert!(accounting.free(small) && accounting.free(large));
        assert!(!accounting.free(small) && !accounting.free(large));
        assert_eq!((accounting.used(), accounting.is_empty()), (0, true));
    }

    #[test]
    fn trim_gives_what_stayed_free() {
        let mut accounting = accounting(1 << 20, 64);
        let mut to_release = Vec::new();
        let small = accounting.alloc(1, nothing).unwrap();
        let large = accounting.alloc(3 * PAGE, nothing).unwrap();
        accounting.free(small);
        accounting.free(large);
        accounting.trim(nothing);
        accounting.trim(collect(&mut to_release));
        assert_eq!((to_release, accounting.warm()), (vec![(0, 1), (4, 3)], 0));
        accounting.trim(nothing);
    }

    #[test]
    fn an_empty_arena_has_room_up_to_its_limit() {
        let mut accounting = accounting(16, 100);
        assert_eq!(accounting.limit(), 16 * PAGE);
        let small: Vec<_> = (0..16 * 32).map(|_| accounting.alloc(1, nothing).unwrap()).collect();
        assert!(accounting.alloc(1, nothing).is_err());
        small.into_iter().for_each(|block| assert!(accounting.free(block)));
        let mut to_release = Vec::new();
        let all = accounting.alloc(16 * PAGE, collect(&mut to_release)).unwrap();
        assert_eq!((all.offset, to_release), (0, vec![(0, 16)]));
    }
}
