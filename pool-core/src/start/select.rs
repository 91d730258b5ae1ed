//! Finds the implementation of a start method.

use super::Start;
use crate::{error::Error, start_method::StartMethod};

/// The implementation of the start method; an error if it was compiled out.
pub(crate) fn start_of(method: StartMethod) -> Result<&'static dyn Start, Error> {
    match method {
        #[cfg(feature = "fork")]
        StartMethod::Fork => Ok(&super::fork::Fork),
        #[cfg(feature = "forkserver")]
        StartMethod::ForkServer => Ok(&super::forkserver::ForkServer),
        #[cfg(feature = "spawn")]
        StartMethod::Spawn => Ok(&super::spawn::Spawn),
        #[cfg(feature = "threads")]
        StartMethod::Threads => Ok(&super::threads::Threads),
        #[allow(unreachable_patterns)]
        method => Err(Error::NotSupported {
            method,
            what: "anything, since it was compiled out: turn on its feature, or name another one",
        }),
    }
}
