//! The start methods: one file each, behind one private trait.

#[cfg(feature = "fork")]
mod fork;
#[cfg(feature = "forkserver")]
mod forkserver;
#[cfg(any(feature = "forkserver", feature = "spawn"))]
mod fresh;
mod method;
mod plan;
#[cfg(feature = "spawn")]
mod spawn;
#[cfg(feature = "threads")]
mod threads;

pub use method::{ParseStartMethodError, StartMethod};
pub(crate) use plan::{Crew, CrewClaim, CrewPlan};

use crate::{error::Error, shared::Source};

/// What a fresh copy of the executable is to be.
pub(crate) const ROLE_ZYGOTE: u64 = 1;
pub(crate) const ROLE_WORKER: u64 = 2;
pub(crate) const ROLE_GUARDED_ZYGOTE: u64 = 3;

/// How the workers of a pool come to life.
pub(crate) trait Start: Sync {
    /// Refuses what cannot work, before anything is started.
    fn check(&self, plan: &CrewPlan) -> Result<(), Error>;

    /// Whether the crew is opened when the pool is built, rather than at its first use.
    fn is_eager(&self) -> bool {
        false
    }

    /// Makes what the workers come from.
    fn open(&self, plan: &CrewPlan, shared: &Source) -> Result<Crew, Error>;
}

/// The start method's own file; a typed error when it was compiled out.
pub(crate) fn start_of(method: StartMethod) -> Result<&'static dyn Start, Error> {
    match method {
        #[cfg(feature = "fork")]
        StartMethod::Fork => Ok(&fork::Fork),
        #[cfg(feature = "forkserver")]
        StartMethod::ForkServer => Ok(&forkserver::ForkServer),
        #[cfg(feature = "spawn")]
        StartMethod::Spawn => Ok(&spawn::Spawn),
        #[cfg(feature = "threads")]
        StartMethod::Threads => Ok(&threads::Threads),
        #[allow(unreachable_patterns)]
        method => Err(Error::NotSupported {
            method,
            what: "anything, since it was compiled out: turn on its feature, or name another one",
        }),
    }
}
