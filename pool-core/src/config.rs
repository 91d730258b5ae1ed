//! What workers are to be like, checked.

use std::{sync::Arc, time::Duration};

use pool_affinity::Plan;

#[cfg(feature = "capture-log")]
use crate::capture::Capture;
use crate::{
    bootstrap,
    error::Error,
    hooks::{Bounds, Exits, WorkerLife},
    insights::{Collection, MakeDescriber},
    output::OutputPlan,
    start_method::StartMethod,
};

/// What was asked for; checked.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// A number that no other plan of this process has.
    pub(crate) id: u64,
    pub(crate) method: StartMethod,
    pub(crate) n_jobs: usize,
    pub(crate) cpus: Plan,
    /// Bytes that one arena may hold.
    pub(crate) arena_limit: u64,
    /// Bytes that the user asked for, if any, for where the system grants less.
    pub(crate) asked_arena: Option<u64>,
    /// The caller has promised that forking beside other threads is safe.
    pub(crate) allow_fork_with_threads: bool,
    /// Whether workers run a closure that borrows from this process.
    pub(crate) borrows: bool,
    /// What of workers' logs is captured.
    #[cfg(feature = "capture-log")]
    pub(crate) capture: Option<Arc<Capture>>,
    /// What is recorded of workers.
    pub(crate) insights: Option<Arc<Collection>>,
    /// Called first in every worker.
    pub(crate) first: Vec<fn()>,
    /// How long making what is shared may take.
    pub(crate) shared_timeout: Option<Duration>,
    /// What every worker calls at its beginning, and what it keeps.
    pub(crate) life: WorkerLife,
    pub(crate) bounds: Bounds,
    /// What becomes of their output.
    pub(crate) output: OutputPlan,
    /// Whether workers live on from call to call.
    pub(crate) keep_alive: bool,
    /// The serial number of the first worker.
    pub(crate) first_serial: u64,
    /// Where workers' exit results go.
    pub(crate) exits: Arc<Exits>,
}

impl PoolConfig {
    /// The functions for the start of every worker, by their offsets in the image.
    pub(crate) fn first_offsets(&self) -> Result<Vec<u64>, Error> {
        let offset = |f: &fn()| bootstrap::offset_of(*f as usize).ok_or(Error::ForeignFunction);
        self.first.iter().map(offset).collect()
    }

    /// The functions that make the texts of arguments, likewise.
    pub(crate) fn describer_offsets(&self) -> Result<Vec<u64>, Error> {
        let all = self.insights.iter().flat_map(|insights| insights.describers());
        let offset =
            |f: &MakeDescriber| bootstrap::offset_of(*f as usize).ok_or(Error::ForeignFunction);
        all.map(offset).collect()
    }
}
