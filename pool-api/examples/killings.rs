//! Workers killed at random, every 20 ms, while a hundred thousand tasks run with `retry`: all
//! results are right, and no item runs once more than it has to.
//! `cargo run --release -p pool-api --example killings -- 100000 20` (items, rounds; few without)

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use pool_api::{SharedArray, SharedValue, StartMethod, WorkerPool};

const EVERY: Duration = Duration::from_millis(20);
const RETRIES: u32 = 100;

/// SplitMix64.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Who began which item, in the order in which they did: how many entries, and each a process and
/// an item.
type Log = (SharedValue<u64>, SharedArray<u64>);

/// Notes its run, and spins for 20 to 300 µs.
fn task((begun, log): &Log, n: u64) -> u64 {
    let at = begun.fetch_add(1);
    log.set(at as usize, u64::from(std::process::id()) << 32 | n);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(20 + random(n) % 281) {}
    random(n)
}

/// Kills one of the workers at a time until all is over; their process ids.
fn kill_at_random(pool: &WorkerPool, over: &AtomicBool, round: u64) -> Vec<u32> {
    let mut killed = Vec::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        let pids = pool.worker_pids();
        if !pids.is_empty() {
            let victim = pids[random(round << 32 | killed.len() as u64) as usize % pids.len()];
            // SAFETY: a system call with plain numbers. (That of a worker that has just ended is
            // not given to others so soon.)
            if unsafe { kill(victim.cast_signed(), 9) } == 0 {
                killed.push(victim);
            }
        }
    }
    killed
}

/// How often each item ran. Panics if one ran again although no worker that had it in hand was
/// killed.
fn runs(entries: &[u64], items: u64, killed: &[u32]) -> Vec<u32> {
    // What a process began last is what it had in hand when it was killed.
    let last: HashMap<u32, u64> =
        entries.iter().map(|entry| ((entry >> 32) as u32, *entry)).collect();
    let mut runs = vec![(0, 0); items as usize];
    for entry in entries {
        let process = (entry >> 32) as u32;
        let (all, in_vain) = &mut runs[*entry as u32 as usize];
        *all += 1;
        *in_vain += u32::from(last[&process] == *entry && killed.contains(&process));
    }
    for (item, (all, in_vain)) in runs.iter().enumerate() {
        assert!(all - in_vain <= 1, "item {item} ran {all} times, {in_vain} of which were killed");
    }
    runs.into_iter().map(|(all, _)| all).collect()
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
            // With room for more kills than there are.
            let log: Log = (SharedValue::new(0)?, SharedArray::new(2 * items as usize + 10_000)?);
            let over = AtomicBool::new(false);
            let begun = Instant::now();
            let (values, killed) = thread::scope(|scope| {
                let killer = scope.spawn(|| kill_at_random(&pool, &over, round));
                let values = pool.tasks(0..items).retry(RETRIES).with(log.clone()).map(task);
                over.store(true, Ordering::Relaxed);
                (values, killer.join().expect("no panic"))
            });
            assert!(values?.into_iter().eq((0..items).map(random)), "a wrong result");
            // (A worker that was killed between the count and its entry had not begun.)
            let entries = log.1.slice(..log.0.get() as usize).to_vec();
            let entries: Vec<u64> = entries.into_iter().filter(|entry| *entry != 0).collect();
            let runs = runs(&entries, items, &killed);
            assert!(runs.iter().all(|runs| (1..=RETRIES + 1).contains(runs)));
            let again: u64 = runs.iter().map(|runs| u64::from(runs - 1)).sum();
            println!(
                "{method:<10} round {round}: {} kills, {again} of a running item, {} items with more than one run, {:.1} s",
                killed.len(),
                runs.iter().filter(|runs| **runs > 1).count(),
                begun.elapsed().as_secs_f64(),
            );
        }
    }
    Ok(())
}
