//! Forks children, and looks for resources that a test left behind.
//!
//! Invariant: the program that uses this has one thread, so a forked child may do whatever it
//! likes.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, alarm, fork},
};

/// Runs the tests one after the other; SIGALRM ends a program that takes longer than `seconds`.
pub(crate) fn run(seconds: u32, tests: &[(&str, fn())]) {
    alarm::set(seconds);
    // The first test runs once more before: it sets up all that is set up once and kept.
    tests.first().expect("a program without tests").1();
    for (name, test) in tests {
        let before = leftovers();
        test();
        assert_eq!(leftovers(), before, "{name} left something behind");
        println!("test {name} ... ok");
    }
    // A test that fails panics, and that ends the program.
    println!("\ntest result: ok. {} passed; 0 failed", tests.len());
}

/// Starts a child; it exits with 0 if `child` returned and 101 if it panicked.
pub(crate) fn start(child: impl FnOnce()) -> Pid {
    // SAFETY: the program has one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            alarm::set(60);
            let code = if catch_unwind(AssertUnwindSafe(child)).is_ok() { 0 } else { 101 };
            // SAFETY: ends the process; nothing of it is used afterwards.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Waits for a child that must have returned.
pub(crate) fn finish(child: Pid) {
    assert_eq!(waitpid(child, None).expect("waitpid"), WaitStatus::Exited(child, 0));
}

/// Kills a child and reaps it.
pub(crate) fn kill_and_reap(child: Pid) {
    kill(child, Signal::SIGKILL).expect("kill");
    let end = waitpid(child, None).expect("waitpid");
    assert_eq!(end, WaitStatus::Signaled(child, Signal::SIGKILL, false));
}

/// Descriptors and shared mappings that this process has now.
fn leftovers() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    (
        fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count(),
        maps.lines().filter(|line| line.contains("/memfd:")).count(),
    )
}
