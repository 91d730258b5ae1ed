//! A real job, serially and with every start method, compared.
//!
//! Reads the sources of all crates that Cargo has downloaded and computes for each file its lines,
//! words and digest, and over all files the most frequent identifiers. The pool is all in
//! `with_pool`; `job.rs` is what it runs, the other files find the input and read the command line.

mod job;
mod options;
mod sources;

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use pool_api::{InsightsOptions, StartMethod, WorkerPool};

use crate::{
    job::{Report, examine},
    options::Options,
    sources::Sources,
};

/// The job without a pool.
fn serially(paths: &[String]) -> Result<Report, Box<dyn Error>> {
    let mut report = Report::default();
    for path in paths {
        report.add(examine(path.clone())?);
    }
    Ok(report)
}

/// The job with a pool, and the peak memory of its largest worker.
fn with_pool(
    paths: &[String],
    method: StartMethod,
    jobs: usize,
    with_insights: bool,
) -> Result<(Report, Option<u64>), Box<dyn Error>> {
    let mut builder = WorkerPool::builder().n_jobs(jobs).start_method(method);
    if with_insights {
        // What each worker runs, for a dashboard.
        builder = builder.enable_insights(InsightsOptions::new());
    }
    let pool = builder.build()?;
    let mut report = Report::default();
    for facts in pool.imap(paths.iter().cloned(), examine) {
        report.add(facts??); // the pool's error, or that of the file
    }
    let peak = pool.worker_pids().into_iter().filter_map(peak_memory).max();
    Ok((report, peak))
}

fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    match with_dashboard(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything while a dashboard shows it.
#[cfg(feature = "dashboard")]
fn with_dashboard(options: &Options) -> Result<bool, Box<dyn Error>> {
    if !options.dashboard {
        return compare(options);
    }
    let dashboard = pool_api::dashboard::Dashboard::start()?;
    let all_equal = compare(options)?;
    println!("\nThe dashboard at {} ends when you press Enter.", dashboard.address());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(all_equal)
}

#[cfg(not(feature = "dashboard"))]
fn with_dashboard(options: &Options) -> Result<bool, Box<dyn Error>> {
    if options.dashboard {
        return Err("--dashboard needs the feature `dashboard`".into());
    }
    compare(options)
}

/// Runs everything and prints the table; whether all results are equal.
fn compare(options: &Options) -> Result<bool, Box<dyn Error>> {
    let Sources { paths, rounds, folders } = Sources::find(&options.folders)?;
    if paths.is_empty() {
        return Err("there are no Rust files; name a folder that has some".into());
    }
    println!("The job: lines, words, identifiers and SHA-256 of each Rust file below");
    folders.iter().for_each(|folder| println!("  {}", folder.display()));
    print!("{} files", paths.len() / rounds);
    if rounds > 1 {
        print!(", gone over {rounds} times because they are few");
    }
    println!(", {} workers", options.jobs);
    println!("Where other programs keep the CPUs busy, the times mean nothing.");

    // Once beforehand, so that no run pays for the disk.
    for path in &paths[..paths.len() / rounds] {
        std::fs::read(path)?;
    }
    let started = Instant::now();
    let expected = serially(&paths)?;
    let serial = started.elapsed();

    let [bytes, lines, words] = expected.totals();
    println!("{bytes} bytes, {lines} lines, {words} words, digest {}\n", expected.digest());
    println!(
        "{:<11} {:>9} {:>9} {:>11} {:>9} {:>10} {:>13}",
        "method", "wall time", "speed-up", "efficiency", "files/s", "MiB/s", "peak memory"
    );
    let row = |name: &str, time: Duration, jobs: usize, peak: Option<u64>| {
        let seconds = time.as_secs_f64();
        let speed_up = serial.as_secs_f64() / seconds;
        println!(
            "{name:<11} {:>7.3} s {speed_up:>8.2}x {:>10.0}% {:>9.0} {:>10.1} {:>13}",
            seconds,
            100.0 * speed_up / jobs as f64,
            paths.len() as f64 / seconds,
            bytes as f64 / f64::from(1 << 20) / seconds,
            peak.map_or("-".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0)),
        );
    };
    row("serial", serial, 1, None);
    let mut all_equal = true;
    for &method in &options.methods {
        let started = Instant::now();
        let (report, peak) = with_pool(&paths, method, options.jobs, options.dashboard)?;
        row(&method.to_string(), started.elapsed(), options.jobs, peak);
        if report != expected {
            all_equal = false;
            println!("{method}: the results differ from the serial ones");
        }
    }
    println!("\npeak memory: of the largest worker, with the pages that it shares with others");
    if all_equal {
        println!("all results are equal");
    }
    println!("\nthe most frequent identifiers, and how often they occur:");
    for (name, count) in expected.top(options.top) {
        println!("{count:>9} {name}");
    }
    Ok(all_equal)
}

/// The most memory that a process has held so far, in KiB, shared pages included.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
