//! One function in one process: its value, and each other way in which it can end.

#[path = "support/scenario.rs"]
mod scenario;

use std::os::fd::{AsFd, BorrowedFd};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
    unistd::Pid,
};
use pool_core::{Cause, Error, ExitStatus, Process, ProcessStatus, StartMethod};
use scenario::{is_dead, process_methods, run, until};

fn main() {
    run(
        &[
            ("value", value),
            ("panic", panics),
            ("exit_code", exit_code),
            ("signal", signal),
            ("kill", kill),
            ("is_alive", is_alive),
            ("dropped_runs_on", dropped_runs_on),
            ("threads_are_not_killed", threads_are_not_killed),
            ("descriptor", descriptor),
            ("reaped_by_others", reaped_by_others),
        ],
        &[],
    );
}

fn all_methods() -> Vec<StartMethod> {
    let mut methods = process_methods();
    if cfg!(feature = "threads") {
        methods.push(StartMethod::Threads);
    }
    methods
}

fn sleep_for_ever(_: ()) {
    loop {
        std::thread::park();
    }
}

fn cause(result: Result<(), Error>) -> Cause {
    match result {
        Err(Error::Process(error)) => error.cause().clone(),
        other => panic!("{other:?}"),
    }
}

fn value() {
    for method in all_methods() {
        let length = |text: String| text.len() as u64;
        let process = Process::spawn(method, length, "seven".to_string()).expect("a process");
        assert_eq!(process.pid().is_none(), method == StartMethod::Threads);
        assert_ne!(process.pid(), Some(std::process::id()));
        assert_eq!(process.join().expect("a value"), 5, "{method}");
    }
}

fn panics() {
    for method in all_methods() {
        let process = Process::spawn(method, |x: u64| panic!("for reason {x}"), 3);
        match cause(process.expect("a process").join()) {
            Cause::Panic { message, location, .. } => {
                assert_eq!(message, "for reason 3");
                assert!(location.expect("a place").contains("process.rs"), "{method}");
            }
            other => panic!("{method}: {other:?}"),
        }
    }
}

fn exit_code() {
    for method in process_methods() {
        let process = Process::spawn(method, |x: i32| std::process::exit(x), 3);
        let cause = cause(process.expect("a process").join());
        assert_eq!(cause, Cause::Death(ExitStatus::Code(3)), "{method}");
    }
}

fn signal() {
    for method in process_methods() {
        for signal in [Signal::SIGKILL, Signal::SIGABRT, Signal::SIGUSR1] {
            let number = signal as i32;
            let end =
                |x: i32| raise(Signal::try_from(x).expect("a signal")).expect("it can be raised");
            let process = Process::spawn(method, end, number).expect("a process");
            assert_eq!(cause(process.join()), Cause::Death(ExitStatus::Signal(number)), "{method}");
        }
    }
}

fn kill() {
    for method in process_methods() {
        let process = Process::spawn(method, sleep_for_ever, ()).expect("a process");
        let pid = Pid::from_raw(process.pid().expect("a process").cast_signed());
        assert!(process.is_alive() && !is_dead(pid), "{method}");
        process.kill().expect("it can be killed");
        process.kill().expect("a second time too");
        until(|| process.is_alive(), |alive| !alive);
        assert!(is_dead(pid), "{method}");
        process.kill().expect("a third time too");
        let killed = Cause::Death(ExitStatus::Signal(Signal::SIGKILL as i32));
        assert_eq!(cause(process.join()), killed, "{method}");
        // After its end a kill changes nothing.
        let process = Process::spawn(method, |x: u64| x, 5).expect("a process");
        until(|| process.is_alive(), |alive| !alive);
        process.kill().expect("nothing to kill");
        assert_eq!(process.join().expect("a value"), 5, "{method}");
    }
}

fn is_alive() {
    for method in all_methods() {
        let process = Process::spawn(method, |x: u64| x, 5).expect("a process");
        until(|| process.is_alive(), |alive| !alive);
        assert_eq!(process.join().expect("a value"), 5, "{method}");
    }
}

fn has_gone(pid: Pid) -> bool {
    nix::sys::signal::kill(pid, None).is_err()
}

fn dropped_runs_on() {
    for method in process_methods() {
        let process = Process::spawn(method, sleep_for_ever, ()).expect("a process");
        let pid = Pid::from_raw(process.pid().expect("a process").cast_signed());
        drop(process);
        assert!(!is_dead(pid), "{method}");
        nix::sys::signal::kill(pid, Signal::SIGKILL).expect("it runs");
        until(|| is_dead(pid), |dead| *dead);
        // The next start reaps it, or the server has.
        let next = Process::spawn(method, |x: u64| x, 5).expect("a process");
        assert_eq!(next.join().expect("a value"), 5);
        if method == StartMethod::ForkServer {
            until(|| has_gone(pid), |gone| *gone);
        }
        assert!(has_gone(pid), "{method}");
    }
}

fn threads_are_not_killed() {
    if cfg!(feature = "threads") {
        let process = Process::spawn(StartMethod::Threads, |x: u64| x, 5).expect("a thread");
        assert!(matches!(process.kill(), Err(Error::NotSupported { .. })));
        assert_eq!(process.join().expect("a value"), 5);
    }
}

/// Whether a descriptor is readable, now or within so many milliseconds.
fn is_readable(fd: BorrowedFd<'_>, millis: u16) -> bool {
    let mut watched = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::from(millis)).expect("it can be polled") > 0
}

fn descriptor() {
    for method in process_methods() {
        let mut process = Process::spawn(method, sleep_for_ever, ()).expect("a process");
        assert!(!is_readable(process.as_fd(), 0), "{method}");
        process.terminate().expect("it runs");
        assert!(is_readable(process.as_fd(), 60_000), "{method}");
        // Its end is known at once then.
        assert!(matches!(process.try_join(), Err(Error::Process(_))), "{method}");
        assert_eq!(process.exit_status(), ProcessStatus::Signal(libc::SIGTERM));
        assert!(is_readable(process.as_fd(), 0), "{method}");
    }
    for method in all_methods() {
        for x in 0..20 {
            let mut process = Process::spawn(method, |x: u64| x, x).expect("a process");
            assert!(is_readable(process.as_fd(), 60_000), "{method}");
            assert_eq!(process.try_join().expect("a value"), x, "{method}");
        }
    }
}

fn reaped_by_others() {
    for method in process_methods() {
        if method == StartMethod::ForkServer {
            continue; // it is no child of this process
        }
        let process = Process::spawn(method, sleep_for_ever, ()).expect("a process");
        let pid = Pid::from_raw(process.pid().expect("a process").cast_signed());
        process.kill().expect("it runs");
        nix::sys::wait::waitpid(pid, None).expect("a child");
        assert_eq!(process.exit_status(), ProcessStatus::Unknown, "{method}");
        assert_eq!(cause(process.join()), Cause::Death(ExitStatus::Unknown), "{method}");
        // The value counts where it is there.
        let process = Process::spawn(method, |x: u64| x, 5).expect("a process");
        let pid = Pid::from_raw(process.pid().expect("a process").cast_signed());
        nix::sys::wait::waitpid(pid, None).expect("a child");
        assert_eq!(process.exit_status(), ProcessStatus::Value, "{method}");
        assert_eq!(process.join().expect("a value"), 5, "{method}");
    }
}
