//! ForkServer: a fresh copy of this executable forks the workers.

use super::{Start, backend::Backend, fresh};
use crate::{config::PoolConfig, error::Error, shared::Source};

pub(super) struct ForkServer;

impl Start for ForkServer {
    fn check(&self, _: &PoolConfig) -> Result<(), Error> {
        fresh::check()
    }

    fn open(&self, plan: &PoolConfig, shared: &Source) -> Result<Backend, Error> {
        fresh::open(plan, shared)
    }
}
