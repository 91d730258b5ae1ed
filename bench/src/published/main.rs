//! The three benchmarks that MPIRE has published, on data that this program makes:
//! `published [--with-python] [--quick] [--runs N] [--svg PATH] [BENCHMARK…]`.
//!
//! * `conductor.rs`: starts a fresh process for each subject and run, compares what comes back.
//! * `subjects.rs`: the subjects in Rust, what such a process does; the work itself is in the
//!   examples of `pool-api`.
//! * `python.rs`: the subjects in Python, with `bench/python/published.py`.
//! * `data.rs`: the input, in files that Rust and Python read.
//! * `memory.rs`: what a process and those below it take.
//! * `table.rs`, `chart.rs`: the results, for people.

mod chart;
mod conductor;
mod data;
mod memory;
mod python;
mod subjects;
mod table;

use std::{path::PathBuf, process::ExitCode};

/// What the program, or a part of it, comes to.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The argument that makes this program one subject's process.
const SUBJECT: &str = "--subject";

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Benchmark {
    Images,
    Words,
    Model,
}

impl Benchmark {
    const ALL: [Self; 3] = [Self::Images, Self::Words, Self::Model];

    fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Words => "words",
            Self::Model => "model",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Images => "Image filters on one shared image",
            Self::Words => "Counts of word prefixes, kept by workers",
            Self::Model => "A model that each worker loads",
        }
    }

    fn named(name: &str) -> Outcome<Self> {
        let found = Self::ALL.into_iter().find(|benchmark| benchmark.name() == name);
        found.ok_or_else(|| format!("there is no benchmark `{name}`").into())
    }
}

/// What was asked for.
struct Options {
    with_python: bool,
    quick: bool,
    runs: usize,
    svg: Option<PathBuf>,
    benchmarks: Vec<Benchmark>,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options =
            Self { with_python: false, quick: false, runs: 3, svg: None, benchmarks: Vec::new() };
        while let Some(arg) = args.next() {
            match &*arg {
                "--with-python" => options.with_python = true,
                "--quick" => options.quick = true,
                "--svg" => options.svg = Some(args.next().ok_or("--svg needs a path")?.into()),
                "--runs" => {
                    let runs = args.next().ok_or("--runs needs a number")?;
                    options.runs =
                        runs.parse().map_err(|error| format!("--runs {runs}: {error}"))?;
                }
                flag if flag.starts_with('-') => return Err(format!("unknown flag {flag}").into()),
                name => options.benchmarks.push(Benchmark::named(name)?),
            }
        }
        if options.benchmarks.is_empty() {
            options.benchmarks = Benchmark::ALL.to_vec();
        }
        options.runs = options.runs.max(1);
        Ok(options)
    }
}

fn run() -> Outcome<bool> {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == SUBJECT).is_some() {
        let mut next = || args.next().ok_or("an argument is missing");
        let (benchmark, subject, folder) = (next()?, next()?, next()?);
        let workers = next()?.parse()?;
        subjects::run(Benchmark::named(&benchmark)?, &subject, folder.as_ref(), workers)?;
        return Ok(true);
    }
    conductor::conduct(&Options::read(args)?)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("published: {error}");
            ExitCode::FAILURE
        }
    }
}
