//! Threads: no processes; tasks move by value.

use std::sync::Arc;

use super::{Start, backend::Backend};
use crate::{config::PoolConfig, error::Error, shared::Source, threads::ThreadBackend};

pub(super) struct Threads;

impl Start for Threads {
    fn check(&self, _: &PoolConfig) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self, plan: &PoolConfig, _: &Source) -> Result<Backend, Error> {
        Ok(Backend::Threads(Arc::new(ThreadBackend::start(plan)?)))
    }
}
