//! How much memory do the workers and the parent take?
//!
//! Each method runs in a process of its own, since the parent's peak never falls again.

use std::fs;

use pool_api::{StartMethod, WorkerPool};

use crate::{
    Outcome,
    bout::{Scale, print},
    line::{Goal, Line, Unit},
    peer::Peer,
    quantiles::{Spread, median},
};

const MIB: usize = 1 << 20;
const WORKERS: usize = 2;

pub(crate) fn run(scale: &Scale, method: StartMethod) -> Outcome {
    let line = |case: &str, subject: String, median: f64, floor: Option<Goal>| {
        print(&Line {
            row: "memory".to_owned(),
            case: case.to_owned(),
            subject,
            median,
            spread: Spread::default(),
            unit: Unit::Mebibytes,
            baseline: None,
            ratio: None,
            floor,
            aim: None,
        });
    };
    let builder = || WorkerPool::builder().n_jobs(WORKERS).start_method(method);
    let bare = Peer::fork(None, |_| {
        loop {
            std::thread::park();
        }
    })?;
    let pool = builder().build()?;

    let squares = pool.map(0..100_000u64, |x| x * x)?;
    assert_eq!(squares.last(), Some(&(99_999 * 99_999)));
    let small = of_workers(&pool, &["Private_Clean", "Private_Dirty"])?;
    let small_rss = of_workers(&pool, &["Rss"])?;
    let items = || (0..64).map(|fill| vec![fill as u8; MIB]);
    assert_eq!(pool.map(items(), |bytes| bytes.len())?, vec![MIB; 64]);
    let large = of_workers(&pool, &["Private_Clean", "Private_Dirty"])?;
    drop(pool);

    let pool = builder().build()?;
    let before = status("VmHWM")?;
    let count = scale.count(24);
    let items = (0..count).map(|fill| vec![fill as u8; 64 * MIB]);
    assert_eq!(pool.map(items, |bytes| bytes.len())?, vec![64 * MIB; count]);
    let peak = status("VmHWM")?;

    let name = method.to_string();
    line("private memory per worker", format!("{name}, after 100 000 u64"), small, None);
    line("private memory per worker", format!("{name}, after 64 items of 1 MiB"), large, None);
    let bare = of_process(bare.pid(), &["Private_Clean", "Private_Dirty"])?;
    line("private memory per worker", format!("bare fork, beside {name}"), bare, None);
    line("resident memory per worker", format!("{name}, after 100 000 u64"), small_rss, None);
    line("parent's peak", format!("{name}, before items of 64 MiB"), before, None);
    let limit = Some(Goal::Value(1024.0));
    line("parent's peak", format!("{name}, after {count} items of 64 MiB"), peak, limit);
    Ok(())
}

/// The median over the workers.
fn of_workers(pool: &WorkerPool, fields: &[&str]) -> Outcome<f64> {
    let pids = pool.worker_pids();
    assert_eq!(pids.len(), WORKERS);
    let each: Outcome<Vec<f64>> = pids.into_iter().map(|pid| of_process(pid, fields)).collect();
    Ok(median(&each?))
}

/// The sum of some fields of the kernel's data about a process, in MiB.
fn of_process(pid: u32, fields: &[&str]) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    fields.iter().map(|field| mebibytes(&text, field)).sum()
}

fn status(field: &str) -> Outcome<f64> {
    mebibytes(&fs::read_to_string("/proc/self/status")?, field)
}

fn mebibytes(text: &str, field: &str) -> Outcome<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no such field")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
