//! `cargo xtask …`: the one gate of this workspace, for people and for CI alike.
//!
//! Each sub-command is a file of its own. `test` and `ci` put cells into a matrix; every command of
//! a cell runs under a deadline.
//!
//! * `test.rs`, `ci.rs`, `floors.rs` (with `floors/`), `loom.rs`, `bench.rs`, `demo.rs`: the
//!   sub-commands; `compare.rs` (with `compare/`): the benchmarks of two revisions.
//! * `cells.rs`, `cells/`: the cells, one file per question; `matrix.rs`: runs and prints them;
//!   `deadline.rs`: runs a command under a deadline; `table.rs`: plain text tables.
//! * `workspace.rs`: the root, the crates, and how cargo is called; `tree.rs`: the dependencies of
//!   a crate.
//! * `documents.rs`: checks the links in the documents; `readme.rs`: the first example of a README.
//! * `scratch.rs`: folders for programs that must know nothing of this workspace.
//! * `thin.rs`: checks that the facade is thin.

#![forbid(unsafe_code)]

mod bench;
mod cells;
mod ci;
mod compare;
mod deadline;
mod demo;
mod documents;
mod floors;
mod loom;
mod matrix;
mod readme;
mod scratch;
mod table;
mod test;
#[cfg(test)]
mod thin;
mod tree;
mod workspace;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--quick] [--method M]… [--only TEXT]… [--list] [--verbose]
               run the test matrix and print it as a table
                 --quick      debug only: unit tests, doc tests, conformance of ForkServer
                              and Threads (of others with --method)
                 --method M   only the cells of this start method
                              (fork, forkserver, spawn, threads; may be repeated)
                 --only TEXT  only the rows whose name contains TEXT (may be repeated)
                 --list       print the cells instead of running them
                 --verbose    show the output of every command, not only of failed ones
  ci [--only TEXT]… [--list] [--verbose]
               what must pass before a change is accepted: format, floors, documents, clippy,
               docs, loom, demo on a small input, and the whole of `test`
  floors [--edges]
               are the modules of pool-core layers, and names free of private words?
                 --edges      which module needs which other one, and how many items of it
  loom         model-check the task board (LOOM_MAX_PREEMPTIONS, default 3)
  demo [--small] [ARGS]…
               build and run the demo of pool-api in release;
               --small gives it the sources of this workspace as input
  bench [--quick] [--json PATH] [--svg PATH] [ROW]…
               build and run the benchmarks in release, all of them or the given rows
                 --svg PATH   draw a picture of the run
  bench --compare REV [--rounds N] [--quick] [ROW]…
               run the benchmarks of a revision of git and of this checkout in turns
  bench published [--with-python] [--quick] [--runs N] [--svg PATH] [BENCHMARK]…
               the three benchmarks that MPIRE has published (images, words, model), serial and
               by each way of running them in parallel
  rivals [ROW]…
               build and run the benchmark of channels beside iceoryx2 and ipc-channel, a package
               that no other command builds
  help         print this text";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    let rest: Vec<OsString> = args.collect();
    match command.as_ref().map(|c| c.to_string_lossy()).as_deref() {
        None | Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some("test") => test::main(&rest),
        Some("ci") => ci::main(&rest),
        Some("floors") => floors::main(&rest),
        Some("loom") => loom::main(&rest),
        Some("demo") => demo::main(&rest),
        Some("bench") => bench::main(&rest),
        Some("rivals") => bench::rivals(&rest),
        Some(other) => misused(&format!("there is no command `{other}`")),
    }
}

/// Prints the fault of the arguments; the exit code is 2, as is usual for that.
fn misused(complaint: &str) -> ExitCode {
    eprintln!("xtask: {complaint}\n\n{USAGE}");
    ExitCode::from(2)
}

/// Runs a command on the user's own terminal and passes its exit code on (128 + n after signal n).
fn hand_over(mut command: Command) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    match command.status() {
        Ok(status) => {
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("xtask: {}: {error}", command.get_program().to_string_lossy());
            ExitCode::FAILURE
        }
    }
}
