//! What a pool calls at the beginning of each worker's life, and the state that the worker has from that.
//!
//! `hooks.rs` are the user's functions with their types erased, `papers.rs` is how they cross to other processes.

mod hooks;
mod papers;

pub use hooks::WorkerLife;
pub(crate) use hooks::{Around, Init, State};
pub(crate) use papers::LifePapers;
