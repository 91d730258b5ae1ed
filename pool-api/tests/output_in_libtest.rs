//! What tasks print appears with the test that runs them: `OutputEvent::print` prints it in a
//! thread that the test's own has started, and libtest captures the prints of those, too.

use std::process::Command;

use pool_api::{OutputEvent, StartMethod, WorkerPool};

const PROCESSES: [StartMethod; 2] = [StartMethod::ForkServer, StartMethod::Spawn];

fn prints(method: StartMethod) {
    let pool = WorkerPool::builder().n_jobs(2).start_method(method);
    let pool = pool.on_output(OutputEvent::print).build().expect("a pool");
    pool.map(0..4u32, |n| {
        println!("out of item {n}");
        eprintln!("error of item {n}");
    })
    .expect("a map");
}

/// Set where one of the next two tests runs in a test program of its own.
const LOOKED_AT: &str = "POOL_OUTPUT_IS_LOOKED_AT";

#[test]
fn prints_and_passes() {
    if std::env::var_os(LOOKED_AT).is_some() {
        PROCESSES.into_iter().for_each(prints);
    }
}

#[test]
fn prints_and_fails() {
    if std::env::var_os(LOOKED_AT).is_some() {
        PROCESSES.into_iter().for_each(prints);
        panic!("as it is to");
    }
}

/// The standard output and error of this test program when it runs one of the tests above.
fn printed_by(test: &str) -> [String; 2] {
    let program = std::env::current_exe().expect("this program");
    let mut run = Command::new(program);
    run.args(["--exact", test, "--test-threads=1"]);
    run.env(LOOKED_AT, "1").env_remove("RUST_TEST_NOCAPTURE");
    let run = run.output().expect("it runs");
    [run.stdout, run.stderr].map(|bytes| String::from_utf8(bytes).expect("text"))
}

#[test]
fn a_test_that_passes_shows_nothing() {
    let [stdout, stderr] = printed_by("prints_and_passes");
    assert!(stdout.contains("1 passed"), "{stdout}");
    assert!(!stdout.contains("of item") && !stderr.contains("of item"), "{stdout}{stderr}");
}

#[test]
fn a_test_that_fails_shows_what_its_tasks_have_printed() {
    let [stdout, _] = printed_by("prints_and_fails");
    let section = stdout.split("---- prints_and_fails stdout ----").nth(1);
    let section = section.unwrap_or_else(|| panic!("no section: {stdout}"));
    for n in 0..4 {
        for text in ["out", "error"] {
            let line = format!("{text} of item {n}");
            assert_eq!(
                section.lines().filter(|shown| **shown == line).count(),
                2,
                "{line}: {stdout}"
            );
        }
    }
}
