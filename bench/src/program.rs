//! A program of benchmarks, which starts copies of itself that measure one part each.
//!
//! Invariant: a copy never outlives the program that started it.

use std::{error::Error, process::ExitCode};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use crate::{
    bout::Scale,
    conductor,
    options::{Request, USAGE},
};

/// How a part of a row ends.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

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
    match Request::read(std::env::args().skip(1), &names)? {
        Request::Nothing => Ok(true),
        Request::Help => {
            println!("{program} {USAGE}\nrows: {}", names.join(" "));
            Ok(true)
        }
        Request::Part { name, quick } => {
            // No program reads what this copy would print after its parent ended.
            set_pdeathsig(Signal::SIGKILL)?;
            let part = parts.iter().find(|part| part.name == name).ok_or("no such part")?;
            (part.run)(&Scale { quick })?;
            Ok(true)
        }
        Request::Rows(options) => conductor::conduct(parts, &options),
    }
}
