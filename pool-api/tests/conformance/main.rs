//! One suite over all start methods: each promise is tried for all of them.
//!
//! Without libtest, since Fork needs a process with one thread: `runner.rs` runs each case in a
//! fresh copy of this executable, with a deadline, and `footprint.rs` compares the process's
//! resources before and after. The cases are under `cases/`, one file per behaviour.
//!
//! `cargo test -p pool-api --test conformance -- [--method NAME]… [FILTER]`

mod case;
mod cases;
mod executor;
mod footprint;
mod runner;
#[path = "../support/scratch.rs"]
mod scratch;
#[path = "../support/sys.rs"]
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        [runner::ONE_CASE, method, name] => runner::run_here(method, name),
        [cases::LITTLE_SPACE, method, workers] => cases::in_little_space(method, workers),
        _ => runner::run_all(&words),
    }
}
