//! Threads: no processes; tasks move by value.

use std::sync::Arc;

use super::{Start, backend::Crew};
use crate::{config::CrewPlan, error::Error, shared::Source, threads::ThreadCrew};

pub(super) struct Threads;

impl Start for Threads {
    fn check(&self, _: &CrewPlan) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self, plan: &CrewPlan, _: &Source) -> Result<Crew, Error> {
        Ok(Crew::Threads(Arc::new(ThreadCrew::start(plan)?)))
    }
}
