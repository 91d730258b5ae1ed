//! The numbers by which callers know workers, futures and items.
//!
//! Invariant: a pool of `n` workers has those with the numbers below `n`. A worker that replaces
//! another one has its number; an [`Incarnation`](pool_ipc::board::Incarnation) tells them apart.
//! No two futures of a pool have the same number, and no two items of a call. The calls that share
//! the job of a queue are its items, each under a number that no other call under way has.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A number for a call that no other call of this process has.
pub(crate) fn next_call_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// The number of a worker in its pool, which is its place on the board, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct WorkerId(u32);

impl WorkerId {
    /// The first worker; failures that no worker reports name it, too.
    pub(crate) const FIRST: Self = Self(0);

    /// The worker with this number.
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The worker at this position of a table with an entry for each worker.
    pub(crate) const fn from_index(index: usize) -> Self {
        Self(index as u32)
    }

    /// The worker's number.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The worker's position in a table with an entry for each worker.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a future in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct FutureId(u64);

impl FutureId {
    /// The future with this number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The future's number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FutureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The position of an item in the input of its call, from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct ItemIndex(u64);

impl ItemIndex {
    /// The first item, and that of a call with one item.
    pub(crate) const FIRST: Self = Self(0);

    /// The item at this position.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The item's position.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// The item that is `items` items further on.
    pub(crate) const fn after(self, items: usize) -> Self {
        Self(self.0 + items as u64)
    }

    /// This item and those behind it.
    pub(crate) fn onwards(self) -> impl Iterator<Item = Self> {
        (self.0..).map(Self)
    }
}

impl fmt::Display for ItemIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
