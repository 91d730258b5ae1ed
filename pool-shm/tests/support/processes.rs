//! Forks children, and looks for resources that a test left behind.
//!
//! Invariant: the program that uses this has one thread, so a forked child may do whatever it
//! likes.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, Pid, alarm, fork},
};

/// Runs the tests one after the other; SIGALRM ends a program that takes longer than a minute.
pub(crate) fn run(tests: &[(&str, fn())]) {
    alarm::set(60);
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
            alarm::set(30);
            let code = if catch_unwind(AssertUnwindSafe(child)).is_ok() { 0 } else { 101 };
            // SAFETY: ends the process; nothing of it is used afterwards.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Waits for a child that must have returned.
pub(crate) fn finish(child: Pid) {
    assert_eq!(end_of(child), WaitStatus::Exited(child, 0));
}

/// How a child ended.
pub(crate) fn end_of(child: Pid) -> WaitStatus {
    waitpid(child, None).expect("waitpid")
}

/// The beginning of every name that these tests give.
pub(crate) fn prefix() -> String {
    format!("pool-shm-test.{}.", std::process::id())
}

/// Descriptors, shared mappings and names that this process has now.
fn leftovers() -> (usize, usize, Vec<String>) {
    let descriptors = fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count();
    let maps = fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    let mappings =
        maps.lines().filter(|line| line.contains("/memfd:") || line.contains("/dev/shm/")).count();
    let names = fs::read_dir("/dev/shm").expect("/dev/shm");
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    (descriptors, mappings, names.filter(|name| name.starts_with(&prefix())).collect())
}
