//! What a panic prints and tells. A task's panic prints nothing in a worker process; under Threads,
//! and in a process of one function, it prints the output of the user's own hook, once.

#[path = "support/scenario.rs"]
mod scenario;

use std::{env, fs, panic, process::Command};

use pool_core::{Cause, Error, Pool, Process, StartMethod};
use scenario::{Subject, ask, compiled_in, job, options, pool, run, say};

fn main() {
    run(
        &[
            ("the_hook_of_std", || prints("panics", count_panics, of_tasks)),
            ("a_hook_of_the_user", || {
                prints("panics_with_a_hook", |text| text.lines().count(), of_tasks);
            }),
            ("a_process_that_a_worker_forks", a_process_that_a_worker_forks),
            ("a_process_with_backtraces", a_process_with_backtraces),
        ],
        &[
            ("panics", panics),
            ("panics_with_a_hook", panics_with_a_hook),
            ("forked_by_a_worker", forked_by_a_worker),
        ],
    );
}

fn panics(method: StartMethod) {
    let pool = pool(method, 2);
    let bad = |x: u64| assert!(x.is_multiple_of(2), "item {x} is bad");
    let outcomes: Vec<_> = job(&pool, bad, 0..4).expect("a job").results(false).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2);
    for error in outcomes.into_iter().filter_map(Result::err) {
        let Error::Task(outcome) = error else { panic!("the pool goes on: {error}") };
        let Cause::Panic { message, location, .. } = outcome.cause() else { panic!("{outcome}") };
        assert_eq!(*message, format!("item {} is bad", outcome.index()));
        assert!(location.as_ref().is_some_and(|location| location.contains("panics.rs")));
    }
    say("failed");
}

fn panics_with_a_hook(method: StartMethod) {
    panic::set_hook(Box::new(|info| eprintln!("hook: {}", info.location().is_some())));
    panics(method);
}

fn count_panics(text: &str) -> usize {
    text.matches("panicked at").count()
}

/// How many panics of two tasks are printed.
fn of_tasks(method: StartMethod) -> usize {
    if method == StartMethod::Threads { 2 } else { 0 }
}

/// A worker is a process or a thread; a process of one function prints its panic in any case.
fn forked_by_a_worker(method: StartMethod) {
    let start = |number: u8| {
        let method = StartMethod::ALL[usize::from(number)];
        let bad = |x: u64| assert!(x.is_multiple_of(2), "argument {x} is bad");
        Process::spawn(method, bad, 1).and_then(Process::join).is_err()
    };
    // A process with several threads is not forked.
    let inner = if method == StartMethod::Threads { method } else { StartMethod::Fork };
    let number = StartMethod::ALL.iter().position(|m| *m == inner).expect("one of them") as u8;
    let mut options = options(method, 1);
    options.daemon = false;
    let pool = Pool::build(&options).expect("a pool");
    assert!(ask(&pool, start, number).expect("a value"));
    say("failed");
}

fn a_process_that_a_worker_forks() {
    if compiled_in(StartMethod::Fork) {
        prints("forked_by_a_worker", count_panics, |_| 1);
    }
}

fn bad_in_a_process(x: u64) {
    assert!(x.is_multiple_of(2), "argument {x} is bad");
}

fn a_process_with_backtraces() {
    // SAFETY: this program has one thread.
    unsafe { env::set_var("RUST_BACKTRACE", "1") };
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        let failed = Process::spawn(method, bad_in_a_process, 1).and_then(Process::join);
        let Err(Error::Process(error)) = failed else { panic!("{method}: {failed:?}") };
        let Cause::Panic { backtrace, .. } = error.cause() else { panic!("{method}: {error}") };
        let backtrace = backtrace.as_ref().expect("it is asked for");
        assert!(backtrace.contains("bad_in_a_process"), "{method}: {backtrace}");
        assert!(!backtrace.contains("pool_core::"), "{method}: {backtrace}");
    }
}

/// `count` counts the panics that a text reports, of which there are `expected` ones.
fn prints(subject: &str, count: fn(&str) -> usize, expected: fn(StartMethod) -> usize) {
    let path = env::temp_dir().join(format!("pool-core-panics-{}", std::process::id()));
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.stderr(fs::File::create(&path).expect("a file")).env_remove("RUST_BACKTRACE");
        let mut subject = Subject::start_by(command, subject, method);
        let said = subject.rest();
        let printed = fs::read_to_string(&path).expect("text");
        assert_eq!(said, "failed\n", "{method}: {printed}");
        subject.ends_well();
        let expected = expected(method);
        assert_eq!(count(&printed), expected, "{method}: {printed:?}");
        assert!(expected > 0 || printed.is_empty(), "{method}: {printed:?}");
    }
    fs::remove_file(path).expect("our file");
}
