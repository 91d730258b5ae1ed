//! A program of benchmarks: `[--quick] [--json PATH] [row…]`, and one part for a copy of it.
//!
//! Invariant: a copy never outlives the program that started it.

use std::{error::Error, path::PathBuf, process::ExitCode};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use crate::{bout::Scale, conductor};

/// How a part of a row ends.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A copy that measures one part gets this and the part's name.
pub(crate) const PART: &str = "--part";
/// A copy that gets this ends at once: the baseline of everything that starts programs.
pub const EXIT_AT_ONCE: &str = "--exit-at-once";

/// A part of a row, measured by one fresh copy of the program.
#[derive(Debug)]
pub struct Part {
    /// The row, and behind a slash which part of it.
    pub name: &'static str,
    /// Measures the part.
    pub run: fn(&Scale) -> Outcome,
}

impl Part {
    pub(crate) fn row(&self) -> &'static str {
        self.name.split('/').next().unwrap_or(self.name)
    }
}

/// Does what the arguments of the process say with `parts`; `program` is its name for people.
pub fn main(program: &str, parts: &[Part]) -> ExitCode {
    match run(program, parts) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the arguments say; returns whether all parts succeeded.
fn run(program: &str, parts: &[Part]) -> Outcome<bool> {
    let mut names: Vec<_> = parts.iter().map(Part::row).collect();
    names.dedup();
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
                println!("{program} [--quick] [--json PATH] [row…]\nrows: {}", names.join(" "));
                return Ok(true);
            }
            row if names.contains(&row) => wanted.push(arg),
            other => return Err(format!("no row or option `{other}`; see --help").into()),
        }
    }
    if let Some(name) = part {
        // No program reads what this copy would print after its parent ended.
        set_pdeathsig(Signal::SIGKILL)?;
        let part = parts.iter().find(|part| part.name == name).ok_or("no such part")?;
        (part.run)(&Scale { quick })?;
        return Ok(true);
    }
    conductor::conduct(parts, &wanted, quick, &json)
}
