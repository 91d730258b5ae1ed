//! The pools that a part compares, one per start method.

use pool_api::{StartMethod, WorkerPool};

use crate::Outcome;

/// The methods whose workers are processes. Fork comes first: no thread may exist yet.
pub(crate) const PROCESSES: [StartMethod; 3] =
    [StartMethod::Fork, StartMethod::ForkServer, StartMethod::Spawn];

/// One pool per method.
pub(crate) struct Pools(Vec<WorkerPool>);

impl Pools {
    /// Builds pools of `workers` workers, which have run a task already. Call it before anything
    /// starts a thread.
    pub(crate) fn build(workers: usize) -> Outcome<Self> {
        let mut pools = Vec::new();
        for method in PROCESSES.into_iter().chain([StartMethod::Threads]) {
            pools.push(WorkerPool::builder().n_jobs(workers).start_method(method).build()?);
        }
        for pool in &pools {
            let doubled = pool.map(0..1000u64, |x| x * 2)?;
            assert!(doubled.into_iter().eq((0..2000).step_by(2)));
        }
        Ok(Self(pools))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &WorkerPool> {
        self.0.iter()
    }

    /// Only those whose workers are processes.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &WorkerPool> {
        self.0.iter().take(PROCESSES.len())
    }
}
