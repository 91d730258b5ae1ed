//! Moves between shared and private memory, 16 bytes at a time; one file per architecture.
//!
//! Invariant: each vector at an address aligned to 16 on the shared side is moved in pieces of at
//! least 8 aligned bytes, each accessed as a whole.
//!
//! * `x86_64.rs`: SSE.
//! * `aarch64.rs`: pairs of general registers.
//! * `none.rs`: every element by itself.

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[path = "aarch64.rs"]
mod moves;
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "none.rs"]
mod moves;
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[path = "x86_64.rs"]
mod moves;

/// Bytes that are moved at a time, and to which the shared side is aligned.
pub(super) const VECTOR: usize = 16;

pub(super) use moves::{ARE_THERE, fill, read, write};
