//! A crew of worker threads: tasks move by value through a channel, nothing is encoded.
//!
//! Invariant: a chunk that is not cancelled is run by exactly one thread, item by item; every chunk is
//! counted when it ends, also one that never ran; no panic of a task or of a value's `Drop` ends a
//! thread. A forked child, which has none of the threads, finds nothing but refusals here.
//!
//! `crew.rs` are the threads, `claims.rs` counts calls that begin, `busy.rs` those that have
//! something under way, `errands.rs` is how work reaches them, `host.rs` is what each has of its
//! own, `job.rs` is a call as its caller and its chunks see it, with `control.rs` for all that has
//! no types, `chunk.rs` what runs in a thread, `clocks.rs` says which items are overdue,
//! `leavers.rs` which exits.

mod busy;
mod chunk;
mod claims;
mod clocks;
mod control;
mod crew;
mod errands;
mod host;
mod job;
mod leavers;

use std::time::Duration;

use crate::{mutex::lock, worker::drop_quietly};

pub(crate) use crew::{Claim, ThreadCrew, ThreadMark, starts_for};
pub(crate) use host::Host;
pub(crate) use job::{Given, Part, ThreadJob};

/// Whoever looks after clocks sleeps that long in between, however short a limit is: otherwise it would take a CPU, and might not give
/// the lock away that others need to get on.
pub(crate) const SHORTEST_SLEEP: Duration = Duration::from_micros(50);
