//! Spawn: every worker is a fresh copy of this executable.

use super::{Start, backend::Backend, fresh};
use crate::{config::PoolConfig, error::Error, shared::Source};

pub(super) struct Spawn;

impl Start for Spawn {
    fn check(&self, _: &PoolConfig) -> Result<(), Error> {
        fresh::check()
    }

    fn open(&self, plan: &PoolConfig, shared: &Source) -> Result<Backend, Error> {
        fresh::open(plan, shared)
    }
}
