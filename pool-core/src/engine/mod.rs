//! The scheduling engine: plain values fed with events, answering with actions. No I/O, no clock, no
//! start method.
//!
//! `dispatch.rs` keeps the books of chunks and slots of one crew, `workers.rs` those of its
//! workers, in the words of `chunk.rs`, `addressed.rs` what only one of those may run, `turns.rs`
//! what goes first, `closing.rs` the ends of jobs; `sizing.rs` decides how many items make a chunk;
//! `window.rs` how many items may be under way.

mod addressed;
mod chunk;
mod closing;
mod dispatch;
mod jobs;
mod sizing;
mod turns;
mod window;
mod workers;

pub(crate) use chunk::{Action, Chunk, Delivery, Why};
pub(crate) use dispatch::Engine;
pub(crate) use jobs::{JobId, JobTable};
pub(crate) use sizing::{Sizer, SizingRules};
pub(crate) use window::{Pace, Window};
