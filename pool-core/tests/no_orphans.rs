//! When a process of a pool is killed, all others of the pool end within a second, and so do
//! programs that tasks started.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use pool_core::{Cause, Error, ExitStatus, ForkWithThreads, Pool, StartMethod};
use scenario::{
    Subject, as_pid_1, ask, compiled_in, is_dead, job, kill_now, options, pool, process_methods,
    run, say, wait_for_go, within_a_second,
};

fn main() {
    run(
        &[
            ("parent_killed", parent_killed),
            ("parent_killed_after_the_thread_that_made_the_pool", maker_thread_gone),
            ("parent_exits", parent_exits),
            ("zygote_killed", || above_workers_killed("survives", "pool-zygote")),
            ("zygote_of_a_large_program_killed", || {
                above_workers_killed("survives_with_much_memory", "pool-zygote");
            }),
            ("zygote_killed_without_workers", zygote_killed_without_workers),
            ("guard_killed", || above_workers_killed("survives", "pool-guard")),
            ("worker_killed", worker_killed),
            ("pool_dropped", pool_dropped),
            ("as_init_of_a_container", as_init),
        ],
        &[
            ("sleepers", |method| sleep_in_tasks(&pool(method, 2))),
            ("sleepers_of_another_thread", sleepers_of_another_thread),
            ("exits", exits),
            ("survives", survives),
            ("survives_with_much_memory", survives_with_much_memory),
            ("starts_late", starts_late),
            ("loses_one", loses_one),
            ("drops", drops),
            ("init", init),
        ],
    );
}

/// Prints its process id and starts a program; neither ends by itself.
#[allow(clippy::zombie_processes, reason = "that it is not waited for is the point")]
fn sleep_long(_: u64) {
    let program = Command::new("sleep").arg("1000").spawn().expect("sleep");
    say(format!("task {} {}", std::process::id(), program.id()));
    loop {
        std::thread::park();
    }
}

fn sleep_unless_zero(x: u64) {
    if x > 0 {
        sleep_long(x);
    }
}

fn sleep_in_tasks(pool: &Pool) {
    let _ = job(pool, sleep_long, 0..2).expect("a job").values(true);
}

/// Worker and program of two tasks that sleep.
fn two_tasks(subject: &mut Subject) -> Vec<(Pid, Pid)> {
    let mut one = || {
        let numbers = subject.expect("task");
        let (worker, program) = numbers.split_once(' ').expect("two numbers");
        let pid = |text: &str| Pid::from_raw(text.parse().expect("a number"));
        (pid(worker), pid(program))
    };
    vec![one(), one()]
}

fn parent_killed() {
    for method in process_methods() {
        let mut subject = Subject::start("sleepers", method);
        two_tasks(&mut subject);
        kill_now(subject.pid());
        let took = subject.group_is_gone();
        println!("  {method}: all gone {} ms after the parent", took.as_millis());
    }
}

fn sleepers_of_another_thread(method: StartMethod) {
    let maker = std::thread::spawn(move || {
        let mut options = options(method, 2);
        // SAFETY: the other thread only waits for this one.
        options.allow_fork_with_threads = Some(unsafe { ForkWithThreads::assume_safe() });
        let pool = Pool::build(&options).expect("a pool");
        ask(&pool, |x: u64| x, 1).expect("workers");
        pool
    });
    sleep_in_tasks(&maker.join().expect("a pool"));
}

fn maker_thread_gone() {
    for method in process_methods() {
        let mut subject = Subject::start("sleepers_of_another_thread", method);
        let tasks = two_tasks(&mut subject);
        assert!(tasks.iter().all(|(worker, _)| !is_dead(*worker)), "{method}: the pool works on");
        kill_now(subject.pid());
        subject.group_is_gone();
    }
}

fn exits(method: StartMethod) {
    let pool = pool(method, 3);
    let mut results = job(&pool, sleep_unless_zero, 0..3).expect("a job").results(true);
    results.next().expect("a result").expect("a value");
    wait_for_go();
    std::process::exit(0);
}

fn parent_exits() {
    for method in process_methods() {
        let mut subject = Subject::start("exits", method);
        two_tasks(&mut subject);
        subject.go();
        subject.ends_well();
    }
}

fn survives(method: StartMethod) {
    let first = pool(method, 2);
    let broken = |result: Result<u64, Error>| matches!(result, Err(Error::PoolBroken));
    let begin = job(&first, sleep_long, 0..2).expect("a job").values(true);
    assert!(matches!(begin, Err(Error::PoolBroken)), "{begin:?}");
    say("broken");
    assert!(broken(ask(&first, |x: u64| x, 1)), "later calls fail too");
    assert!(broken(ask(&first, |x: u64| x, 1)));
    wait_for_go();
    drop(first);
    assert_eq!(ask(&pool(method, 2), |x: u64| x + 1, 1).expect("a new pool works"), 2);
}

/// A large snapshot takes long to copy; the programs must end all the same.
fn survives_with_much_memory(method: StartMethod) {
    let memory = vec![1u8; 32 << 20];
    survives(method);
    assert_eq!(std::hint::black_box(&memory)[memory.len() / 2], 1);
}

fn starts_late(method: StartMethod) {
    let pool = pool(method, 2);
    say("built");
    wait_for_go();
    for _ in 0..2 {
        let late = ask(&pool, |x: u64| x, 1);
        assert!(matches!(late, Err(Error::PoolBroken)), "{late:?}");
    }
}

/// Under Fork the zygote is there before the first call.
fn zygote_killed_without_workers() {
    if !compiled_in(StartMethod::Fork) {
        return;
    }
    let mut subject = Subject::start("starts_late", StartMethod::Fork);
    subject.expect("built");
    let victim = subject.named("pool-zygote");
    kill_now(victim);
    within_a_second(|| is_dead(victim), |dead| *dead);
    subject.go();
    subject.ends_well();
}

fn above_workers_killed(subject: &str, name: &str) {
    for method in process_methods() {
        let mut subject = Subject::start(subject, method);
        two_tasks(&mut subject);
        let victim = subject.named(name);
        let begin = Instant::now();
        kill_now(victim);
        subject.expect("broken");
        let told = begin.elapsed();
        let gone = subject.group_is_gone();
        println!(
            "  {method}: PoolBroken after {} ms, all gone {} ms later",
            told.as_millis(),
            gone.as_millis()
        );
        assert!(told < Duration::from_secs(1));
        subject.go();
        subject.ends_well();
    }
}

fn loses_one(method: StartMethod) {
    let pool = pool(method, 2);
    let mut outcomes = job(&pool, sleep_long, 0..2).expect("a job").results(false);
    let lost = match outcomes.next().expect("an outcome") {
        Err(Error::Task(lost)) => lost,
        other => panic!("{other:?}"),
    };
    let killed = Cause::Death(ExitStatus::Signal(Signal::SIGKILL as i32));
    assert_eq!(lost.cause(), &killed);
    say(format!("lost {}", lost.index()));
    wait_for_go();
}

fn worker_killed() {
    for method in process_methods() {
        let mut subject = Subject::start("loses_one", method);
        let tasks = two_tasks(&mut subject);
        let begin = Instant::now();
        kill_now(tasks[0].0);
        subject.expect("lost");
        println!("  {method}: told after {} ms", begin.elapsed().as_millis());
        within_a_second(|| is_dead(tasks[0].1), |dead| *dead);
        assert!(!is_dead(tasks[1].0) && !is_dead(tasks[1].1), "{method}: the other one lives");
        subject.go();
        subject.ends_well();
    }
}

fn drops(method: StartMethod) {
    let pool = pool(method, 3);
    let mut results = job(&pool, sleep_unless_zero, 0..3).expect("a job").results(true);
    results.next().expect("a result").expect("a value");
    wait_for_go();
    drop(results);
    drop(pool);
    say("dropped");
    wait_for_go();
}

fn pool_dropped() {
    for method in process_methods() {
        let mut subject = Subject::start("drops", method);
        two_tasks(&mut subject);
        subject.go();
        subject.expect("dropped");
        let left = subject.processes();
        assert_eq!(left.len(), 1, "{method}: nothing is left when drop returns: {left:?}");
        subject.go();
        subject.ends_well();
    }
}

/// The other processes of this PID namespace.
fn others() -> Vec<String> {
    let own = std::process::id();
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let stat = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    pids.filter(|pid| *pid != own).filter_map(stat).collect()
}

fn init(method: StartMethod) {
    assert_eq!(std::process::id(), 1);
    let clean = || {
        within_a_second(others, Vec::is_empty);
    };
    drop(exercise(method));
    clean();
    for victim in ["pool-zygote", "pool-guard", "worker-0"] {
        let pool = exercise(method);
        let comm = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let find = || {
            let pids = others().into_iter().map(|stat| stat.split(' ').next().map(str::to_string));
            pids.flatten().find(|pid| comm(pid).trim() == victim)
        };
        // The process sets its name a moment after it was started.
        within_a_second(find, Option::is_some);
        let pid = find().and_then(|pid| pid.parse().ok()).expect("it runs");
        kill_now(Pid::from_raw(pid));
        let again = ask(&pool, |x: u64| x, 1);
        assert!(
            matches!(again, Ok(1) | Err(Error::PoolBroken)),
            "{method}, {victim} killed: {again:?}"
        );
        drop(pool);
        clean();
    }
    say("clean");
}

fn exercise(method: StartMethod) -> Pool {
    let pool = pool(method, 2);
    let mut values = job(&pool, |x: u64| x, 0..20).expect("a job").values(true).expect("values");
    values.retain(|x| *x >= 20);
    assert!(values.is_empty());
    pool
}

fn as_init() {
    let program = std::env::current_exe().expect("this program");
    for method in process_methods() {
        let Some(command) = as_pid_1(&program) else {
            println!("skipped: as_init_of_a_container: this user may not make a PID namespace");
            return;
        };
        let mut subject = Subject::start_by(command, "init", method);
        subject.expect("clean");
        subject.reap();
    }
}
