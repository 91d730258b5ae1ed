//! The benchmarks: every row beside its baselines in the same run, interleaved.
//!
//! `pool-bench [--quick] [--json PATH] [row…]`. This program starts a fresh copy of itself for
//! every part of a row, since a pool of forked processes has to be built before the first thread
//! exists, and gathers the lines that the copies print. Results are asserted, times never.
//!
//! * `rows/`: the rows, one file per question.
//! * `bout.rs`: measures: several subjects do the same work in turns.
//! * `conductor.rs`: starts the copies, and gathers their lines.
//! * `line.rs`: one line of the table; `report.rs`: the table that people read.
//! * `environment.rs`: the machine and the build that were measured.
//! * `pools.rs`: the pools that a part compares; `thread_pool.rs`: a plain pool of threads.
//! * `peer.rs`: a forked process as the other end of a bare baseline.
//! * `work.rs`: arithmetic that takes a given time.

mod bout;
mod conductor;
mod environment;
mod line;
mod peer;
mod pools;
mod report;
mod rows;
mod thread_pool;
mod work;

use std::{error::Error, path::PathBuf, process::ExitCode};

use bout::Scale;
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

/// How a part of a row ends.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A copy that measures one part gets this and the part's name.
const PART: &str = "--part";
/// A copy that gets this ends at once: the baseline of everything that starts programs.
const EXIT_AT_ONCE: &str = "--exit-at-once";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pool-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments say; returns whether all parts succeeded.
fn run() -> Outcome<bool> {
    let mut args = std::env::args().skip(1);
    let (mut quick, mut part, mut wanted) = (false, None, Vec::new());
    let mut json = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench.jsonl"));
    while let Some(arg) = args.next() {
        match arg.as_str() {
            EXIT_AT_ONCE => return Ok(true),
            "--quick" => quick = true,
            "--json" => json = args.next().ok_or("--json needs a path")?.into(),
            PART => part = args.next(),
            "-h" | "--help" => {
                println!("pool-bench [--quick] [--json PATH] [row…]\nrows: {}", names().join(" "));
                return Ok(true);
            }
            row if names().contains(&row) => wanted.push(arg),
            other => return Err(format!("no row or option `{other}`; see --help").into()),
        }
    }
    if let Some(name) = part {
        // No program reads what this copy would print after its parent ended.
        set_pdeathsig(Signal::SIGKILL)?;
        let part = rows::PARTS.iter().find(|part| part.name == name).ok_or("no such part")?;
        (part.run)(&Scale { quick })?;
        return Ok(true);
    }
    conductor::conduct(&wanted, quick, &json)
}

fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = rows::PARTS.iter().map(|part| part.row()).collect();
    names.dedup();
    names
}
