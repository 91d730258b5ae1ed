//! What a task's panic prints: nothing in a worker process, and under Threads the output of the
//! user's own hook, once.

#[path = "support/scenario.rs"]
mod scenario;

use std::{env, fs, panic, process::Command};

use pool_core::{Cause, Error, StartMethod};
use scenario::{Subject, compiled_in, job, pool, run, say};

fn main() {
    run(
        &[
            ("the_hook_of_std", || prints("panics", |text| text.matches("panicked at").count())),
            ("a_hook_of_the_user", || prints("panics_with_a_hook", |text| text.lines().count())),
        ],
        &[("panics", panics), ("panics_with_a_hook", panics_with_a_hook)],
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

/// Two panics; `count` counts those that a text reports.
fn prints(subject: &str, count: fn(&str) -> usize) {
    let path = env::temp_dir().join(format!("pool-core-panics-{}", std::process::id()));
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.stderr(fs::File::create(&path).expect("a file")).env_remove("RUST_BACKTRACE");
        let mut subject = Subject::start_by(command, subject, method);
        let said = subject.rest();
        let printed = fs::read_to_string(&path).expect("text");
        assert_eq!(said, "failed\n", "{method}: {printed}");
        subject.ends_well();
        let expected = if method == StartMethod::Threads { 2 } else { 0 };
        assert_eq!(count(&printed), expected, "{method}: {printed:?}");
        assert!(expected > 0 || printed.is_empty(), "{method}: {printed:?}");
    }
    fs::remove_file(path).expect("our file");
}
