//! Pools in the tasks of a pool: when a process above them is killed, all their processes end
//! within a second.

#[path = "support/scenario.rs"]
mod scenario;

use nix::unistd::Pid;
use pool_core::{Error, Pool, StartMethod};
use scenario::{
    Subject, is_dead, job, kill_now, options, process_methods, run, say, wait_for_go,
    within_a_second,
};

const OUTER: u64 = 4;
const INNER: u64 = 4;

fn main() {
    run(
        &[
            ("parent_killed", parent_killed),
            ("outer_zygote_killed", outer_zygote_killed),
            ("outer_worker_killed", outer_worker_killed),
        ],
        &[("nest", nest)],
    );
}

fn method_of(number: u64) -> StartMethod {
    StartMethod::ALL[number as usize]
}

fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

fn sleep_long(_: u64) {
    say(format!("inner {}", std::process::id()));
    std::thread::sleep(std::time::Duration::from_secs(60));
}

fn build_inner(method: u64) {
    say(format!("outer {} {}", std::process::id(), parent()));
    let mut options = options(method_of(method), INNER as usize);
    options.daemon = true;
    let pool = Pool::build(&options).expect("an inner pool");
    let _ = job(&pool, sleep_long, 0..INNER).expect("a job").values(true);
}

fn nest(method: StartMethod) {
    let mut options = options(method, OUTER as usize);
    options.daemon = false;
    let pool = Pool::build(&options).expect("a pool");
    let number = StartMethod::ALL.iter().position(|m| *m == method).expect("one of them") as u64;
    let items = std::iter::repeat_n(number, OUTER as usize);
    let mut outcomes = job(&pool, build_inner, items).expect("a job").results(false);
    match outcomes.next().expect("an outcome") {
        Ok(()) => say("lost false"),
        Err(Error::Task(_)) => say("lost true"),
        Err(error) => say(format!("broken {error}")),
    }
    wait_for_go();
}

/// The outer workers and their parent, and the inner workers.
struct Family {
    outer: Vec<Pid>,
    zygote: Pid,
    inner: Vec<Pid>,
}

fn family(subject: &mut Subject) -> Family {
    let mut family = Family { outer: Vec::new(), zygote: Pid::from_raw(0), inner: Vec::new() };
    let pid = |text: &str| Pid::from_raw(text.parse().expect("a number"));
    for _ in 0..OUTER + OUTER * INNER {
        let line = subject.line();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["outer", worker, zygote] => {
                family.outer.push(pid(worker));
                family.zygote = pid(zygote);
            }
            ["inner", worker] => family.inner.push(pid(worker)),
            _ => panic!("got {line:?}"),
        }
    }
    family
}

fn parent_killed() {
    for method in process_methods() {
        let mut subject = Subject::start("nest", method);
        family(&mut subject);
        kill_now(subject.pid());
        let took = subject.group_is_gone();
        println!("  {method}: all gone {} ms after the parent", took.as_millis());
    }
}

fn outer_zygote_killed() {
    for method in process_methods() {
        let mut subject = Subject::start("nest", method);
        let family = family(&mut subject);
        kill_now(family.zygote);
        subject.expect("broken");
        let took = subject.group_is_gone();
        println!("  {method}: all gone {} ms after the parent knew", took.as_millis());
        subject.go();
        subject.ends_well();
    }
}

fn outer_worker_killed() {
    for method in process_methods() {
        let mut subject = Subject::start("nest", method);
        let family = family(&mut subject);
        kill_now(family.outer[0]);
        let living = || family.inner.iter().filter(|pid| !is_dead(**pid)).count() as u64;
        let took = within_a_second(living, |count| *count <= (OUTER - 1) * INNER);
        println!("  {method}: its inner workers gone after {} ms", took.as_millis());
        subject.expect("lost true");
        assert_eq!(living(), (OUTER - 1) * INNER, "{method}: the others live");
        subject.go();
        subject.ends_well();
    }
}
