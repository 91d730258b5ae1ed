//! One call of the map family, in the thread that made the call: pulls items, sends chunks, takes
//! results.
//!
//! `run.rs` is the loop, `input.rs` what it pulls, `lane.rs` the way to workers of either kind
//! (`processes.rs` with `stock.rs`, `threads.rs`), `arrivals.rs` puts results in order,
//! `finish.rs`, `attempt.rs` and `stream.rs` are what callers do with them, `aside.rs` is for jobs
//! without a caller. `turn.rs` says which worker a chunk is for, `single.rs` is the short way of
//! one item. `chunks.rs` cuts an input as a job would, without one; `loan.rs` says what became of
//! what tasks had borrowed. `in_call.rs` knows what the calling thread is inside of, `knots.rs`
//! which waits of such code would be for each other.

mod arrivals;
mod aside;
mod attempt;
mod chunks;
mod finish;
mod in_call;
mod input;
mod knots;
mod lane;
mod loan;
mod processes;
mod run;
mod single;
mod stock;
mod stream;
#[cfg(feature = "threads")]
mod threads;
mod turn;

pub(crate) use aside::{Aside, Counted, weight_of};
pub use attempt::TryError;
pub use chunks::Chunks;
pub(crate) use finish::bad_result;
#[cfg(feature = "threads")]
pub(crate) use in_call::is_within_task_of;
pub(crate) use in_call::{Brought, InCall, Inside, Within, is_delivering, is_inside};
pub(crate) use knots::{Awaits, Waiting};
pub(crate) use lane::Lane;
pub(crate) use loan::Loan;
pub(crate) use processes::ProcessLane;
pub use run::{Job, JobOptions};
pub(crate) use stock::{Stock, given_away_with};
pub use stream::{ResultStream, ValueStream};
#[cfg(feature = "threads")]
pub(crate) use threads::ThreadLane;
