//! What workers log comes to the program: by env_logger for records of the `log` crate, and by
//! tracing-subscriber for events and spans.
//!
//! A worker dies in the middle: what it had logged until then is there, too.

use std::time::Duration;

use pool_api::{Error, StartMethod, WorkerPool, logging};

/// Logs by both crates; the third item ends its worker.
fn work(n: u32) -> u32 {
    log::info!(n; "begun");
    let _span = tracing::info_span!("item", n).entered();
    if n == 3 {
        tracing::warn!("this worker ends now");
        std::process::abort();
    }
    tracing::info!(square = n * n, "done");
    n * n
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Not `env_logger::init()`: under Fork workers have this very logger.
    let mut logger = env_logger::Builder::new();
    logger.filter_level(log::LevelFilter::Info).filter_module("pool", log::LevelFilter::Off);
    let logger = logger.build();
    let level = logger.filter();
    logging::install(Box::new(logger))?;
    log::set_max_level(level);
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    for method in [StartMethod::Fork, StartMethod::ForkServer, StartMethod::Spawn] {
        log::info!("workers by {method}");
        let pool = WorkerPool::builder()
            .n_jobs(2)
            .start_method(method)
            .capture_logs("log_workers")
            .build()?;
        let results = pool.tasks(1..=4u32).chunk_size(1).map_results(work)?;
        let done: Vec<u32> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(done, [1, 4, 16]);
        if !pool.flush_logs(Duration::from_secs(10))? {
            return Err(Error::InvalidInput("the logger takes too long".to_string()).into());
        }
    }
    Ok(())
}
