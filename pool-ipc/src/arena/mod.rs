//! Memory that one process allocates from and all others read.
//!
//! Invariant: a block's memory is shared and the accounting of it is private to the owner, so the
//! death of any process leaves every other's arena in order.
//!
//! * `arena.rs`: an arena: accounting over a mapping of a segment.
//! * `block.rs`: a piece of an arena, and the error when there is no room for one.
//! * `accounting.rs`: the rules: which bytes are live, which are warm, and what the limit says.
//! * `space.rs`: address space in blocks of 2^n pages; `slabs.rs`: blocks smaller than a page.
//! * `pages_to_release.rs`: the pages that go back to the system at the end of an operation.
//! * `memory_limits.rs`: how much memory and address space an arena should take on this machine.
//! * `accounting_model.rs`: tests of the accounting against a model that knows every page.

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
