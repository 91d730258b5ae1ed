//! The process that makes the shared value: whichever process is killed, and whenever, calls get an
//! answer and no process is left behind.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pool_core::{
    Cause, Error, ExitStatus, Job, JobOptions, OnWorker, Owned, Pool, Shaped, Shared,
    StartMethod::{self, Fork, ForkServer},
    Worker,
};
use scenario::{
    Subject, all_workers, as_pid_1, ask, compiled_in, is_dead, kill_now, options, run, say,
    wait_for_go, within_a_second,
};

/// The start methods that have a template, if the shared value is built.
fn with_template() -> impl Iterator<Item = StartMethod> {
    [Fork, ForkServer].into_iter().filter(|method| compiled_in(*method))
}

fn main() {
    run(
        &[
            ("killed_at_rest", killed_at_rest),
            ("killed_at_work", killed_at_work),
            ("stopped", stopped),
            ("parent_killed", parent_killed),
            ("zygote_killed", || above_killed("pool-zygote", "builds_for_ever")),
            ("guard_killed", || above_killed("pool-guard", "builds_for_ever")),
            ("zygote_killed_above_workers", || above_killed("pool-zygote", "works_for_ever")),
            ("guard_killed_above_workers", || above_killed("pool-guard", "works_for_ever")),
            ("parent_killed_above_workers", parent_killed_above_workers),
            ("pool_dropped", pool_dropped),
            ("as_init_of_a_container", as_init),
        ],
        &[
            ("loses_template", loses_template),
            ("loses_template_at_work", loses_template_at_work),
            ("survives_a_stop", survives_a_stop),
            ("builds_for_ever", builds_for_ever),
            ("works_for_ever", works_for_ever),
            ("drops", drops),
            ("init", init),
        ],
    );
}

fn pool(method: StartMethod, build: fn() -> u64) -> Pool {
    pool_of(2, method, build)
}

fn pool_of(n_jobs: usize, method: StartMethod, build: fn() -> u64) -> Pool {
    let mut options = options(method, n_jobs);
    options.shared = Shared::built(build);
    Pool::build(&options).expect("a pool")
}

type SharedJob<I> = Job<Shaped<Owned, OnWorker<u64, ()>, u64, u64>, I>;

/// A call whose tasks see the shared value.
fn sums<I: Iterator<Item = u64>>(pool: &Pool, items: I) -> Result<SharedJob<I>, Error> {
    let mut options = JobOptions::default();
    options.chunk_size = Some(1.0);
    let add: fn(&mut Worker<'_, u64>, u64) -> u64 = |w, x| w.shared + x;
    pool.job(add, (), items, &options, false)
}

fn sum(pool: &Pool, count: u64) -> Result<u64, Error> {
    sums(pool, 0..count)?.values(true).map(|values| values.iter().sum())
}

fn seven() -> u64 {
    7
}

fn loses_template(method: StartMethod) {
    let pool = pool(method, seven);
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    let workers = all_workers(&pool);
    say("up");
    wait_for_go();
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    assert_eq!(pool.worker_pids(), workers, "workers do not need it any more");
    for worker in &workers {
        kill_now(Pid::from_raw(worker.cast_signed()));
    }
    within_a_second(|| pool.worker_pids(), |now| now.iter().all(|pid| !workers.contains(pid)));
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    all_workers(&pool);
    say("replaced");
    wait_for_go();
}

fn killed_at_rest() {
    for method in with_template() {
        let mut subject = Subject::start("loses_template", method);
        subject.expect("up");
        let first = subject.named("pool-template");
        kill_now(first);
        within_a_second(|| is_dead(first), |dead| *dead);
        subject.go();
        subject.expect("replaced");
        assert_ne!(subject.named("pool-template"), first);
        subject.go();
        subject.ends_well();
    }
}

/// Prints that it is building, starts a program, and does not end.
#[allow(clippy::zombie_processes, reason = "that it is not waited for is the point")]
fn build_for_ever() -> u64 {
    let program = Command::new("sleep").arg("1000").spawn().expect("sleep");
    say(format!("building {} {}", std::process::id(), program.id()));
    std::thread::sleep(Duration::from_secs(60));
    0
}

/// The process that builds, and the program that it has started.
fn builder(subject: &mut Subject) -> (Pid, Pid) {
    let numbers = subject.expect("building");
    let (builder, program) = numbers.split_once(' ').expect("two numbers");
    let pid = |text: &str| Pid::from_raw(text.parse().expect("a number"));
    (pid(builder), pid(program))
}

fn loses_template_at_work(method: StartMethod) {
    // With a second worker, the order to start it may reach the zygote after the template's end,
    // and another template would begin.
    let pool = pool_of(1, method, build_for_ever);
    let lost = sum(&pool, 10);
    let killed = Cause::Death(ExitStatus::Signal(Signal::SIGKILL as i32));
    assert!(matches!(&lost, Err(Error::SharedFailed(cause)) if *cause == killed), "{lost:?}");
    say("lost");
    wait_for_go();
    pool.share(Shared::built(seven)).expect("a pool that can be used again");
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
}

fn killed_at_work() {
    for method in with_template() {
        let mut subject = Subject::start("loses_template_at_work", method);
        let (template, program) = builder(&mut subject);
        let begin = Instant::now();
        kill_now(template);
        subject.expect("lost");
        println!("  {method}: told after {} ms", begin.elapsed().as_millis());
        within_a_second(|| is_dead(program), |dead| *dead);
        subject.go();
        subject.ends_well();
    }
}

fn survives_a_stop(method: StartMethod) {
    let pool = pool(method, seven);
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    let workers = all_workers(&pool);
    say("up");
    wait_for_go();
    for worker in workers {
        kill_now(Pid::from_raw(worker.cast_signed()));
    }
    let begin = Instant::now();
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    say(format!("replaced {}", begin.elapsed().as_millis()));
}

fn stopped() {
    for method in with_template().filter(|method| *method == ForkServer) {
        let mut subject = Subject::start("survives_a_stop", method);
        subject.expect("up");
        let template = subject.named("pool-template");
        kill(template, Signal::SIGSTOP).expect("a living process");
        subject.go();
        println!("  {method}: replaced after {} ms", subject.expect("replaced"));
        assert!(is_dead(template));
        subject.ends_well();
    }
}

fn builds_for_ever(method: StartMethod) {
    meets_the_end(&pool(method, build_for_ever), |pool| sum(pool, 10));
}

/// Runs into the end with workers that a template has forked, one of which runs a task.
fn works_for_ever(method: StartMethod) {
    let pool = pool(method, seven);
    assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
    all_workers(&pool);
    meets_the_end(&pool, |pool| ask(pool, |_: u8| build_for_ever(), 0));
}

fn meets_the_end(pool: &Pool, call: fn(&Pool) -> Result<u64, Error>) {
    let broken = call(pool);
    assert!(matches!(broken, Err(Error::PoolBroken)), "{broken:?}");
    say("broken");
    wait_for_go();
    pool.share(Shared::built(seven)).expect("what is shared anew comes with new processes");
    assert_eq!(sum(pool, 10).expect("values"), 45 + 70);
}

fn parent_killed() {
    killed_above("builds_for_ever");
}

fn parent_killed_above_workers() {
    killed_above("works_for_ever");
}

fn killed_above(subject: &str) {
    for method in with_template() {
        let mut subject = Subject::start(subject, method);
        builder(&mut subject);
        kill_now(subject.pid());
        let took = subject.group_is_gone();
        println!("  {method}: all gone {} ms after the parent", took.as_millis());
    }
}

fn above_killed(name: &str, subject: &str) {
    for method in with_template() {
        let mut subject = Subject::start(subject, method);
        builder(&mut subject);
        kill_now(subject.named(name));
        subject.expect("broken");
        subject.group_is_gone();
        subject.go();
        subject.ends_well();
    }
}

fn drops(method: StartMethod) {
    let pool = pool(method, build_for_ever);
    let mut lazy = sums(&pool, 0..10).expect("a job").stream(true);
    let caller = std::thread::spawn(move || lazy.next());
    wait_for_go();
    drop(pool);
    let ended = caller.join().expect("no panic");
    assert!(matches!(ended, Some(Err(Error::Terminated | Error::PoolBroken))), "{ended:?}");
    say("dropped");
    wait_for_go();
}

fn pool_dropped() {
    for method in with_template() {
        let mut subject = Subject::start("drops", method);
        builder(&mut subject);
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
    for victim in ["pool-template", "pool-zygote", "pool-guard", "worker-0"] {
        let pool = pool(method, seven);
        assert_eq!(sum(&pool, 10).expect("values"), 45 + 70);
        let comm = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let find = || {
            let pids = others().into_iter().map(|stat| stat.split(' ').next().map(str::to_string));
            pids.flatten().find(|pid| comm(pid).trim() == victim)
        };
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

fn as_init() {
    let program = std::env::current_exe().expect("this program");
    for method in with_template() {
        let Some(command) = as_pid_1(&program) else {
            println!("skipped: as_init_of_a_container: this user may not make a PID namespace");
            return;
        };
        let mut subject = Subject::start_by(command, "init", method);
        subject.expect("clean");
        subject.reap();
    }
}
