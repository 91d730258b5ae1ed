//! Starts a fresh process for each subject and run, in turns, and compares what comes back.
//!
//! Invariant: a process that does not end is killed. Memory is read in a run of its own, which is
//! not timed.

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pool_bench::environment::Environment;

use crate::{
    Benchmark, Options, Outcome, SUBJECT, chart,
    data::Data,
    memory, python,
    subjects::{self, MARK},
    table,
};

/// The time limit of one run.
const DEADLINE: Duration = Duration::from_secs(180);
/// How often memory is read.
const INTERVAL: Duration = Duration::from_millis(10);

/// What was measured of one subject.
pub(crate) struct Measured {
    pub(crate) subject: String,
    pub(crate) is_python: bool,
    /// The median of all runs.
    pub(crate) seconds: f64,
    pub(crate) fastest: f64,
    pub(crate) slowest: f64,
    /// MiB of the process and all below it, at most.
    pub(crate) mebibytes: f64,
}

/// All of one benchmark.
pub(crate) struct Results {
    pub(crate) benchmark: Benchmark,
    pub(crate) measured: Vec<Measured>,
}

/// Measures what was asked for; returns whether all results are right.
pub(crate) fn conduct(options: &Options) -> Outcome<bool> {
    let machine = Environment::read();
    let workers = machine.usable;
    let data = Data::make(options.quick)?;
    let mut failures = Vec::new();
    let mut all = Vec::new();
    let mut skipped = Vec::new();
    let mut subjects: Vec<(&str, bool)> =
        subjects::SUBJECTS.iter().map(|subject| (*subject, false)).collect();
    if options.with_python {
        for subject in python::SUBJECTS {
            match python::missing(subject) {
                None => subjects.push((subject, true)),
                Some(reason) => skipped.push(format!("skipped: {subject}: {reason}")),
            }
        }
    } else {
        skipped.push("skipped: mpire, joblib, loky: run with --with-python".to_owned());
    }
    for &benchmark in &options.benchmarks {
        let subjects = subjects.iter().map(|(name, is_python)| Subject {
            benchmark,
            name,
            is_python: *is_python,
            folder: data.folder(),
            workers,
        });
        let measured = measure(&subjects.collect::<Vec<_>>(), options.runs, &mut failures);
        all.push(Results { benchmark, measured });
    }
    table::print(&all, &machine);
    skipped.iter().for_each(|line| println!("{line}"));
    failures.iter().for_each(|line| println!("FAILED   {line}"));
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::draw(&all, &machine))?;
    }
    Ok(failures.is_empty())
}

/// One way to do the work.
struct Subject<'a> {
    benchmark: Benchmark,
    name: &'a str,
    is_python: bool,
    folder: &'a Path,
    workers: usize,
}

/// What one run came to.
struct Run {
    seconds: f64,
    digest: Vec<f64>,
    kibibytes: u64,
}

fn measure(subjects: &[Subject<'_>], runs: usize, failures: &mut Vec<String>) -> Vec<Measured> {
    let mut times = vec![Vec::new(); subjects.len()];
    let mut memories = vec![0; subjects.len()];
    let mut expected = None::<Vec<f64>>;
    for run in 0..=runs {
        for (index, subject) in subjects.iter().enumerate() {
            let name = format!("{} {}", subject.benchmark.name(), subject.name);
            // The first run is that for memory.
            eprintln!("{name} {run} of {runs}");
            match subject.run(run == 0) {
                Ok(run)
                    if !subject.agrees(&run.digest, expected.get_or_insert(run.digest.clone())) =>
                {
                    failures.push(format!("{name}: other results than the serial run"));
                }
                Ok(done) if run == 0 => memories[index] = done.kibibytes,
                Ok(done) => times[index].push(done.seconds),
                Err(error) => failures.push(format!("{name}: {error}")),
            }
        }
    }
    let rows = subjects.iter().zip(times).zip(memories);
    rows.filter_map(|((subject, mut times), kibibytes)| {
        times.sort_by(f64::total_cmp);
        Some(Measured {
            subject: subject.name.to_owned(),
            is_python: subject.is_python,
            seconds: *times.get(times.len() / 2)?,
            fastest: *times.first()?,
            slowest: *times.last()?,
            mebibytes: kibibytes as f64 / 1024.0,
        })
    })
    .collect()
}

impl Subject<'_> {
    fn run(&self, with_memory: bool) -> Outcome<Run> {
        let mut command = if self.is_python {
            python::command()
        } else {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(SUBJECT);
            command
        };
        command.args([self.benchmark.name(), self.name]).arg(self.folder);
        command.arg(self.workers.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().ok_or("no pipe to the process")?;
        let printed = thread::spawn(move || {
            let mut text = String::new();
            output.read_to_string(&mut text).map(|_| text)
        });
        let until = Instant::now() + DEADLINE;
        let mut kibibytes = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Err(format!("did not end within {DEADLINE:?}").into());
            }
            if with_memory {
                kibibytes = kibibytes.max(memory::of_tree(child.id()));
            }
            thread::sleep(INTERVAL);
        };
        let printed = printed.join().map_err(|_| "the reader panicked")??;
        if !status.success() {
            return Err(status.to_string().into());
        }
        let line = printed.lines().find_map(|line| line.strip_prefix(MARK)?.strip_prefix('\t'));
        let (seconds, digest) = line.and_then(|line| line.split_once('\t')).ok_or("no result")?;
        let digest = digest.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Run { seconds: seconds.parse()?, digest, kibibytes })
    }

    /// Whether a digest is that of the serial run: in Rust to the bit. Numpy adds floats in another
    /// order.
    fn agrees(&self, digest: &[f64], expected: &[f64]) -> bool {
        let (relative, absolute) = match self.benchmark {
            _ if !self.is_python => (0.0, 0.0),
            Benchmark::Images => (1e-4, 1.0),
            Benchmark::Words => (0.0, 0.0),
            Benchmark::Model => (0.0, 2.0),
        };
        let close =
            |(one, other): (&f64, &f64)| (one - other).abs() <= absolute + relative * other.abs();
        digest.len() == expected.len() && digest.iter().zip(expected).all(close)
    }
}
