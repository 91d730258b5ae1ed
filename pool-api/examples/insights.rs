//! What workers spend their time with: a report while a call is under way and after it, what each
//! worker is at, a trace for Perfetto, and a picture. One of the tasks ends its worker.
//!
//! `cargo run --release --example insights [FOLDER]`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use pool_api::{Activity, InsightsOptions, WorkerPool};

/// Works for so many microseconds; the worker does not survive 7 of them.
fn work(micros: u64) -> u64 {
    if micros == 7 {
        std::process::abort();
    }
    let until = Instant::now() + Duration::from_micros(micros);
    let mut rounds = 0;
    while Instant::now() < until {
        rounds += 1;
    }
    rounds
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let pool = WorkerPool::builder()
        .n_jobs(3)
        .enable_insights(InsightsOptions::new())
        .worker_init(|_| work(3_000))
        .worker_exit(|w| *w.state)
        .build()?;

    let mut results = pool.tasks((0..600).map(|n| 100 + n % 70 * 30)).chunk_size(10).imap(work);
    results.by_ref().take(200).try_for_each(|result| result.map(drop))?;
    for worker in pool.worker_activity() {
        let item = match (worker.stage, worker.item) {
            (Activity::Working, Some(item)) => format!(" at item {item}"),
            _ => String::new(),
        };
        println!(
            "worker {}: {}{item}, for {:?}",
            worker.worker,
            worker.stage.name(),
            worker.elapsed
        );
    }
    let completed: u64 = pool.insights().n_completed_tasks.iter().sum();
    println!("{completed} tasks so far\n");
    results.try_for_each(|result| result.map(drop))?;

    // A task that ends its worker, which is replaced.
    let failed = pool.apply(7, work).is_err();
    assert!(failed);
    pool.map((0..400).map(|n| 200 + n), work)?;
    pool.stop_and_join()?;

    println!("{}", pool.insights());
    let (trace, picture) = (folder.join("workers.json"), folder.join("workers.svg"));
    pool.write_trace(&trace)?;
    pool.write_svg(&picture)?;
    println!(
        "{} is for https://ui.perfetto.dev, {} for a browser",
        trace.display(),
        picture.display()
    );
    Ok(())
}
