//! The process between a pool and its workers: starts them, reaps them, outlives nobody.
//!
//! One thread for life, no user code. `protocol.rs` is what parent and zygote say to each other,
//! `reign.rs` what the zygote does, `ending.rs` what becomes of workers that get a SIGTERM,
//! `nursery.rs` how it gets workers from a template, `guard.rs` who stands above it, `link.rs` the
//! parent's end.

mod births;
mod clocks;
mod ending;
mod guard;
mod link;
mod nursery;
mod papers;
mod protocol;
mod reign;

pub(crate) use guard::{reign_below, reign_fresh, reign_guarded};
pub(crate) use link::{ZygoteLink, reap_orphan};
pub(crate) use papers::{ZygoteFds, ZygotePapers};
pub(crate) use protocol::{ClaimedChunk, Order, Report, StartFault, send_order};
