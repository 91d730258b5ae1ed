//! What becomes of the processes of a program with the program's end.

#[path = "support/scenario.rs"]
mod scenario;

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    path::PathBuf,
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pool_core::{ForkWithThreads, Process, ProcessBuilder, StartMethod};
use scenario::{Subject, is_dead, process_methods, run, say, until, wait_for_go};

fn main() {
    run(
        &[
            ("daemonic_ones_end_with_a_killed_parent", daemonic_ones_end_with_a_killed_parent),
            ("a_normal_end_kills_and_waits", a_normal_end_kills_and_waits),
            ("detached_ones_are_not_waited_for", detached_ones_are_not_waited_for),
            ("a_starting_thread_may_end", a_starting_thread_may_end),
            ("a_process_ends_its_own", a_process_ends_its_own),
            ("a_killed_server_is_replaced", a_killed_server_is_replaced),
        ],
        &[
            ("two", two),
            ("two_and_end", two_and_end),
            ("detached", detached),
            ("in_a_thread", in_a_thread),
            ("nested", nested),
        ],
    );
}

fn builder(method: StartMethod) -> ProcessBuilder {
    Process::builder().start_method(method)
}

fn sleep_for_ever(_: ()) {
    loop {
        std::thread::park();
    }
}

/// The variable of the path of a named pipe, for `say_late`.
const GATE: &str = "POOL_CORE_GATE";

/// Prints a line when the test lets it.
fn say_late(_: ()) {
    let path = env::var_os(GATE).expect("the test sets it");
    File::open(path).and_then(|mut gate| gate.read_exact(&mut [0])).expect("a named pipe");
    say("late");
}

/// A named pipe, which processes wait for.
struct Gate(PathBuf);

impl Gate {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("pool-core-gate-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a named pipe");
        Self(path)
    }

    fn subject(&self, name: &str, method: StartMethod) -> Subject {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.env(GATE, &self.0);
        Subject::start_by(command, name, method)
    }

    /// Lets `count` processes pass; those that have not come yet, as long as the answer is held.
    fn open(&self, count: usize) -> File {
        let mut gate = File::options().write(true).open(&self.0).expect("one of them waits");
        gate.write_all(&vec![0; count]).expect("they read");
        gate
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn pid_in(line: &str) -> Pid {
    Pid::from_raw(line.parse().expect("a process id"))
}

fn pid_of<R: pool_ipc::Wire>(process: &Process<R>) -> u32 {
    process.pid().expect("a process")
}

fn two(method: StartMethod) {
    let daemon = builder(method).daemon(true).spawn(sleep_for_ever, ()).expect("a process");
    let other = builder(method).spawn(sleep_for_ever, ()).expect("a process");
    say(format!("daemon {}", pid_of(&daemon)));
    say(format!("other {}", pid_of(&other)));
    wait_for_go();
}

fn daemonic_ones_end_with_a_killed_parent() {
    for method in process_methods() {
        let mut subject = Subject::start("two", method);
        let daemon = pid_in(&subject.expect("daemon"));
        let other = pid_in(&subject.expect("other"));
        // Both run their function before the parent is killed.
        let runs = |pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.starts_with("Process-"))
        };
        until(|| runs(daemon) && runs(other), |both| *both);
        assert!(!is_dead(daemon) && !is_dead(other), "{method}");
        kill(subject.pid(), Signal::SIGKILL).expect("it runs");
        subject.reap();
        until(|| is_dead(daemon), |dead| *dead);
        assert!(!is_dead(other), "{method}");
        kill(other, Signal::SIGKILL).expect("it lives on");
        until(|| is_dead(other), |dead| *dead);
    }
}

fn two_and_end(method: StartMethod) {
    let daemon = builder(method).daemon(true).spawn(sleep_for_ever, ()).expect("a process");
    say(format!("daemon {}", pid_of(&daemon)));
    // One whose handle is dropped, and one whose handle is not.
    drop(builder(method).spawn(say_late, ()).expect("a process"));
    std::mem::forget(builder(method).spawn(say_late, ()).expect("a process"));
    say("over");
}

fn a_normal_end_kills_and_waits() {
    let gate = Gate::new();
    for method in process_methods() {
        let mut subject = gate.subject("two_and_end", method);
        let daemon = pid_in(&subject.expect("daemon"));
        assert_eq!(subject.line(), "over", "{method}");
        // It is killed when `main` is over, and then the others are waited for.
        until(|| is_dead(daemon), |dead| *dead);
        let open = gate.open(2);
        assert_eq!([subject.line(), subject.line()], ["late", "late"], "{method}");
        drop(open);
        assert_eq!(subject.rest(), "");
        subject.ends_well();
    }
}

fn detached(method: StartMethod) {
    let process = builder(method).name("detached").spawn(sleep_for_ever, ()).expect("a process");
    // Only a process that has begun outlives this one: it has its name from then on.
    let name = || fs::read_to_string(format!("/proc/{}/comm", pid_of(&process)));
    until(name, |name| name.as_ref().is_ok_and(|name| name.trim() == "detached"));
    say(format!("detached {}", pid_of(&process)));
    process.detach().expect("it is not daemonic");
    let daemon = builder(method).daemon(true).spawn(sleep_for_ever, ()).expect("a process");
    daemon.detach().expect_err("it is daemonic");
    say("over");
}

fn detached_ones_are_not_waited_for() {
    for method in process_methods() {
        let mut subject = Subject::start("detached", method);
        let detached = pid_in(&subject.expect("detached"));
        subject.expect("over");
        subject.reap();
        assert!(!is_dead(detached), "{method}");
        kill(detached, Signal::SIGKILL).expect("it lives on");
        until(|| is_dead(detached), |dead| *dead);
    }
}

fn in_a_thread(method: StartMethod) {
    let start = move || {
        // SAFETY: the other thread of this program only waits for this one.
        let promise = unsafe { ForkWithThreads::assume_safe() };
        let builder = builder(method).daemon(true).allow_fork_with_threads(promise);
        builder.spawn(sleep_for_ever, ()).expect("a process")
    };
    let daemon = std::thread::spawn(start).join().expect("it starts one");
    say(format!("daemon {}", pid_of(&daemon)));
    wait_for_go();
    say(format!("alive {}", daemon.is_alive()));
}

fn a_starting_thread_may_end() {
    for method in process_methods() {
        let mut subject = Subject::start("in_a_thread", method);
        let daemon = pid_in(&subject.expect("daemon"));
        until(
            || std::fs::read_to_string(format!("/proc/{daemon}/comm")).unwrap_or_default(),
            |name| name.starts_with("Process-"),
        );
        subject.go();
        assert_eq!(subject.expect("alive"), "true", "{method}");
        subject.ends_well();
        assert!(is_dead(daemon), "{method}");
    }
}

/// A process that starts others, and returns without them.
fn start_two(method: u8) {
    let method = StartMethod::ALL[usize::from(method)];
    drop(builder(method).spawn(say_late, ()).expect("a process"));
    let daemon = builder(method).daemon(true).spawn(sleep_for_ever, ()).expect("a process");
    say(format!("daemon {}", pid_of(&daemon)));
}

fn nested(method: StartMethod) {
    let number = StartMethod::ALL.iter().position(|m| *m == method).expect("one of them") as u8;
    let process = builder(method).spawn(start_two, number).expect("a process");
    process.join().expect("a value");
    say("joined");
}

fn a_process_ends_its_own() {
    let gate = Gate::new();
    for method in process_methods() {
        let mut subject = gate.subject("nested", method);
        let daemon = pid_in(&subject.expect("daemon"));
        // It is killed when the function has returned, and then the other one is waited for.
        until(|| is_dead(daemon), |dead| *dead);
        let open = gate.open(1);
        assert_eq!([subject.line(), subject.line()], ["late", "joined"], "{method}");
        drop(open);
        subject.ends_well();
    }
}

fn a_killed_server_is_replaced() {
    if !process_methods().contains(&StartMethod::ForkServer) {
        return;
    }
    let method = StartMethod::ForkServer;
    let first = builder(method).spawn(sleep_for_ever, ()).expect("a process");
    let daemon = builder(method).daemon(true).spawn(sleep_for_ever, ()).expect("a process");
    let parent = |()| nix::unistd::getppid().as_raw();
    let server = builder(method).spawn(parent, ()).and_then(Process::join).expect("a value");
    assert_ne!(server, nix::unistd::getpid().as_raw());
    kill(Pid::from_raw(server), Signal::SIGKILL).expect("it runs");
    let status = |process: &Process<()>| process.exit_status().to_string();
    until(|| status(&daemon), |text| text.contains("unknown"));
    // It lives on, but no process is left that would tell how it ends.
    assert!(first.is_alive());
    first.kill().expect("it runs");
    until(|| status(&first), |text| text.contains("unknown"));
    let next = builder(method).spawn(parent, ()).and_then(Process::join).expect("a value");
    assert_ne!(next, server);
}
