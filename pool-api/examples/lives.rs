//! How many workers live and die in a second: tasks that each have a worker of their own, under
//! every start method. `cargo run --release -p pool-api --example lives -- 10000`

use std::time::Instant;

use pool_api::{StartMethod, WorkerPool};

/// Descriptors and mappings of this process.
fn belongings() -> std::io::Result<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    Ok((std::fs::read_dir("/proc/self/fd")?.count(), maps.lines().count()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasks = std::env::args().nth(1).map_or(Ok(200u64), |word| word.parse())?;
    for method in StartMethod::ALL {
        let builder = WorkerPool::builder().start_method(method).n_jobs(2);
        let pool = builder.worker_lifespan(1).worker_init(|_| 0u64).worker_exit(|w| *w.state);
        let pool = pool.build()?;
        let count = |tasks: u64| {
            pool.tasks(0..tasks).with_worker().map(|w, x| {
                *w.state += 1;
                x + 1
            })
        };
        count(10)?;
        pool.stop_and_join()?;
        let (before, begun) = (belongings()?, Instant::now());
        assert_eq!(count(tasks)?, (1..=tasks).collect::<Vec<_>>());
        let lives = tasks as f64 / begun.elapsed().as_secs_f64();
        assert_eq!(pool.exit_results(), vec![1; usize::try_from(tasks)?], "one life, one task");
        pool.stop_and_join()?;
        let after = belongings()?;
        println!(
            "{method:<10} {lives:8.0} lives a second, descriptors and mappings {before:?} -> {after:?}"
        );
    }
    Ok(())
}
