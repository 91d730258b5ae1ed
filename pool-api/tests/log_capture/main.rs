//! Logs of workers that come to the program's logger, under each start method: the runner of the
//! conformance suite, with cases of its own, since a process has one logger for life.
//!
//! `cargo test -p pool-api --all-features --test log_capture -- [--method NAME]… [FILTER]`

mod at_end;
#[allow(dead_code)]
#[path = "../conformance/case.rs"]
mod case;
mod cases;
mod collect;
#[allow(dead_code)]
#[path = "../conformance/footprint.rs"]
mod footprint;
mod loggers;
mod processes;
#[path = "../conformance/runner.rs"]
mod runner;
#[path = "../support/sys.rs"]
mod sys;
#[cfg(feature = "tracing")]
mod traces;

use std::process::ExitCode;

/// Has this program be one that leaves its pool in a `static`.
const AT_END: &str = "--at-end";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [runner::ONE_CASE, method, name] => runner::run_here(method, name),
        [AT_END, method, end] => at_end::run(method, end),
        _ => runner::run_all(&words),
    }
}
