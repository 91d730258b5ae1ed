//! More workers than the zygote's socket has room for orders, and a zygote that reads no orders.

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
    unistd::{alarm, getpid},
};
use pool_core::{Error, Pool, StartMethod};
use scenario::{Subject, ask, compiled_in, job, pool, process_methods, run, say, wait_for_go};

const MANY: usize = 600;
/// KiB of memory that a worker may take.
const WORKER_KIB: usize = 4 << 10;

fn main() {
    run(
        &[
            ("many_workers", many_workers),
            ("zygote_stopped_and_pool_dropped", || zygote_stopped("drops", "dropped")),
            ("zygote_stopped_and_pool_stopped", || zygote_stopped("stops", "stopped")),
            ("zygote_stopped_and_worker_killed", || zygote_stopped("loses_one", "lost")),
        ],
        &[("many", many), ("drops", drops), ("stops", stops), ("loses_one", loses_one)],
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

/// Why this machine does not allow so many workers.
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
        println!("skipped: many_workers: {why}");
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

/// A pool whose zygote the test stops.
fn with_stopped_zygote(method: StartMethod) -> Pool {
    let pool = pool(method, 2);
    ask(&pool, |x: u64| x, 1).expect("a worker");
    while pool.worker_pids().len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    say("worked");
    wait_for_go();
    alarm::set(20);
    pool
}

fn drops(method: StartMethod) {
    drop(with_stopped_zygote(method));
    say("dropped");
    wait_for_go();
}

fn stops(method: StartMethod) {
    let ended = with_stopped_zygote(method).stop_and_join();
    assert!(matches!(ended, Err(Error::PoolBroken)), "{ended:?}");
    say("stopped");
    wait_for_go();
}

fn loses_one(method: StartMethod) {
    let pool = with_stopped_zygote(method);
    // The pool still works: tasks need no zygote.
    assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
    let lost = ask(&pool, |_: u64| -> u64 { kill_own_process() }, 0);
    assert!(matches!(lost, Err(Error::PoolBroken)), "{lost:?}");
    say("lost");
    wait_for_go();
}

fn kill_own_process() -> ! {
    kill(getpid(), Signal::SIGKILL).expect("it is allowed");
    unreachable!("SIGKILL ends every process")
}

fn zygote_stopped(what: &str, told: &str) {
    let methods = process_methods();
    let mut subjects: Vec<_> = methods.iter().map(|m| Subject::start(what, *m)).collect();
    for subject in &mut subjects {
        subject.expect("worked");
        kill(subject.named("pool-zygote"), Signal::SIGSTOP).expect("it runs");
    }
    let begin = Instant::now();
    subjects.iter_mut().for_each(Subject::go);
    for (subject, method) in subjects.iter_mut().zip(methods) {
        subject.expect(told);
        subject.group_is_gone();
        let took = begin.elapsed();
        println!("  {method}: all gone after {} ms", took.as_millis());
        assert!(took < Duration::from_secs(8), "{method}: {took:?}");
    }
    for mut subject in subjects {
        subject.go();
        subject.ends_well();
    }
}
