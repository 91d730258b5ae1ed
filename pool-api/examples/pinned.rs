//! Workers on chosen CPUs: by ids, or by a rule that follows from the machine.

use std::collections::BTreeMap;

use pool_affinity::current_cpus;
use pool_api::{CpuIds, Error, Placement, WorkerPool, usable_cpus};

/// The CPUs of the workers that had a task, as they see them.
fn seen(ids: CpuIds) -> Result<BTreeMap<u32, String>, Error> {
    let pool = WorkerPool::builder().n_jobs(usable_cpus()).cpu_ids(ids).build()?;
    let seen = pool.tasks(0..100u32).chunk_size(1).with_worker().map(|worker, _| {
        let cpus = current_cpus().map_or_else(|error| error.to_string(), |cpus| cpus.to_string());
        (worker.id(), cpus)
    })?;
    Ok(seen.into_iter().collect())
}

fn main() -> Result<(), Error> {
    let first = current_cpus().ok().and_then(|cpus| cpus.first()).unwrap_or(0);
    println!("not pinned: {:?}", seen(CpuIds::none())?);
    println!("all on one CPU: {:?}", seen([first].into())?);
    println!("far apart: {:?}", seen(Placement::Spread.into())?);
    println!("close together: {:?}", seen(Placement::Compact.into())?);
    for ids in [CpuIds::from([first, 4096]), Placement::OneCoreEach.into()] {
        match seen(ids) {
            Ok(workers) => println!("a core for each: {workers:?}"),
            Err(error) => println!("refused: {error}"),
        }
    }
    Ok(())
}
