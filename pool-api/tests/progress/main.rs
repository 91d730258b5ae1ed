//! Progress of calls, under each start method: the runner of the conformance suite, with cases of
//! its own, since those of bars have programs that draw in a terminal.
//!
//! `cargo test -p pool-api --all-features --test progress -- [--method NAME]… [FILTER]`

mod bars;
#[allow(dead_code)]
#[path = "../conformance/case.rs"]
mod case;
mod cases;
#[allow(dead_code)]
#[path = "../conformance/footprint.rs"]
mod footprint;
mod programs;
mod reports;
#[path = "../conformance/runner.rs"]
mod runner;
mod screen;
#[path = "../support/sys.rs"]
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [runner::ONE_CASE, method, name] => runner::run_here(method, name),
        [programs::PROGRAM, method, name] => programs::run_here(method, name),
        _ => runner::run_all(&words),
    }
}
