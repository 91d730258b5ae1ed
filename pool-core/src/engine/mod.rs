//! The scheduling engine: plain values fed with events, answering with actions. No I/O, no clock, no
//! start method.
//!
//! `dispatch.rs` keeps the books of chunks, slots and workers of one crew; `sizing.rs` decides how
//! many items make a chunk; `window.rs` how many items may be under way.

mod dispatch;
mod jobs;
mod sizing;
mod window;

pub(crate) use dispatch::{Action, Chunk, Delivery, Engine, Overrun, Why};
pub(crate) use jobs::{JobId, JobTable};
pub(crate) use sizing::{Sizer, SizingRules};
pub(crate) use window::Window;
