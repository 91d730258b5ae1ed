//! Runs the cases, each in a fresh copy of this executable with a deadline, twice as many at a time
//! as there are CPUs: most of them wait more than they compute. Cases that look at the whole
//! machine or fill it run alone, after the others.
//!
//! A case's process must leave nothing behind: no descriptor, thread, child or mapping in itself
//! (it says so, see `footprint.rs`), and no process anywhere that was made for it (the runner
//! looks).

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitCode, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use pool_api::StartMethod;

use crate::{
    case::{Case, pool},
    cases,
    footprint::{Footprint, processes},
    sys,
};

/// The word before a method and the name of a case.
pub(crate) const ONE_CASE: &str = "--one-case";

/// No case comes near this.
const DEADLINE: Duration = Duration::from_secs(120);
/// No process of a pool survives its parent by longer.
const ORPHANS: Duration = Duration::from_secs(1);
/// In the environment of every process that belongs to one case.
const MARK: &str = "POOL_CONFORMANCE_CASE";

struct Choice {
    methods: Vec<StartMethod>,
    filters: Vec<String>,
    list: bool,
    /// How many cases run at a time.
    threads: usize,
}

/// One case with one start method.
struct Test {
    case: &'static Case,
    method: StartMethod,
}

impl Test {
    fn title(&self) -> String {
        format!("{}::{}", self.method, self.case.name)
    }
}

impl Choice {
    fn read(words: &[&str]) -> Result<Self, String> {
        let threads = thread::available_parallelism().map_or(2, |cpus| 2 * cpus.get());
        let mut choice = Self { methods: Vec::new(), filters: Vec::new(), list: false, threads };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match (word, word.strip_prefix("--method=")) {
                ("--method", _) => {
                    let name = words.next().ok_or("--method needs a name")?;
                    choice.methods.push(name.parse().map_err(|e| format!("{e}"))?);
                }
                (_, Some(name)) => choice.methods.push(name.parse().map_err(|e| format!("{e}"))?),
                ("--list", _) => choice.list = true,
                ("--test-threads", _) => {
                    let threads = words.next().and_then(|word| word.parse().ok());
                    choice.threads =
                        threads.filter(|n| *n > 0).ok_or("--test-threads needs a number")?;
                }
                // Arguments that cargo and tools hand to every test program.
                ("--nocapture" | "--no-capture" | "--quiet" | "-q" | "--show-output", _) => {}
                _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ => choice.filters.push(word.to_string()),
            }
        }
        if choice.methods.is_empty() {
            choice.methods = StartMethod::ALL.to_vec();
        }
        Ok(choice)
    }

    fn wants(&self, title: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| title.contains(filter))
    }
}

/// Runs all cases that the words choose.
pub(crate) fn run_all(words: &[&str]) -> ExitCode {
    let choice = match Choice::read(words) {
        Ok(choice) => choice,
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: conformance [--method NAME]... [--list] [--test-threads N] \
                 [FILTER]..."
            );
            return ExitCode::from(2);
        }
    };
    let names: BTreeSet<&str> = cases::all().map(|case| case.name).collect();
    assert_eq!(names.len(), cases::all().count(), "two cases share a name");
    let of_method = |&method| cases::all().map(move |case| Test { case, method });
    let (chosen, others): (Vec<_>, Vec<_>) = choice
        .methods
        .iter()
        .flat_map(of_method)
        .filter(|test| test.case.applies_to(test.method))
        .partition(|test| choice.wants(&test.title()));
    if choice.list {
        chosen.iter().for_each(|test| println!("{}: test", test.title()));
        return ExitCode::SUCCESS;
    }

    let begun = Instant::now();
    println!("\nrunning {} tests", chosen.len());
    let (alone, together): (Vec<_>, Vec<_>) = chosen.iter().partition(|test| test.case.alone);
    let mut failures = run(&together, choice.threads);
    failures.extend(run(&alone, 1));
    if !failures.is_empty() {
        println!("\nfailures:");
        failures.iter().for_each(|(title, complaint)| println!("\n---- {title} ----\n{complaint}"));
        println!("\nfailures:");
        failures.iter().for_each(|(title, _)| println!("    {title}"));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failures.len(),
        failures.len(),
        others.len(),
        begun.elapsed().as_secs_f64(),
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests, `threads` at a time; returns the titles of those that failed, and why they did.
fn run(tests: &[&Test], threads: usize) -> Vec<(String, String)> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        // Relaxed: each number is given out once, and nothing else depends on it.
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let title = test.title();
            let started = Instant::now();
            let verdict = in_fresh_process(test);
            let took = started.elapsed();
            match verdict {
                Ok(()) => println!("test {title} ... ok ({took:.2?})"),
                Err(complaint) => {
                    println!("test {title} ... FAILED ({took:.2?})");
                    failures.lock().expect("no thread panics with it").push((title, complaint));
                }
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    failures.into_inner().expect("no thread panics with it")
}

fn in_fresh_process(test: &Test) -> Result<(), String> {
    let mark = format!("{}-{}", std::process::id(), test.title().replace("::", "-"));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{mark}.log"));
    let io = |error: std::io::Error| format!("cannot run the case: {error}");
    let log = File::create(&path).map_err(io)?;
    let child = Command::new(std::env::current_exe().map_err(io)?)
        .args([ONE_CASE, &test.method.to_string(), test.case.name])
        .env(MARK, &mark)
        .env_remove("RUST_BACKTRACE")
        // Threads that have ended shall leave no mappings of the allocator's behind.
        .env("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(io)?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(io)?;
    let verdict = watch(child, &mark);
    let said = fs::read(&path).unwrap_or_default();
    let _ = fs::remove_file(&path);
    let said = String::from_utf8_lossy(&said);
    let tail: Vec<&str> = said.lines().rev().take(60).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    verdict.map_err(|complaint| format!("{complaint}\n{}", tail.join("\n")))
}

fn watch(mut child: std::process::Child, mark: &str) -> Result<(), String> {
    let group = child.id();
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || {
        // The runner does not listen any more once the deadline has passed.
        let _ = sender.send(child.wait());
    });
    let ended = receiver.recv_timeout(DEADLINE);
    if ended.is_err() {
        // Before the group is gone no other group can have its number: its leader is not reaped.
        sys::kill_group(group, sys::SIGKILL);
    }
    let _ = waiter.join();
    let verdict = match ended {
        Ok(Ok(status)) => verdict(status),
        Ok(Err(error)) => Err(format!("cannot wait for the case: {error}")),
        Err(RecvTimeoutError::Timeout) => Err(format!("it hung: killed after {DEADLINE:?}")),
        Err(RecvTimeoutError::Disconnected) => Err("no thread waited for the case".to_string()),
    };
    let orphans = orphans(mark);
    for pid in &orphans {
        sys::kill(*pid, sys::SIGKILL);
    }
    match verdict {
        Ok(()) if !orphans.is_empty() => Err(format!("it left processes behind: {orphans:?}")),
        verdict => verdict,
    }
}

fn verdict(status: ExitStatus) -> Result<(), String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (_, Some(signal)) => Err(format!("its process was killed by signal {signal}")),
        (code, _) => Err(format!("its process exited with {code:?}")),
    }
}

/// Processes that carry the mark and do not go away.
fn orphans(mark: &str) -> Vec<u32> {
    let variable = format!("{MARK}={mark}");
    let marked = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let deadline = Instant::now() + ORPHANS;
    loop {
        let left: Vec<u32> = processes().filter(marked).collect();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs one case in this process, which was started for it.
pub(crate) fn run_here(method: &str, name: &str) -> ExitCode {
    let method: StartMethod = method.parse().expect("the runner names a start method");
    let case = cases::all().find(|case| case.name == name).expect("the runner names a case");
    warm_up(method);
    let before = Footprint::now();
    if let Err(error) = (case.run)(method) {
        eprintln!("the case ended with an error: {error} ({error:?})");
        return ExitCode::FAILURE;
    }
    match before.changes() {
        None => ExitCode::SUCCESS,
        Some(changes) => {
            eprintln!("the case left something behind\n{changes}");
            ExitCode::FAILURE
        }
    }
}

/// A first pool: std and the allocator set up their one-time state before anything is compared.
fn warm_up(method: StartMethod) {
    let warm = pool(method, 2).expect("a pool");
    let values = warm.map(0..10u64, |x| x + 1).expect("a map");
    assert_eq!(values, (1..11).collect::<Vec<u64>>());
    // The segment that small shared objects lie in is kept for the next ones.
    pool_shm::SharedValue::new(0u8).expect("shared memory");
}
