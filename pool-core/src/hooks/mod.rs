//! What a pool calls at the beginning and the end of each worker, and the state that the worker has
//! in between.
//!
//! * `functions.rs`: the user's functions with their types erased.
//! * `offsets.rs`: how they cross to other processes: by their offsets in the image.
//! * `limits.rs`: what a worker may do and take at most.
//! * `exit_results.rs`: what workers have left behind, until the user asks.

mod exit_results;
mod functions;
mod limits;
mod offsets;

pub(crate) use exit_results::{ExitResult, Exits};
pub use functions::WorkerLife;
pub(crate) use functions::{Around, Exit, Init, State};
#[cfg(feature = "threads")]
pub(crate) use limits::become_daemon_thread;
pub(crate) use limits::{Bounds, become_daemon, is_in_daemon};
pub(crate) use offsets::{FunctionOffsets, HookOffsets};
