//! Memory that one process allocates from and all others read.
//!
//! Invariant: a block's memory is shared and the accounting of it is private to the owner, so the
//! death of any process leaves every other's arena in order. Start at `arena.rs`; the rules are in
//! `accounting.rs`.

mod accounting;
#[cfg(test)]
mod accounting_model;
#[expect(clippy::module_inception, reason = "the type that gave the folder its name")]
mod arena;
mod block;
mod memory_limits;
mod pages_to_release;
mod slabs;
mod space;

pub use arena::Arena;
pub use block::{ArenaFull, Block};
pub use memory_limits::{NoAddressSpace, default_limit, reservation};
