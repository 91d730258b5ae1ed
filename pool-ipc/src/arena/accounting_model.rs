//! The accounting against a model that knows every page: made-up sequences, the same in every run.
//!
//! Invariant of the model: a page holds memory once its block was handed out, until it is given
//! back.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    accounting::Accounting,
    block::{ArenaFull, Block},
};

const PAGE: u64 = 4096;

/// A generator of numbers that look random (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

struct Model {
    accounting: Accounting,
    capacity: u64,
    /// Live blocks by offset.
    live: BTreeMap<u64, u64>,
    /// How many live blocks each page has.
    pages: BTreeMap<u64, u32>,
    /// Numbers of pages that hold memory.
    held: BTreeSet<u64>,
}

impl Model {
    fn new(capacity: u64, limit: u64) -> Self {
        let accounting = Accounting::new(PAGE, capacity, limit);
        let (live, pages, held) = Default::default();
        Self { accounting, capacity, live, pages, held }
    }

    fn alloc(&mut self, len: u64) -> Result<Block, ArenaFull> {
        self.alloc_and_shrink(len, len)
    }

    /// Allocates `len` bytes and touches only the first `used`.
    fn alloc_and_shrink(&mut self, len: u64, used: u64) -> Result<Block, ArenaFull> {
        let mut to_release = Vec::new();
        let result = self.accounting.alloc(len, |offset, len| to_release.push((offset, len)));
        self.give(&to_release);
        let Ok(mut block) = result else {
            self.check();
            return result;
        };
        assert!(block.len >= len && block.offset + block.len <= self.capacity, "{block:?}");
        assert!(block.offset.is_multiple_of(if len >= PAGE { PAGE } else { 128 }));
        if used < len {
            block = self.accounting.shrink(block, used).expect("live");
        }
        let end = block.offset + block.len;
        let before = self.live.range(..end).next_back();
        assert!(
            before.is_none_or(|(start, len)| start + len <= block.offset),
            "{block:?} overlaps"
        );
        self.live.insert(block.offset, block.len);
        for page in pages(block) {
            self.held.insert(page);
            *self.pages.entry(page).or_default() += 1;
        }
        self.check();
        Ok(block)
    }

    fn free(&mut self, block: Block) {
        assert_eq!(self.live.remove(&block.offset), Some(block.len));
        for page in pages(block) {
            let count = self.pages.get_mut(&page).expect("live");
            *count -= 1;
            if *count == 0 {
                self.pages.remove(&page);
            }
        }
        assert!(self.accounting.free(block));
        assert!(!self.accounting.free(block), "{block:?} was freed twice");
        self.check();
    }

    fn trim(&mut self) {
        let mut to_release = Vec::new();
        self.accounting.trim(|offset, len| to_release.push((offset, len)));
        self.give(&to_release);
        self.check();
    }

    fn give(&mut self, to_release: &[(u64, u64)]) {
        for &(offset, len) in to_release {
            assert!(offset.is_multiple_of(PAGE) && len.is_multiple_of(PAGE) && len > 0);
            let before = self.live.range(..offset + len).next_back();
            assert!(before.is_none_or(|(start, size)| start + size <= offset), "live pages go");
            for page in pages(Block { offset, len }) {
                self.held.remove(&page);
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.accounting.used(), self.pages.len() as u64 * PAGE);
        assert_eq!(self.accounting.is_empty(), self.live.is_empty());
        let counted = self.accounting.used() + self.accounting.warm();
        assert!(self.held.len() as u64 * PAGE <= counted, "more is held than counted");
        assert!(counted <= self.accounting.limit(), "more is counted than allowed");
    }
}

fn pages(block: Block) -> Range<u64> {
    block.offset / PAGE..(block.offset + block.len).div_ceil(PAGE)
}

/// Allocates, frees and trims at random, then frees all.
fn play(model: &mut Model, seed: u64, steps: u32, largest: u64, must_fit: bool) {
    let mut numbers = Numbers(seed);
    let mut blocks: Vec<Block> = Vec::new();
    let mut refused = 0;
    for _ in 0..steps {
        match numbers.below(100) {
            // As many sizes between 2^n and 2^(n+1) as between 1 and 2.
            0..48 => {
                let bits = numbers.below(u64::from(largest.ilog2()) + 1);
                let len = (1 << bits) + numbers.below(1 << bits);
                match model.alloc(len.min(largest)) {
                    Ok(block) => blocks.push(block),
                    Err(full) => {
                        refused += 1;
                        let pages = full.wanted.next_multiple_of(PAGE);
                        assert!(!must_fit || full.used + pages > full.limit, "{full:?}");
                    }
                }
            }
            48..96 if !blocks.is_empty() => {
                let index = numbers.below(blocks.len() as u64) as usize;
                model.free(blocks.swap_remove(index));
            }
            96..98 => model.trim(),
            _ => {}
        }
        // Now and then everything ends at once, as when a map ends.
        if numbers.below(500) == 0 {
            blocks.drain(..).for_each(|block| model.free(block));
            let all = model
                .alloc(model.accounting.limit())
                .expect("an empty arena has room for its limit");
            model.free(all);
        }
    }
    assert!(refused > 0, "the limit was never met");
    blocks.into_iter().for_each(|block| model.free(block));
    model.trim();
    model.trim();
    assert_eq!((model.held.len(), model.accounting.used(), model.accounting.warm()), (0, 0, 0));
}

#[test]
fn with_plenty_of_addresses_only_the_limit_refuses() {
    for seed in 1..=4 {
        play(&mut Model::new(1 << 30, 3 << 20), seed, 6000, 1 << 20, true);
    }
}

#[test]
fn with_few_addresses_blocks_are_split_and_joined() {
    for seed in 5..=8 {
        play(&mut Model::new(1 << 20, 1 << 20), seed, 6000, 1 << 18, false);
        play(&mut Model::new((3 << 20) + 5 * PAGE, 1 << 20), seed, 6000, 1 << 20, false);
    }
}

#[test]
fn shrunk_blocks_stay_in_order() {
    let mut model = Model::new(1 << 28, 1 << 20);
    let mut numbers = Numbers(9);
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..4000 {
        if numbers.below(2) == 0 || blocks.is_empty() {
            let len = 1 + numbers.below(100 << 10);
            let used = 1 + numbers.below(len);
            let Ok(block) = model.alloc_and_shrink(len, used) else { continue };
            blocks.push(block);
        } else {
            let index = numbers.below(blocks.len() as u64) as usize;
            model.free(blocks.swap_remove(index));
        }
    }
}

#[test]
fn no_mix_of_sizes_uses_the_addresses_up() {
    // One size after the other, each filling the limit and freed again: addresses for all of them
    // together are not there.
    let mut model = Model::new(8 << 20, 4 << 20);
    for len in [100, 5000, 1 << 13, 70_000, 1 << 18, 1 << 20, 3 << 20, 1, 1 << 22, 2000, PAGE] {
        let mut blocks = Vec::new();
        let full = loop {
            match model.alloc(len) {
                Ok(block) => blocks.push(block),
                Err(full) => break full,
            }
        };
        assert!(full.used + len.next_multiple_of(PAGE) > full.limit / 2, "{full:?}");
        blocks.into_iter().for_each(|block| model.free(block));
    }
}
