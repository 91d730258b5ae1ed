//! What a pool calls at the beginning of each worker's life, and the state that the worker has from that.
//!
//! `hooks.rs` are the user's functions with their types erased, `papers.rs` is how they cross to other processes.
//! `bounds.rs` is what a worker may do and take at most.

mod bounds;
mod hooks;
mod papers;

#[cfg(feature = "threads")]
pub(crate) use bounds::become_daemon_thread;
pub(crate) use bounds::{Bounds, become_daemon, is_in_daemon, nanos};
pub use hooks::WorkerLife;
pub(crate) use hooks::{Around, Init, State};
pub(crate) use papers::LifePapers;
