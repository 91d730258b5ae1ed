//! What a pool calls at the beginning and the end of each worker's life, and the state that the worker has in between.
//!
//! `hooks.rs` are the user's functions with their types erased, `papers.rs` is how they cross to other processes, `exits.rs` is
//! what workers have left behind, `bounds.rs` what a worker may do and take at most.

mod bounds;
mod exits;
mod hooks;
mod papers;

#[cfg(feature = "threads")]
pub(crate) use bounds::become_daemon_thread;
pub(crate) use bounds::{Bounds, become_daemon, is_in_daemon, nanos};
pub(crate) use exits::{ExitResult, Exits};
pub use hooks::WorkerLife;
pub(crate) use hooks::{Around, Exit, Init, State};
pub(crate) use papers::LifePapers;
