//! What a worker sees of the process that made its pool, under each start method.
//!
//! Each row of the table in the README is a row here; the table is printed at the end.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    env, fs,
    io::Read,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::Pid,
};
use pool_core::StartMethod::{self, Fork};
use scenario::{Subject, all_workers, ask, pool, process_methods, run, say, wait_for_go};

/// The rows: what, under Fork, under ForkServer and Spawn.
const ROWS: [(&str, &str, &str); 13] = [
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
    ("SIGINT, SIGHUP, SIGQUIT, SIGTERM", "survived", "survived"),
];

static COMPILED: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);

fn main() {
    run(
        &[("what_a_worker_sees", what_a_worker_sees), ("output_appears_once", output_appears_once)],
        &[("looks", looks), ("prints", prints)],
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

fn looks(method: StartMethod) {
    // What the process is like when its pool is built.
    COMPILED.store(1, Ordering::Relaxed);
    // SAFETY: this process has one thread.
    unsafe { env::set_var("INHERITED", "changed") };
    let folder = env::temp_dir().join(format!("pool-core-inherited-{}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    env::set_current_dir(&folder).expect("it is there");
    fs::write("file", "content").expect("a file");
    let file = fs::File::open("file").expect("a file");
    let other = nix::unistd::dup(&file).expect("a descriptor that is not closed on exec");
    let act = |signal, handler| {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(signal, &action) }.expect("a signal that can be handled");
    };
    act(Signal::SIGUSR1, SigHandler::Handler(handler));
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
    tell(named(!has(caught, Signal::SIGUSR1), "default"));
    let program = ask(&pool, program_status, 0).expect("a value");
    let program = mask("SigIgn", &program);
    let both = has(ignored, Signal::SIGHUP) && has(program, Signal::SIGHUP);
    tell(named(both, "ignored, also in programs it starts"));
    let default = !has(ignored | caught, Signal::SIGCHLD);
    tell(named(has(ignored, Signal::SIGPIPE) && default, "ignored, default"));

    let before = all_workers(&pool);
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM] {
        for pid in &before {
            kill(Pid::from_raw(pid.cast_signed()), signal).expect("a living worker");
        }
        ask(&pool, |x: u64| x, 1).expect("a value");
    }
    tell(named(pool.worker_pids() == before, "survived"));
    drop((file, other));
    fs::remove_dir_all(folder).expect("our folder");
}

fn program_status(_: u8) -> String {
    let output = Command::new("cat").arg("/proc/self/status").output().expect("cat runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a worker has the user's file open; whatever else it has open is known.
fn open_files(pool: &pool_core::Pool) -> String {
    let list = |_: u8| {
        let entries = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
        let numbered = entries.filter(|entry| {
            let number = entry.file_name().to_string_lossy().parse::<i32>();
            number.is_ok_and(|number| number > 2)
        });
        let targets = numbered.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut files: Vec<String> = ask(pool, list, 0).expect("a value");
    files.retain(|path| !path.starts_with("/proc/"));
    let own = |path: &String| path.starts_with("anon_inode:[eventfd]") || path.contains("/memfd:");
    files.retain(|path| !own(path));
    // By which a worker asks for the segments of handles.
    let door = files.iter().position(|path| path.starts_with("socket:"));
    door.into_iter().for_each(|door| drop(files.remove(door)));
    let users = files.iter().filter(|path| path.ends_with("/file")).count();
    let foreign = files.len() - users;
    match (users, foreign) {
        (0, 0) => "closed".to_string(),
        (2, _) => "open".to_string(),
        _ => format!("{files:?}"),
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
