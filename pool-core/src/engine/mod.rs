//! The scheduling engine: plain values that take events and answer with actions. No I/O, no clock,
//! no start method.
//!
//! * `chunk.rs`: a chunk, what the engine is told of it, and what it answers.
//! * `dispatch.rs`: which chunk lies in which slot.
//! * `chunk_ends.rs`: what follows from every end of a chunk.
//! * `submit.rs`: how chunks come in and go back; starts of missing workers.
//! * `workers.rs`: which process is which worker.
//! * `targeted.rs`: chunks that only one worker may run.
//! * `precedence.rs`: whose chunk goes first.
//! * `closing.rs`: the ends of jobs.
//! * `jobs.rs`: a table of the jobs under way.
//! * `sizing.rs`: how many items make the next chunk.
//! * `window.rs`: how many items of a job may be under way.
//! * `measure.rs`: where results end in a block.
//! * `wake.rs`: how much has to arrive before a waiting job is woken.
//! * `dispatch_tests/`: the tests of `dispatch.rs`; `sizing_tests.rs`: those of `sizing.rs`.

mod chunk;
mod chunk_ends;
mod closing;
mod dispatch;
mod jobs;
mod measure;
mod precedence;
mod sizing;
mod submit;
mod targeted;
mod wake;
mod window;
mod workers;

pub(crate) use chunk::{Action, Chunk, Delivery, Why};
pub(crate) use dispatch::Engine;
pub(crate) use jobs::JobId;
pub(crate) use measure::{MeasureResults, measure_results};
pub(crate) use sizing::Sizer;
pub(crate) use sizing::SizingRules;
pub(crate) use wake::Awaited;
pub(crate) use window::{Pace, Window};
