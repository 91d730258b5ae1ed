//! Spawn: every worker is a fresh copy of this executable.

use super::{Start, backend::Crew, fresh};
use crate::{config::CrewPlan, error::Error, shared::Source};

pub(super) struct Spawn;

impl Start for Spawn {
    fn check(&self, _: &CrewPlan) -> Result<(), Error> {
        fresh::check()
    }

    fn open(&self, plan: &CrewPlan, shared: &Source) -> Result<Crew, Error> {
        fresh::open(plan, shared)
    }
}
