//! ForkServer: a fresh copy of this executable forks the workers.

use super::{Start, backend::Crew, fresh};
use crate::{config::CrewPlan, error::Error, shared::Source};

pub(super) struct ForkServer;

impl Start for ForkServer {
    fn check(&self, _: &CrewPlan) -> Result<(), Error> {
        fresh::check()
    }

    fn open(&self, plan: &CrewPlan, shared: &Source) -> Result<Crew, Error> {
        fresh::open(plan, shared)
    }
}
