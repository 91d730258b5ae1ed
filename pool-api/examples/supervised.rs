//! A process that is watched, and started again when it does not return.
//!
//! Its function crashes, leaves, panics and hangs before it returns at last: each end is told, and
//! the next one is started by the same builder. One that does not end in time is told to, by
//! SIGTERM, and killed if it does not listen.

use std::time::Duration;

use pool_api::{Error, Process, ProcessStatus};

/// How long one start may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long it may take to end once it was told to.
const GRACE: Duration = Duration::from_millis(200);
/// Starts in all.
const STARTS: u32 = 6;

/// What is to be done; each start is worse than the next one.
fn serve(start: u32) -> String {
    match start {
        1 => std::process::abort(),
        2 => std::process::exit(3),
        3 => panic!("no answer"),
        4 => loop {
            std::thread::park();
        },
        start => format!("done at start {start}"),
    }
}

/// Runs it to its end, or to the end of its time.
fn run_once(process: &mut Process<String>) -> Result<String, Error> {
    match process.join_timeout(LIMIT) {
        Err(Error::NotReady) => {}
        ended => return ended,
    }
    process.terminate()?;
    match process.join_timeout(GRACE) {
        Err(Error::NotReady) => process.kill()?,
        ended => return ended,
    }
    process.join_timeout(LIMIT)
}

fn main() -> Result<(), Error> {
    let builder = Process::builder().name("server").daemon(true);
    for start in 1..=STARTS {
        let mut process = builder.spawn(serve, start)?;
        let ended = run_once(&mut process);
        println!("start {start}: it {}", process.exit_status());
        match (ended, process.exit_status()) {
            (Ok(value), _) => {
                println!("{value}");
                return Ok(());
            }
            // It could not even begin: the next one could not, either.
            (Err(error), ProcessStatus::Failed(_)) => return Err(error),
            (Err(error), _) => println!("  {error}"),
        }
    }
    println!("given up after {STARTS} starts");
    Ok(())
}
