//! The common part of ForkServer and Spawn: the zygote is a fresh copy of this executable.

use super::backend::Backend;
use crate::{
    bootstrap::{self, ROLE_ZYGOTE, Refusal},
    config::PoolConfig,
    error::{Error, OrResources},
    roles,
    session::{Session, ZygoteMaker},
    shared::Source,
    start_method::StartMethod,
    zygote::{ZygoteConfig, ZygoteFds},
};

/// Refuses if a fresh copy would run `main`, or cannot be started.
pub(crate) fn check() -> Result<(), Error> {
    roles::check_takeover().map_err(|refusal| match refusal {
        Refusal::NotInitialised => Error::NotInitialised,
        Refusal::NotShown(errno) => Error::resources("looking at the main executable", errno),
        other => Error::CannotExecute(other.to_string()),
    })
}

/// Opens a session whose zygote is a fresh copy.
pub(super) fn open(plan: &PoolConfig, shared: &Source) -> Result<Backend, Error> {
    check()?;
    let fresh_workers = plan.method == StartMethod::Spawn;
    let maker: &ZygoteMaker<'_> = &|config: ZygoteConfig, fds: ZygoteFds| {
        bootstrap::spawn_copy(ROLE_ZYGOTE, &config.to_words(), &fds.in_order(), &[])
            .or_resources("starting a copy of this executable")
    };
    Session::open(plan, shared, fresh_workers, maker).map(Backend::Processes)
}
