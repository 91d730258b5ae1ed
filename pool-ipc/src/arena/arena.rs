//! An arena: accounting over a mapping of a segment.
//!
//! Invariant: a process that maps the same segment may read a block from the moment it is told of
//! it until it says it is done; the owner, which alone has the accounting, frees a block only then.

use std::fmt;

use pool_shm::{Error, Mapping, Segment, limits::page_size};

use crate::primitive::prefetch_for_writing;

use super::{
    accounting::Accounting,
    block::{ArenaFull, Block},
};

/// Memory that one process allocates blocks from and that others map read-only.
///
/// The accounting is private memory of the owner. Blocks freed last are reused first, since their
/// pages hold memory already: the first touch of a page costs ten times the copy into it. Live
/// blocks and free ones that still hold memory stay under a limit together.
///
/// ```
/// use pool_ipc::Arena;
/// use pool_shm::Segment;
///
/// let segment = Segment::create("arena", 1 << 30)?; // address space, no memory
/// let mut arena = Arena::new(&segment, 64 << 20)?;
/// let block = arena.alloc(1000)?;
/// // SAFETY: the block is live and has at least 1000 bytes, and no other code knows of it.
/// unsafe { arena.ptr(block).write_bytes(7, 1000) };
/// arena.free(block);
/// assert!(arena.is_empty());
/// assert_eq!(arena.alloc(1000)?, block);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Arena {
    mapping: Mapping,
    accounting: Accounting,
}

impl Arena {
    /// An arena over the whole of `segment`; the arena takes at most `limit_bytes` of memory.
    ///
    /// The limit is rounded down to whole pages, and is no more than the largest power of two that
    /// fits the segment. The segment's descriptor is not needed afterwards. Forked children get the
    /// mapping unless [`dont_fork`](Mapping::dont_fork) is called on [`mapping`](Self::mapping).
    ///
    /// # Errors
    ///
    /// [`Error::Os`] when the address space is used up, [`Error::MemoryLocked`] where the program
    /// may lock no more of what it maps.
    pub fn new(segment: &Segment, limit_bytes: u64) -> Result<Self, Error> {
        let mapping = segment.map_unlocked()?;
        let accounting = Accounting::new(page_size() as u64, mapping.len() as u64, limit_bytes);
        Ok(Self { mapping, accounting })
    }

    /// Allocates a block of at least `len` bytes; the content is what its last user left in it.
    ///
    /// Its offset is a multiple of 128, and of the page size if it takes more than half a page.
    /// Blocks of a page or more count against the limit with `len` rounded up to pages; smaller
    /// ones share pages.
    ///
    /// # Errors
    ///
    /// [`ArenaFull`] when live blocks leave no room, or when `len` alone exceeds the limit.
    #[inline]
    pub fn alloc(&mut self, len: u64) -> Result<Block, ArenaFull> {
        let Self { mapping, accounting } = self;
        let block = accounting.alloc(len, |offset, len| give_back(mapping, offset, len))?;
        // The CPU that read the block last still has its first line, which is about to be written.
        prefetch_for_writing(self.ptr(block));
        Ok(block)
    }

    /// Allocates a block and raises the limit if need be: for the last block of an owner that is
    /// about to end.
    ///
    /// # Errors
    ///
    /// [`ArenaFull`] when the address space has no room for it.
    pub fn alloc_last(&mut self, len: u64) -> Result<Block, ArenaFull> {
        self.accounting.raise_limit(len);
        self.alloc(len)
    }

    /// Allocates a block that fits the limit alone, though not beside the live blocks. The limit
    /// stays what it is, so the caller keeps such blocks few.
    ///
    /// # Errors
    ///
    /// [`ArenaFull`] when `len` alone exceeds the limit, or when the address space has no room for
    /// it.
    pub fn alloc_past_limit(&mut self, len: u64) -> Result<Block, ArenaFull> {
        let Self { mapping, accounting } = self;
        accounting.alloc_past_limit(len, |offset, len| give_back(mapping, offset, len))
    }

    /// Frees a block of this arena that no process uses any more. To free anything else fails a
    /// debug assertion, and does nothing in release builds.
    #[inline]
    pub fn free(&mut self, block: Block) {
        let freed = self.accounting.free(block);
        // The next block is probably this one, and the CPU that read it last still has its first
        // line.
        prefetch_for_writing(self.ptr(block));
        debug_assert!(freed, "{block:?} is not live");
    }

    /// Keeps the first `used` bytes of a live block of which the rest was not touched, so that the
    /// rest does not count against the limit. Returns what is left; either value frees it.
    pub fn shrink(&mut self, block: Block, used: u64) -> Block {
        let left = self.accounting.shrink(block, used);
        debug_assert!(left.is_some(), "{block:?} is not live");
        left.unwrap_or(block)
    }

    /// Gives back the memory of free blocks that were not used since the last call. Costs next to
    /// nothing when there are none.
    pub fn trim(&mut self) {
        let Self { mapping, accounting } = self;
        accounting.trim(|offset, len| give_back(mapping, offset, len));
    }

    /// Where a live block of this arena begins.
    #[inline]
    pub fn ptr(&self, block: Block) -> *mut u8 {
        debug_assert!(
            block.offset.checked_add(block.len).is_some_and(|end| end <= self.mapping.len() as u64),
            "{block:?} is not of this arena"
        );
        self.mapping.as_ptr().wrapping_add(block.offset as usize)
    }

    /// Bytes that live blocks take, in whole pages.
    pub fn used(&self) -> u64 {
        self.accounting.used()
    }

    /// Bytes that are not in use and still hold memory.
    pub fn warm(&self) -> u64 {
        self.accounting.warm()
    }

    /// Whether no block is live.
    pub fn is_empty(&self) -> bool {
        self.accounting.is_empty()
    }

    /// Bytes that [`used`](Self::used) and [`warm`](Self::warm) never exceed together. An empty
    /// arena has room for one block of that size.
    pub fn limit(&self) -> u64 {
        self.accounting.limit()
    }

    /// The mapping, to keep it from forked children for example.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("mapping", &self.mapping)
            .field("used", &self.used())
            .field("warm", &self.warm())
            .field("limit", &self.limit())
            .finish()
    }
}

/// Gives pages of free blocks back. The kernel refuses only for memory locked by `mlock`; then the
/// pages stay, and become warm again without counting until their block is used next.
fn give_back(mapping: &Mapping, offset: u64, len: u64) {
    let result = mapping.discard(offset, len);
    debug_assert!(!matches!(result, Err(Error::OutOfRange { .. } | Error::ReadOnly)), "{result:?}");
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::linux::fs::MetadataExt};

    use super::*;

    fn arena(limit_bytes: u64) -> (Segment, Arena) {
        let segment = Segment::create("arena", 64 << 30).unwrap();
        let arena = Arena::new(&segment, limit_bytes).unwrap();
        (segment, arena)
    }

    fn held(segment: &Segment) -> u64 {
        let file = File::from(segment.try_clone().unwrap().into_fd());
        file.metadata().unwrap().st_blocks() * 512
    }

    fn fill(arena: &Arena, block: Block, byte: u8) {
        // SAFETY: the block is live and only this test knows of it.
        unsafe { arena.ptr(block).write_bytes(byte, block.len as usize) };
    }

    #[test]
    fn memory_is_taken_at_the_first_touch_and_given_back_by_the_second_trim() {
        let (segment, mut arena) = arena(1 << 30);
        let block = arena.alloc(1 << 20).unwrap();
        assert_eq!(held(&segment), 0);
        fill(&arena, block, 1);
        assert_eq!(held(&segment), 1 << 20);
        arena.free(block);
        arena.trim();
        assert_eq!((held(&segment), arena.warm()), (1 << 20, 1 << 20));
        arena.trim();
        assert_eq!((held(&segment), arena.warm()), (0, 0));
    }

    #[test]
    fn the_limit_bounds_what_is_held() {
        let (segment, mut arena) = arena(4 << 20);
        for round in 1..6_u64 {
            for len in [1 << 20, 300 << 10, 10 << 10, 100] {
                let blocks: Vec<_> = (0..round).map_while(|_| arena.alloc(len).ok()).collect();
                blocks.iter().for_each(|&block| fill(&arena, block, 1));
                assert!(held(&segment) <= arena.limit());
                blocks.into_iter().for_each(|block| arena.free(block));
            }
        }
    }

    #[test]
    fn readers_see_blocks() {
        let (segment, mut arena) = arena(1 << 20);
        let reader = segment.map_read_only().unwrap();
        drop(segment);
        arena.mapping().dont_fork().unwrap();
        let blocks = [100, 10_000].map(|len| arena.alloc(len).unwrap());
        for (byte, block) in (1..).zip(blocks) {
            fill(&arena, block, byte);
            let last = reader.as_ptr().wrapping_add((block.offset + block.len - 1) as usize);
            // SAFETY: inside the segment, and only this test writes it.
            assert_eq!(unsafe { last.read() }, byte);
        }
    }

    #[test]
    fn several_gibibytes_in_one_block() {
        let (segment, mut arena) = arena(8 << 30);
        let block = arena.alloc(5 << 30).unwrap();
        let last = arena.ptr(block).wrapping_add(block.len as usize - 1);
        // SAFETY: the last byte of a live block that only this test knows of.
        unsafe { last.write(1) };
        assert_eq!(held(&segment), page_size() as u64);
        let full = arena.alloc(4 << 30).unwrap_err();
        assert_eq!((full.used, full.never_fits()), (5 << 30, false));
        arena.free(block);
        assert!(arena.alloc(4 << 30).is_ok());
        assert!(arena.alloc(9 << 30).unwrap_err().never_fits());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "is not live")]
    fn freeing_twice_is_a_debug_assertion() {
        let (_segment, mut arena) = arena(1 << 20);
        let block = arena.alloc(1).unwrap();
        arena.free(block);
        arena.free(block);
    }
}
