//! More workers than the zygote's socket has room for orders, and a zygote that reads none at all.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        resource::{Resource, getrlimit},
        signal::{Signal, kill},
    },
    unistd::alarm,
};
use pool_core::StartMethod;
use scenario::{Subject, ask, compiled_in, job, pool, process_methods, run, say, wait_for_go};

const MANY: usize = 600;
/// KiB of memory that a worker may take.
const WORKER_KIB: usize = 4 << 10;

fn main() {
    run(
        &[("many_workers", many_workers), ("zygote_stopped", zygote_stopped)],
        &[("many", many), ("drops", drops)],
    );
}

fn many(method: StartMethod) {
    let pool = pool(method, MANY);
    let items = 0..MANY as u64;
    let values = job(&pool, |x: u64| x + 1, items.clone()).expect("a job").values(true);
    assert!(values.expect("values").into_iter().eq(items.map(|x| x + 1)));
    while pool.worker_pids().len() < MANY {
        std::thread::sleep(Duration::from_millis(1));
    }
    say("worked");
    drop(pool);
    say("dropped");
    wait_for_go();
}

/// Why this machine does not let so many workers be.
fn too_many() -> Option<String> {
    let (most, _) = getrlimit(Resource::RLIMIT_NPROC).expect("a limit");
    if most < 2 * MANY as u64 {
        return Some(format!("this user may have {most} processes"));
    }
    let memory = fs::read_to_string("/proc/meminfo").expect("/proc");
    let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib: usize = available?.trim_end_matches("kB").trim().parse().ok()?;
    (kib < MANY * WORKER_KIB).then(|| format!("{kib} KiB of memory are available"))
}

fn many_workers() {
    let method = StartMethod::ForkServer;
    if !compiled_in(method) {
        return;
    }
    if let Some(why) = too_many() {
        println!("  skipped: {why}");
        return;
    }
    let mut subject = Subject::start("many", method);
    subject.expect("worked");
    subject.expect("dropped");
    let left = subject.processes();
    assert_eq!(left.len(), 1, "nothing is left when drop returns: {left:?}");
    subject.go();
    subject.ends_well();
}

fn drops(method: StartMethod) {
    let pool = pool(method, 2);
    ask(&pool, |x: u64| x, 1).expect("a worker");
    say("worked");
    wait_for_go();
    alarm::set(10);
    drop(pool);
    say("dropped");
    wait_for_go();
}

fn zygote_stopped() {
    let methods = process_methods();
    let mut subjects: Vec<_> = methods.iter().map(|m| Subject::start("drops", *m)).collect();
    for subject in &mut subjects {
        subject.expect("worked");
        kill(subject.named("pool-zygote"), Signal::SIGSTOP).expect("it runs");
    }
    let begin = Instant::now();
    subjects.iter_mut().for_each(Subject::go);
    for (subject, method) in subjects.iter_mut().zip(methods) {
        subject.expect("dropped");
        subject.group_is_gone();
        let took = begin.elapsed();
        println!("  {method}: all gone after {} ms", took.as_millis());
        assert!(took < Duration::from_secs(4), "{method}: {took:?}");
    }
    for mut subject in subjects {
        subject.go();
        subject.ends_well();
    }
}
