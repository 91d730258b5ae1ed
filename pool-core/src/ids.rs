//! The numbers by which callers know workers and futures.
//!
//! Invariant: a pool of `n` workers has those with the numbers below `n`. A worker that replaces
//! another one has its number; an [`Incarnation`](pool_ipc::board::Incarnation) tells them apart.
//! No two futures of a pool have the same number.

use std::fmt;

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
