//! `Block`, a piece of an arena, and `ArenaFull`, the error when there is no room for one.
//!
//! Invariant: plain values; a block means something only together with the arena it came from.

use std::{error::Error, fmt};

/// A piece of an arena. A block names memory and does not own it: only the arena's owner may free
/// it, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes from the start of the arena; a multiple of 128, and of the page size for blocks of a
    /// page or more.
    pub offset: u64,
    /// Usable bytes, at least as many as were asked for.
    pub len: u64,
}

/// An arena has no room for a block.
///
/// Unless it [never fits](ArenaFull::never_fits), try again after freeing blocks: an empty arena
/// has room for every block up to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaFull {
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes that live blocks take.
    pub used: u64,
    /// Bytes that blocks may take together.
    pub limit: u64,
}

impl ArenaFull {
    /// Whether no amount of freeing will help: more was asked for than the arena may ever take.
    pub fn never_fits(&self) -> bool {
        self.wanted > self.limit
    }
}

impl fmt::Display for ArenaFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, used, limit } = self;
        if self.never_fits() {
            write!(f, "{wanted} bytes are more than the arena's limit of {limit}")
        } else {
            write!(f, "no room for {wanted} bytes: {used} of {limit} are in use")
        }
    }
}

impl Error for ArenaFull {}
