//! How much memory a large shared object takes, in each worker and in all processes together.

use std::{collections::BTreeSet, fs};

use pool_api::{StartMethod, View, Worker, WorkerPool};

use crate::{
    case::{Case, Outcome, builder, sized},
    scratch::wait_until,
    sys,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("memory_of_a_shared_value", of_a_value),
    Case::new("memory_of_a_shared_view", of_a_view),
    Case::new("memory_of_what_was_shared_before", of_the_past),
];

const WORKERS: usize = 8;
/// Elements of the data set, and the bytes that it takes.
const LEN: usize = sized(32 << 20, 4 << 20);
const BYTES: u64 = LEN as u64 * 8;
/// The most private memory that a worker may have in addition to its former one.
const MOST: u64 = 2 << 20;

/// The sum of some fields of a `smaps_rollup`, in bytes.
fn rollup(pid: u32, fields: &[&str]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let counted = text.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    counted.filter_map(kib).sum::<u64>() * 1024
}

fn private(pid: u32) -> u64 {
    rollup(pid, &["Private_Clean:", "Private_Dirty:"])
}

/// The memory of all processes of this case, each page counted once.
fn all_together() -> u64 {
    assert!(rollup(std::process::id(), &["Pss:"]) > 0, "no smaps_rollup can be read here");
    let own = sys::group_of(std::process::id());
    let mine = crate::footprint::processes().filter(|pid| sys::group_of(*pid) == own);
    mine.map(|pid| rollup(pid, &["Pss:"])).sum()
}

/// The worker of a task, the sum, and how much more private memory the worker has than before.
type Seen = (u32, f64, u64);

/// Runs `task` twice in each worker; returns the private memory of each.
fn in_all<S>(
    pool: &WorkerPool<S>,
    task: fn(&mut Worker<'_, S>, u32) -> Seen,
) -> Result<Vec<u64>, Box<dyn std::error::Error>>
where
    S: Send + Sync + 'static,
{
    // In turn: one free worker could take all tasks that any may run.
    let tasks = pool.tasks(0..WORKERS as u32 * 2).chunk_size(1).order_tasks(true);
    let mut workers = BTreeSet::new();
    for (worker, sum, grown) in tasks.with_worker().map(task)? {
        workers.insert(worker);
        assert_eq!(sum, SUM);
        assert!(grown < MOST, "it grew by {grown} bytes, perhaps before others came to it");
    }
    assert_eq!(workers.len(), WORKERS);
    wait_until("all workers are known", || pool.worker_pids().len() == WORKERS);
    Ok(pool.worker_pids().into_iter().map(private).collect())
}

fn data() -> Vec<f64> {
    (0..LEN).map(|n| n as f64).collect()
}

const SUM: f64 = LEN as f64 * (LEN - 1) as f64 / 2.0;

/// The private memory of a worker that shares nothing large, and the memory of all processes of
/// such a pool together.
fn usual(method: StartMethod) -> Result<(u64, u64), Box<dyn std::error::Error>> {
    if method == StartMethod::Threads {
        return Ok((0, 0)); // threads have no private memory
    }
    let before = all_together();
    let pool = builder(method, WORKERS).shared(SUM).build()?;
    let each = in_all(&pool, |w, _| (std::process::id(), *w.shared, 0))?;
    let together = all_together().saturating_sub(before);
    Ok((each.into_iter().max().unwrap_or(0), together))
}

fn of_a_value(method: StartMethod) -> Outcome {
    if method == StartMethod::Threads {
        let data = data();
        let address = data.as_ptr().addr();
        let pool = builder(method, WORKERS).shared(data).build()?;
        let seen =
            pool.tasks(0..16u8).chunk_size(1).with_worker().map(|w, _| w.shared.as_ptr().addr())?;
        assert!(seen.iter().all(|seen| *seen == address), "the parent's own");
        return Ok(());
    }
    if method == StartMethod::Spawn {
        return Ok(()); // under Spawn each worker has a copy
    }
    let (usual, _) = usual(method)?;
    let pool = builder(method, WORKERS).shared(data()).build()?;
    let each = in_all(&pool, |w, _| {
        let before = private(std::process::id());
        let sum = w.shared.iter().sum();
        (std::process::id(), sum, private(std::process::id()).saturating_sub(before))
    })?;
    println!("{method}: usually {usual} bytes, now {each:?}");
    for private in each {
        assert!(private < usual + MOST, "{private} bytes, {usual} without it");
    }
    Ok(())
}

fn of_a_view(method: StartMethod) -> Outcome {
    let (usual, together) = usual(method)?;
    let data = data();
    let before = all_together();
    let pool = builder(method, WORKERS).shared_view(data).build()?;
    let task: fn(&mut Worker<'_, View<Vec<f64>>>, u32) -> Seen = |w, _| {
        let before = private(std::process::id());
        let sum = w.shared.iter().map(|x| x.to_native()).sum();
        (std::process::id(), sum, private(std::process::id()).saturating_sub(before))
    };
    if method == StartMethod::Threads {
        let sums = pool.tasks(0..16u32).chunk_size(1).with_worker().map(task)?;
        assert!(sums.iter().all(|(_, sum, _)| *sum == SUM));
    } else {
        let each = in_all(&pool, task)?;
        println!("{method}: usually {usual} bytes, now {each:?}");
        for private in each {
            assert!(private < usual + MOST, "{private} bytes, {usual} without it");
        }
    }
    let grown = all_together().saturating_sub(before);
    println!("{method}: {BYTES} bytes shared, all together took {grown} more, {together} without");
    assert!(grown < BYTES + together + BYTES / 4, "{grown} bytes more, {together} without it");
    Ok(())
}

fn of_the_past(method: StartMethod) -> Outcome {
    let pool = builder(method, 2).shared_view(data()).build()?;
    let sum = || {
        let sum = pool
            .tasks([()])
            .with_worker()
            .map(|w, ()| w.shared.iter().map(|x| x.to_native()).sum());
        sum.map(|sum: Vec<f64>| sum[0])
    };
    assert_eq!(sum()?, SUM);
    let before = all_together();
    for _ in 0..3 {
        pool.set_shared_view(data())?;
        assert_eq!(sum()?, SUM);
    }
    let grown = all_together().saturating_sub(before);
    assert!(grown < BYTES / 2, "{grown} bytes more than with the first one");
    pool.set_shared_view(Vec::new())?;
    assert_eq!(sum()?, 0.0);
    let left = before.saturating_sub(all_together());
    assert!(left > BYTES / 2, "{left} bytes less than with the large one");
    Ok(())
}
