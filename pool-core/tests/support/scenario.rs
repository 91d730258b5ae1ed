//! Test programs with one thread, which run themselves again as the subject that is killed or
//! watched from outside.
//!
//! Invariant: a subject and all processes that it starts form one process group, which is killed
//! when its `Subject` is dropped; an alarm ends every test and every subject that takes too long.
#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    env,
    fmt::Display,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, alarm},
};
use pool_core::{Job, JobOptions, PlainForm, Pool, PoolOptions, StartMethod};

/// Seconds that one test, or one subject, may take.
const DEADLINE_S: u32 = 120;

/// Signals that a terminal or a supervisor sends to all processes of a program at once; the program
/// itself may, too.
pub(crate) const ENDING: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

pub(crate) type Tests<'a> = &'a [(&'a str, fn())];
pub(crate) type Subjects<'a> = &'a [(&'a str, fn(StartMethod))];

pub(crate) fn compiled_in(method: StartMethod) -> bool {
    let known = [
        (StartMethod::Fork, cfg!(feature = "fork")),
        (StartMethod::ForkServer, cfg!(feature = "forkserver")),
        (StartMethod::Spawn, cfg!(feature = "spawn")),
        (StartMethod::Threads, cfg!(feature = "threads")),
    ];
    known.contains(&(method, true))
}

/// The start methods that make processes, as far as they are compiled in.
pub(crate) fn process_methods() -> Vec<StartMethod> {
    let mut methods = StartMethod::ALL.to_vec();
    methods.retain(|method| *method != StartMethod::Threads && compiled_in(*method));
    methods
}

/// Runs the subject that the arguments name, or else the tests whose names contain one of them.
pub(crate) fn run(tests: Tests<'_>, subjects: Subjects<'_>) {
    // For builds without the feature `takeover`.
    pool_core::init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [word, name, method, ..] = &arguments[..]
        && word == "subject"
    {
        let (_, subject) = subjects.iter().find(|(n, _)| n == name).expect("a known subject");
        alarm::set(DEADLINE_S);
        return subject(method.parse().expect("a start method"));
    }
    let wanted: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let mut passed = 0;
    for (name, test) in tests {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            alarm::set(DEADLINE_S);
            let begin = Instant::now();
            test();
            println!("test {name} ... ok ({} ms)", begin.elapsed().as_millis());
            passed += 1;
        }
    }
    // A failed test panics, which ends the program.
    println!("\ntest result: ok. {passed} passed; 0 failed");
}

/// A pool of `n_jobs` workers.
pub(crate) fn pool(method: StartMethod, n_jobs: usize) -> Pool {
    Pool::build(&options(method, n_jobs)).expect("a pool")
}

pub(crate) fn options(method: StartMethod, n_jobs: usize) -> PoolOptions {
    let mut options = PoolOptions::default();
    options.n_jobs = Some(n_jobs);
    options.start_method = method;
    options
}

/// A job with one item in a chunk.
pub(crate) fn job<A: pool_ipc::Wire, R: pool_ipc::Wire, I: Iterator<Item = A>>(
    pool: &Pool,
    function: fn(A) -> R,
    items: I,
) -> Result<Job<PlainForm<A, R>, I>, pool_core::Error> {
    let mut options = JobOptions::default();
    options.chunk_size = Some(1.0);
    pool.job(function, (), items, &options, false)
}

/// One call of one function in one worker.
pub(crate) fn ask<A: pool_ipc::Wire, R: pool_ipc::Wire>(
    pool: &Pool,
    function: fn(A) -> R,
    item: A,
) -> Result<R, pool_core::Error> {
    let mut values = job(pool, function, std::iter::once(item))?.values(true)?;
    Ok(values.pop().expect("one item, one value"))
}

/// One call of one function in the worker with this id.
pub(crate) fn ask_at<R: pool_ipc::Wire>(pool: &Pool, place: usize, function: fn(u64) -> R) -> R {
    let mut options = JobOptions::default();
    options.worker = Some(place as u32);
    let job = pool.job::<PlainForm<u64, R>, _>(function, (), std::iter::once(0), &options, false);
    let mut values = job.and_then(|job| job.values(true)).expect("a value");
    values.pop().expect("one item, one value")
}

/// The process ids of all workers, each told by the worker itself: dead workers are not among them.
pub(crate) fn live_workers(pool: &Pool) -> Vec<u32> {
    (0..pool.n_jobs()).map(|place| ask_at(pool, place, |_| std::process::id())).collect()
}

/// The process ids of all workers, as soon as all have been started.
pub(crate) fn all_workers(pool: &Pool) -> Vec<u32> {
    within_a_second(|| pool.worker_pids(), |pids| pids.len() == pool.n_jobs());
    pool.worker_pids()
}

/// A command that runs `program` as PID 1 of a namespace of its own, if that is allowed.
pub(crate) fn as_pid_1(program: &Path) -> Option<Command> {
    let unshare = |users: &[&str], program: &Path| {
        let mut command = Command::new("unshare");
        command.args(users).args(["--fork", "--pid", "--mount-proc"]).arg(program);
        command
    };
    // Root may just do it; others need a namespace of users too, which some systems refuse.
    let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    let is_allowed = |users: &&&[&str]| {
        let tried = unshare(users, Path::new("true")).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let users = ways.iter().find(is_allowed)?;
    Some(unshare(users, program))
}

/// A line on standard output, at once and in one piece.
pub(crate) fn say(what: impl Display) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{what}\n").as_bytes()).expect("standard output");
    out.flush().expect("standard output");
}

/// Waits until the test sends the line that lets the subject go on.
pub(crate) fn wait_for_go() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("standard input");
}

/// A second run of this program.
pub(crate) struct Subject {
    child: Child,
    group: Pid,
    lines: BufReader<ChildStdout>,
    stdin: Option<ChildStdin>,
}

impl Subject {
    pub(crate) fn start(name: &str, method: StartMethod) -> Self {
        Self::start_by(Command::new(env::current_exe().expect("this program")), name, method)
    }

    /// `command` runs this program, whose arguments are still to come.
    pub(crate) fn start_by(mut command: Command, name: &str, method: StartMethod) -> Self {
        let mut child = command
            .args(["subject", name, &method.to_string()])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let group = Pid::from_raw(child.id().cast_signed());
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let stdin = child.stdin.take();
        Self { child, group, lines, stdin }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.group
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line.trim_end().to_string()
    }

    /// What follows `word` in the next line, which begins with it.
    pub(crate) fn expect(&mut self, word: &str) -> String {
        let line = self.line();
        let rest = line.strip_prefix(word);
        rest.unwrap_or_else(|| panic!("expected {word:?}, got {line:?}")).trim().to_string()
    }

    /// All further output.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut rest).expect("text");
        rest
    }

    pub(crate) fn go(&mut self) {
        writeln!(self.stdin.as_mut().expect("piped")).expect("the subject reads");
    }

    /// Waits for the end, and asserts that it is a success.
    pub(crate) fn ends_well(mut self) {
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{status}");
        self.group_is_gone();
    }

    pub(crate) fn reap(&mut self) {
        self.child.wait().expect("a child");
    }

    /// The processes of the group: number, name, state. A zombie counts if the subject has to reap
    /// it, not if the system's init process has inherited it.
    pub(crate) fn processes(&self) -> Vec<(Pid, String, char)> {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        all.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
            let mut fields = stat[end + 1..].split_ascii_whitespace();
            let state = fields.next()?.chars().next()?;
            let parent: i32 = fields.next()?.parse().ok()?;
            let group: i32 = fields.next()?.parse().ok()?;
            let name = stat[begin + 1..end].to_string();
            let own = self.group.as_raw();
            let counts = state != 'Z' || parent == own;
            (group == own && counts).then_some((Pid::from_raw(pid), name, state))
        })
        .collect()
    }

    pub(crate) fn named(&self, name: &str) -> Pid {
        let find = || self.processes().into_iter().find(|(_, n, _)| n == name);
        // The process sets its name a moment after it was started.
        within_a_second(find, Option::is_some);
        find().expect("it runs").0
    }

    /// Asserts that within a second no process of the group is left but the subject itself, if it
    /// lives.
    pub(crate) fn group_is_gone(&self) -> Duration {
        let own = self.group;
        within_a_second(
            || {
                let mut left = self.processes();
                left.retain(|(pid, _, _)| *pid != own);
                left
            },
            Vec::is_empty,
        )
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Whether the process is gone, or at least dead.
pub(crate) fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rfind(')').is_none_or(|end| matches!(stat.as_bytes().get(end + 2), Some(b'Z' | b'X')))
}

/// Repeats `look`, for a second at most, until `good` accepts its result; returns how long it took.
pub(crate) fn within_a_second<T: std::fmt::Debug>(
    look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> Duration {
    within(Duration::from_secs(1), look, good)
}

/// Repeats `look` until `good` accepts its result: what the library says nothing of how long it
/// takes.
pub(crate) fn until<T: std::fmt::Debug>(look: impl FnMut() -> T, good: impl Fn(&T) -> bool) {
    within(Duration::from_secs(60), look, good);
}

fn within<T: std::fmt::Debug>(
    limit: Duration,
    mut look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> Duration {
    let begin = Instant::now();
    loop {
        let seen = look();
        if good(&seen) {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < limit, "after {limit:?} still {seen:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn kill_now(pid: Pid) {
    kill(pid, Signal::SIGKILL).expect("a living process");
}
