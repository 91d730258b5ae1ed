//! Many pools, used and dropped, half of them in the middle of a stream: nothing is leaked.

#[path = "support/scenario.rs"]
mod scenario;

use std::fs;

use pool_core::StartMethod;
use scenario::{compiled_in, job, pool, run};

/// Pools made before counting, since the first ones fill caches.
const WARM_UP: usize = 20;
/// Mappings by which the allocator may differ.
const MAPPINGS: usize = 4;

fn main() {
    run(
        &[
            ("pools_of_fork", || pools(StartMethod::Fork, 350)),
            ("pools_of_forkserver", || pools(StartMethod::ForkServer, 350)),
            ("pools_of_spawn", || pools(StartMethod::Spawn, 150)),
            ("pools_of_threads", || pools(StartMethod::Threads, 150)),
        ],
        &[],
    );
}

#[derive(Debug, PartialEq)]
struct Inventory {
    descriptors: usize,
    threads: usize,
    children: Vec<String>,
    shared: Vec<String>,
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let mut pids = names("/proc");
    pids.retain(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rfind(')').and_then(|end| stat[end + 1..].split(' ').nth(2));
        parent == Some(own.as_str())
    });
    pids
}

fn inventory() -> (Inventory, usize) {
    // A thread that was just joined may still be listed.
    let threads = || names("/proc/self/task").len();
    scenario::within_a_second(threads, |count| *count == 1);
    let shared = names("/dev/shm").into_iter().filter(|name| name.contains("pool")).collect();
    let inventory = Inventory {
        descriptors: names("/proc/self/fd").len(),
        threads: threads(),
        children: children(),
        shared,
    };
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc");
    (inventory, maps.lines().count())
}

fn use_one(method: StartMethod, number: usize) {
    let pool = pool(method, 2);
    let double = |x: u64| vec![x; 100];
    if number.is_multiple_of(2) {
        let values = job(&pool, double, 0..20).expect("a job").values(true).expect("values");
        assert_eq!(values.len(), 20);
    } else {
        let mut stream = job(&pool, double, 0..).expect("a job").results(number % 4 == 1);
        for _ in 0..3 {
            stream.next().expect("no end").expect("a value");
        }
        if number % 8 == 1 {
            // The stream outlives its pool.
            drop(pool);
        }
    }
}

fn pools(method: StartMethod, count: usize) {
    if !compiled_in(method) {
        return;
    }
    (0..WARM_UP).for_each(|number| use_one(method, number));
    let (before, mappings) = inventory();
    (0..count).for_each(|number| use_one(method, number));
    let (after, mappings_after) = inventory();
    assert_eq!(before, after, "{method}");
    assert!(
        mappings.abs_diff(mappings_after) <= MAPPINGS,
        "{method}: {mappings} mappings before, {mappings_after} after"
    );
}
