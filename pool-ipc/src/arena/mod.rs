//! Memory that one process allocates from and all others read.
//!
//! Invariant: a block's memory is shared and the accounting of it is private to the owner, so the
//! death of any process leaves every other's arena in order. Start at `arena.rs`; the rules are in
//! `accounting.rs`.

mod accounting;
#[cfg(test)]
mod accounting_model;
mod allowance;
#[expect(clippy::module_inception, reason = "the type that gave the folder its name")]
mod arena;
mod block;
mod given;
mod slabs;
mod space;

pub use allowance::{NoAddressSpace, default_limit, reservation};
pub use arena::Arena;
pub use block::{ArenaFull, Block};
