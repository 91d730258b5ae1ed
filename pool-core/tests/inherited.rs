//! What a worker inherits from the process that made its pool, under each start method.
//!
//! Each row of the table in the README is a row here, except for signals that do not end a worker;
//! the table is printed at the end.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    env, fs,
    io::Read,
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction},
    unistd::{Pid, getpgrp},
};
use pool_core::{
    Pool,
    StartMethod::{self, Fork, Threads},
};
use scenario::{
    ENDING, Subject, ask, ask_at, compiled_in, is_dead, kill_now, live_workers, pool,
    process_methods, run, say, wait_for_go, within_a_second,
};

/// The rows: what is inherited, under Fork, under ForkServer and Spawn.
const ROWS: [(&str, &str, &str); 12] = [
    ("static changed at run time", "as changed", "as compiled"),
    ("static changed after `build`", "as it was", "as compiled"),
    ("environment", "as changed", "as changed"),
    ("working directory", "as changed", "as changed"),
    ("open files", "open", "closed"),
    ("standard input", "at its end", "at its end"),
    ("arguments", "the same", "the same"),
    ("process name", "`worker-<id>`", "`worker-<id>`"),
    ("signal mask", "empty", "empty"),
    ("signal handlers", "default", "default"),
    (
        "ignored signals",
        "ignored, also in programs it starts",
        "ignored, also in programs it starts",
    ),
    ("SIGPIPE, SIGCHLD", "ignored, default", "ignored, default"),
];

/// What a worker has open in addition to the user's descriptors: the parent's wake counter, and the
/// zygote's socket, through which it asks for the segments of handles.
const OURS: [&str; 2] = ["anon_inode:[eventfd]", "socket"];

static COMPILED: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);

fn main() {
    run(
        &[
            ("what_a_worker_sees", what_a_worker_sees),
            ("what_changes_later", what_changes_later),
            ("signals_to_the_group", signals_to_the_group),
            ("unwanted_children", unwanted_children),
            ("our_descriptors", our_descriptors),
            ("output_appears_once", output_appears_once),
            ("output_that_is_closed_on_exec", output_that_is_closed_on_exec),
            ("without_proc", without_proc),
        ],
        &[
            ("looks", looks),
            ("looks_again", looks_again),
            ("signals", signals),
            ("wants_no_children", wants_no_children),
            ("counts_descriptors", counts_descriptors),
            ("prints", prints),
            ("prints_to_what_is_closed_on_exec", prints_to_what_is_closed_on_exec),
            ("has_no_proc", has_no_proc),
        ],
    );
}

fn what_a_worker_sees() {
    let methods = process_methods();
    let mut table = vec![String::new(); ROWS.len()];
    for method in &methods {
        let mut subject = Subject::start("looks", *method);
        for (index, (row, fork, fresh)) in ROWS.iter().enumerate() {
            let seen = subject.expect(row);
            assert_eq!(&seen, if *method == Fork { fork } else { fresh }, "{row} under {method}");
            table[index] += &format!(" {seen} |");
        }
        subject.ends_well();
    }
    let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
    println!("\n| a worker's … | {} |", names.join(" | "));
    println!("| --- |{}", " --- |".repeat(methods.len()));
    for ((row, ..), cells) in ROWS.iter().zip(table) {
        println!("| {row} |{cells}");
    }
    println!();
}

fn named(yes: bool, name: &str) -> String {
    if yes { name.to_string() } else { format!("NOT {name}") }
}

fn mask(field: &str, status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a mask")
}

fn has(mask: u64, signal: Signal) -> bool {
    mask & 1 << (signal as i32 - 1) != 0
}

extern "C" fn handler(_: i32) {}

fn act(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(signal, &action) }.expect("a signal that can be handled");
}

fn looks(method: StartMethod) {
    // The state of the process when its pool is built.
    COMPILED.store(1, Ordering::Relaxed);
    // SAFETY: this process has one thread.
    unsafe { env::set_var("INHERITED", "changed") };
    let folder = env::temp_dir().join(format!("pool-core-inherited-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    env::set_current_dir(&folder).expect("it is there");
    fs::write("file", "content").expect("a file");
    let file = fs::File::open("file").expect("a file");
    let other = nix::unistd::dup(&file).expect("a descriptor that is not closed on exec");
    act(Signal::SIGWINCH, SigHandler::Handler(handler));
    act(Signal::SIGCHLD, SigHandler::SigIgn);
    act(Signal::SIGHUP, SigHandler::SigIgn);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR2);
    blocked.add(Signal::SIGTERM);
    blocked.thread_block().expect("a mask");

    let pool = pool(method, 2);
    LATE.store(1, Ordering::Relaxed);
    let mut row = ROWS.iter().map(|(row, ..)| row);
    let mut tell = |seen: String| say(format!("{} {seen}", row.next().expect("a row")));

    let statics =
        ask(&pool, |_: u8| (COMPILED.load(Ordering::Relaxed), LATE.load(Ordering::Relaxed)), 0);
    let (early, late) = statics.expect("a value");
    tell(if early == 1 { "as changed" } else { "as compiled" }.to_string());
    let was = if method == Fork { "as it was" } else { "as compiled" };
    tell(named(late == 0, was));
    let variable = ask(&pool, |_: u8| env::var("INHERITED").ok(), 0).expect("a value");
    tell(named(variable.as_deref() == Some("changed"), "as changed"));
    let cwd = |_: u8| env::current_dir().ok().map(|path| path.to_string_lossy().into_owned());
    let cwd = ask(&pool, cwd, 0).expect("a value");
    tell(named(cwd.as_deref() == env::current_dir().expect("it is there").to_str(), "as changed"));
    tell(open_files(&pool));
    let read = ask(&pool, |_: u8| std::io::stdin().read_to_end(&mut Vec::new()).ok(), 0);
    tell(named(read.expect("a value") == Some(0), "at its end"));
    let arguments = ask(&pool, |_: u8| env::args().collect::<Vec<_>>(), 0).expect("a value");
    tell(named(arguments == env::args().collect::<Vec<_>>(), "the same"));
    let comm = |_: u8| fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let comm = ask(&pool, comm, 0).expect("a value");
    tell(named(["worker-0\n", "worker-1\n"].contains(&comm.as_str()), "`worker-<id>`"));

    let status = |_: u8| fs::read_to_string("/proc/self/status").unwrap_or_default();
    let status = ask(&pool, status, 0).expect("a value");
    let (ignored, caught) = (mask("SigIgn", &status), mask("SigCgt", &status));
    tell(named(mask("SigBlk", &status) == 0, "empty"));
    tell(named(!has(caught, Signal::SIGWINCH), "default"));
    let program = ask(&pool, program_status, 0).expect("a value");
    let program = mask("SigIgn", &program);
    let both = has(ignored, Signal::SIGHUP) && has(program, Signal::SIGHUP);
    tell(named(both, "ignored, also in programs it starts"));
    let default = !has(ignored | caught, Signal::SIGCHLD);
    tell(named(has(ignored, Signal::SIGPIPE) && default, "ignored, default"));

    drop((file, other));
    fs::remove_dir_all(folder).expect("our folder");
}

fn program_status(_: u8) -> String {
    let output = Command::new("cat").arg("/proc/self/status").output().expect("cat runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a worker has the user's file open, under both names; other descriptors are checked
/// elsewhere.
fn open_files(pool: &Pool) -> String {
    let names = ask_at(pool, 1, descriptors);
    match names.iter().filter(|name| name.ends_with("/file")).count() {
        0 => "closed".to_string(),
        2 => "open".to_string(),
        _ => format!("{names:?}"),
    }
}

/// Environment and working directory, which a process may change at any time.
fn surroundings(_: u64) -> (Option<String>, Option<String>) {
    let folder = env::current_dir().ok();
    (env::var("LATER").ok(), folder.map(|path| path.to_string_lossy().into_owned()))
}

fn change_surroundings(to: &str) {
    // SAFETY: this process has one thread, or the others read only when they are asked to.
    unsafe { env::set_var("LATER", to) };
    env::set_current_dir(to).expect("a folder of every system");
}

fn looks_again(method: StartMethod) {
    change_surroundings("/");
    let pool = pool(method, 1);
    change_surroundings("/dev");
    let first = ask_at(&pool, 0, surroundings);
    change_surroundings("/proc");
    let later = ask_at(&pool, 0, surroundings);
    let worker = ask_at(&pool, 0, |_| std::process::id());
    if method != Threads {
        kill_now(Pid::from_raw(worker.cast_signed()));
    }
    let replacement = ask_at(&pool, 0, surroundings);
    for (variable, folder) in [first, later, replacement] {
        let (variable, folder) = (variable.expect("it is set"), folder.expect("it is there"));
        assert_eq!(variable, folder);
        say(format!("sees {folder}"));
    }
}

fn what_changes_later() {
    for method in StartMethod::ALL.into_iter().filter(|method| compiled_in(*method)) {
        // At the first use, after it, and when a dead worker was replaced.
        let expected = match method {
            Fork => ["/", "/", "/"],
            Threads => ["/dev", "/proc", "/proc"],
            _ => ["/dev", "/dev", "/dev"],
        };
        let mut subject = Subject::start("looks_again", method);
        let seen = expected.map(|_| subject.expect("sees"));
        assert_eq!(seen, expected, "{method}");
        subject.ends_well();
    }
}

/// Starts a program without waiting for it.
#[allow(clippy::zombie_processes, reason = "its worker ends soon")]
fn start_program(_: u64) -> u32 {
    Command::new("sleep").arg("1000").spawn().expect("sleep").id()
}

/// Signals such as Ctrl-C, which all processes below a terminal or a supervisor get.
fn signals(method: StartMethod) {
    ENDING.iter().for_each(|signal| act(*signal, SigHandler::Handler(handler)));
    let pool = pool(method, 2);
    let workers = live_workers(&pool);
    for signal in ENDING {
        let program = Pid::from_raw(ask_at(&pool, 1, start_program).cast_signed());
        killpg(getpgrp(), signal).expect("our own group");
        within_a_second(|| is_dead(program), |dead| *dead);
        assert_eq!(live_workers(&pool), workers, "{method}: they outlive {signal}");
    }
    say("outlived");
}

fn signals_to_the_group() {
    for method in process_methods() {
        let mut subject = Subject::start("signals", method);
        subject.expect("outlived");
        subject.ends_well();
    }
}

/// A program that does not want to be notified of the end of its children, in each of the possible
/// ways.
fn wants_no_children(method: StartMethod) {
    SigSet::all().thread_block().expect("a mask");
    let ways = [
        (SigHandler::SigDfl, SaFlags::SA_NOCLDWAIT),
        (SigHandler::Handler(handler), SaFlags::SA_NOCLDWAIT | SaFlags::SA_NOCLDSTOP),
        (SigHandler::SigIgn, SaFlags::empty()),
    ];
    for (what, flags) in ways {
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGCHLD, &SigAction::new(what, flags, SigSet::all())) }
            .expect("a signal that can be handled");
        let pool = pool(method, 2);
        for _ in 0..2 {
            let died = ask(&pool, |_: u8| -> u8 { std::process::exit(3) }, 0);
            assert!(matches!(died, Err(pool_core::Error::Task(_))), "{died:?}");
            assert_eq!(ask(&pool, program_and_wait, 0).expect("a value"), 7);
            pool.stop_and_join().expect("workers end");
            live_workers(&pool);
            pool.terminate().expect("workers end");
        }
    }
    say("worked");
}

/// A task can still wait for its own children.
fn program_and_wait(_: u8) -> i32 {
    let status = Command::new("sh").args(["-c", "exit 7"]).status().expect("a status");
    status.code().expect("a code")
}

fn unwanted_children() {
    for method in process_methods() {
        let mut subject = Subject::start("wants_no_children", method);
        subject.expect("worked");
        subject.ends_well();
    }
}

/// What this process has open, except for standard input, output and error.
fn descriptors(_: u64) -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let numbered = entries.filter(|entry| {
        let number = entry.file_name().to_string_lossy().parse::<i32>();
        number.is_ok_and(|number| number > 2)
    });
    let targets = numbered.filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut names: Vec<_> = targets.map(|path| path.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with("/proc/"));
    names.iter_mut().for_each(|name| {
        // Sockets differ by a number that changes from run to run.
        name.truncate(if name.starts_with("socket:") { "socket".len() } else { name.len() });
    });
    names.sort();
    names
}

/// How many descriptors a program inherits that is started here.
fn descriptors_of_a_program(_: u64) -> usize {
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("ls runs");
    let text = String::from_utf8_lossy(&output.stdout);
    // The last one is that of the directory itself.
    text.lines().filter(|line| line.contains("->")).count() - 1
}

fn counts_descriptors(method: StartMethod) {
    // Descriptors that the test's parent has left open go on to workers under Fork.
    let (open, handed_on) = (descriptors(0), descriptors_of_a_program(0));
    let other = pool(method, 2);
    ask(&other, |x: u64| x, 1).expect("a value");
    let pool = pool(method, 2);
    let mut seen = ask_at(&pool, 1, descriptors);
    if method == Fork {
        for name in open {
            let at = seen.iter().position(|seen| *seen == name).expect("Fork keeps what is open");
            seen.remove(at);
        }
    }
    assert_eq!(seen, OURS, "{method}");
    let program = ask_at(&pool, 1, descriptors_of_a_program);
    assert_eq!(program, if method == Fork { handed_on } else { 3 }, "{method}");
    drop((pool, other));
    say("counted");
}

fn our_descriptors() {
    for method in process_methods() {
        let mut subject = Subject::start("counts_descriptors", method);
        subject.expect("counted");
        subject.ends_well();
    }
}

fn prints(method: StartMethod) {
    print!("half a line of the parent, ");
    let pool = pool(method, 1);
    ask(&pool, |x: u64| print!("a task {x}, "), 1).expect("a value");
    ask(&pool, |x: u64| println!("a task {x}."), 2).expect("a value");
    drop(pool);
    println!("the other half");
    let _ = std::io::Write::flush(&mut std::io::stdout());
    let pool = scenario::pool(method, 1);
    ask(&pool, |x: u64| print!("task {x} "), 3).expect("a value");
    pool.stop_and_join().expect("a living pool");
    println!("the end");
    wait_for_go();
}

fn output_appears_once() {
    for method in process_methods() {
        let mut subject = Subject::start("prints", method);
        subject.go();
        let output = subject.rest();
        for part in [
            "half a line of the parent, ",
            "a task 1, ",
            "a task 2.",
            "the other half",
            "task 3 ",
            "the end",
        ] {
            assert_eq!(output.matches(part).count(), 1, "{part:?} under {method}: {output:?}");
        }
        subject.ends_well();
    }
}

fn prints_to_what_is_closed_on_exec(method: StartMethod) {
    let (output, errors) = (std::io::stdout(), std::io::stderr());
    nix::unistd::dup2_stderr(&output).expect("both go to the test");
    for fd in [output.as_fd(), errors.as_fd()] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it is open");
    }
    let pool = pool(method, 2);
    let print = |x: u64| {
        println!("output {x}");
        eprintln!("errors {x}");
        x
    };
    ask(&pool, print, 7).expect("a value");
}

fn output_that_is_closed_on_exec() {
    for method in process_methods() {
        let mut subject = Subject::start("prints_to_what_is_closed_on_exec", method);
        assert_eq!(subject.line(), "output 7", "{method}");
        assert_eq!(subject.line(), "errors 7", "{method}");
        subject.ends_well();
    }
}

/// The command that runs this program with an empty `/proc`, if that is allowed.
fn below_an_empty_proc() -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let command = |way: &[&str], program: &str| {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        command.args(way).args(["sh", "-c", script, program]);
        command
    };
    let is_allowed =
        |way: &&&[&str]| command(way, "true").output().is_ok_and(|o| o.status.success());
    let way = ways.iter().find(is_allowed)?;
    let program = env::current_exe().expect("this program");
    Some(command(way, program.to_str().expect("text")))
}

fn has_no_proc(method: StartMethod) {
    assert!(fs::metadata("/proc/self").is_err());
    let built = Pool::build(&scenario::options(method, 2));
    if method != Fork {
        let refused = built.map(drop);
        assert!(matches!(refused, Err(pool_core::Error::CannotExecute(_))), "{refused:?}");
        say("refused");
        return;
    }
    let pool = built.expect("one thread");
    for _ in 0..2 {
        let died = ask(&pool, |_: u8| -> u8 { std::process::exit(3) }, 0);
        assert!(matches!(died, Err(pool_core::Error::Task(_))), "{died:?}");
        assert_eq!(ask(&pool, |x: u64| x + 1, 1).expect("a value"), 2);
        pool.terminate().expect("workers end");
    }
    drop(pool);
    let thread = std::thread::spawn(wait_for_go);
    let refused = Pool::build(&scenario::options(method, 2)).map(drop);
    assert!(
        matches!(refused, Err(pool_core::Error::ForkWithThreads { threads: 2 })),
        "{refused:?}"
    );
    say("refused");
    thread.join().expect("no panic");
}

fn without_proc() {
    for method in process_methods() {
        let Some(command) = below_an_empty_proc() else {
            println!("this user may mount nothing here");
            return;
        };
        let mut subject = Subject::start_by(command, "has_no_proc", method);
        subject.expect("refused");
        subject.go();
        subject.ends_well();
    }
}
