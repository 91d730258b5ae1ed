//! The start methods: one file each, behind one private trait. They start the zygote, which
//! starts the workers (`zygote/fork_workers.rs`, `zygote/template_starts.rs`).
//!
//! * `select.rs`: finds the file of a start method.
//! * `fork.rs`, `forkserver.rs`, `spawn.rs`, `threads.rs`: the start methods; `fresh.rs`: the
//!   common part of ForkServer and Spawn.
//! * `backend.rs`: the workers of a pool, processes or threads.

mod backend;
#[cfg(feature = "fork")]
mod fork;
#[cfg(feature = "forkserver")]
mod forkserver;
#[cfg(any(feature = "forkserver", feature = "spawn"))]
mod fresh;
mod select;
#[cfg(feature = "spawn")]
mod spawn;
#[cfg(feature = "threads")]
mod threads;

pub(crate) use backend::{Backend, BackendClaim, WeakBackend};
#[cfg(feature = "fork")]
pub(crate) use fork::check_fork;
#[cfg(any(feature = "forkserver", feature = "spawn"))]
pub(crate) use fresh::check as check_fresh;
pub(crate) use select::start_of;

use crate::{config::PoolConfig, error::Error, shared::Source};

/// How the workers of a pool are started.
pub(crate) trait Start: Sync {
    /// Refuses options that cannot work, before anything is started.
    fn check(&self, plan: &PoolConfig) -> Result<(), Error>;

    /// Whether the backend is opened when the pool is built, rather than at its first use.
    fn is_eager(&self) -> bool {
        false
    }

    /// Opens the backend: starts the zygote, or the threads.
    fn open(&self, plan: &PoolConfig, shared: &Source) -> Result<Backend, Error>;
}
