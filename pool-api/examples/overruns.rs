//! How soon after its limit what takes too long is an error: one item among a thousand short ones,
//! and a `worker_exit`, under every start method.
//! `cargo run --release -p pool-api --example overruns -- 20`

use std::{
    thread::sleep,
    time::{Duration, SystemTime},
};

use pool_api::{Cause, Error, SharedValue, StartMethod, WorkerPool};

const LIMIT: Duration = Duration::from_millis(200);
const ITEMS: u32 = 1000;
const LONG: u32 = 333;

/// Nanoseconds, by a clock that all processes share.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

fn task(begun: &SharedValue<u64>, n: u32) -> u32 {
    if n == LONG {
        begun.set(now());
        sleep(3 * LIMIT);
    }
    n
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(2), |word| word.parse())?;
    for method in StartMethod::ALL {
        let pool = WorkerPool::builder().start_method(method).n_jobs(2).build()?;
        let begun = SharedValue::new(0u64)?;
        let calls = || pool.tasks(0..ITEMS).task_timeout(LIMIT).with(begun.clone());
        let mut millis = Vec::new();
        for _ in 0..rounds {
            match calls().map(task) {
                Err(Error::Task(failed)) if failed.index() == u64::from(LONG) => {
                    assert_eq!(*failed.cause(), Cause::Timeout { limit: LIMIT });
                }
                other => return Err(format!("not what was expected: {other:?}").into()),
            }
            millis.push((now() - begun.get()) as f64 / 1e6);
            // All others have results.
            let results = calls().map_results(task)?;
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), ITEMS as usize - 1);
        }
        tell(method, "item", millis);
        tell(method, "exit", exits(method, rounds)?);
    }
    Ok(())
}

/// How long each of `rounds` exits took that would take longer, in milliseconds.
fn exits(method: StartMethod, rounds: u32) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let begun = SharedValue::new(0u64)?;
    let pool = WorkerPool::builder().start_method(method).n_jobs(2).shared(begun.clone());
    let pool = pool.worker_exit_timeout(LIMIT).worker_exit(|w| {
        w.shared.set(now());
        while now() < w.shared.get() + 3 * LIMIT.as_nanos() as u64 && !w.is_cancelled() {
            sleep(LIMIT / 200);
        }
    });
    let pool = pool.build()?;
    let mut millis = Vec::new();
    for _ in 0..rounds {
        pool.apply((), |()| ())?;
        match pool.stop_and_join() {
            Err(Error::WorkerExitFailed { cause: Cause::Timeout { limit: LIMIT }, .. }) => {}
            other => return Err(format!("not what was expected: {other:?}").into()),
        }
        millis.push((now() - begun.get()) as f64 / 1e6);
    }
    Ok(millis)
}

fn tell(method: StartMethod, what: &str, mut millis: Vec<f64>) {
    millis.sort_by(f64::total_cmp);
    let (median, last) = (millis[millis.len() / 2], millis[millis.len() - 1]);
    println!("{method:<10} {what}: error after {median:.1} ms, at the latest after {last:.1} ms");
}
