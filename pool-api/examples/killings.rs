//! Workers killed at random, every 20 ms, while a hundred thousand tasks run with `retry`: all results are right, and no item runs
//! once more than it has to. `cargo run --release -p pool-api --example killings -- 100000 20` (items, rounds; few without)

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pool_api::{SharedArray, StartMethod, WorkerPool};

const EVERY: Duration = Duration::from_millis(20);
const RETRIES: u32 = 100;

/// SplitMix64.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Counts its run, and spins for 20 to 300 µs.
fn task(runs: &SharedArray<u32>, n: u64) -> u64 {
    runs.fetch_add(n as usize, 1);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(20 + random(n) % 281) {}
    random(n)
}

/// Kills one of the workers at a time until all is over; how many.
fn kill_at_random(pool: &WorkerPool, over: &AtomicBool, round: u64) -> u64 {
    let mut kills = 0;
    while !over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let pids = pool.worker_pids();
        if !pids.is_empty() {
            let victim = pids[random(round << 32 | kills) as usize % pids.len()];
            // SAFETY: a system call with plain numbers. (That of a worker that has just ended is not given to others so soon.)
            kills += u64::from(unsafe { kill(victim.cast_signed(), 9) } == 0);
        }
    }
    kills
}

// SAFETY: as in libc's headers.
unsafe extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let items = words.next().map_or(Ok(4_000), |word| word.parse::<u64>())?;
    let rounds = words.next().map_or(Ok(1), |word| word.parse::<u64>())?;
    for method in [StartMethod::Fork, StartMethod::ForkServer, StartMethod::Spawn] {
        for round in 1..=rounds {
            let pool = WorkerPool::builder().start_method(method).n_jobs(3).build()?;
            pool.apply((), |()| ())?;
            let runs = SharedArray::<u32>::new(items as usize)?;
            let over = AtomicBool::new(false);
            let begun = Instant::now();
            let (values, kills) = thread::scope(|scope| {
                let killer = scope.spawn(|| kill_at_random(&pool, &over, round));
                let values = pool.tasks(0..items).retry(RETRIES).with(runs.clone()).map(task);
                over.store(true, Ordering::Relaxed);
                (values, killer.join().unwrap_or(0))
            });
            assert!(values?.into_iter().eq((0..items).map(random)), "a wrong result");
            let runs: Vec<u32> = (0..runs.len()).map(|at| runs.get(at)).collect();
            assert!(runs.iter().all(|runs| (1..=RETRIES + 1).contains(runs)));
            // Each kill can cost one item a run more: the one that was begun.
            let again: u64 = runs.iter().map(|runs| u64::from(runs - 1)).sum();
            assert!(again <= kills, "{again} runs too many, but {kills} kills");
            println!(
                "{method:<10} round {round}: {kills} kills, {again} of a running item, {} items with more than one run, {:.1} s",
                runs.iter().filter(|runs| **runs > 1).count(),
                begun.elapsed().as_secs_f64(),
            );
        }
    }
    Ok(())
}
