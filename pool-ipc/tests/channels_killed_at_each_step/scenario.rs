//! A scenario, in which a child is killed after each number of steps.

use std::{
    env, fs, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill, raise},
        wait::{WaitStatus, waitpid},
    },
    unistd::{Pid, alarm},
};

use crate::processes::start;

/// How many instructions one scenario takes in all: a quarter of a second's worth, or a minute's.
/// Each costs two switches of processes; without optimisations there are ten times as many, and
/// fewer are tried.
const FEW: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
const MANY: usize = 2_000_000;

/// The steps around one kill, in this order.
pub(crate) struct Scenario<'a> {
    /// In the child, at full speed.
    pub(crate) before: &'a dyn Fn(),
    /// In this process, while the child is stopped.
    pub(crate) meanwhile: &'a dyn Fn(),
    /// In the child, until it is killed.
    pub(crate) work: &'a dyn Fn(),
    /// In this process. Leaves everything as it was.
    pub(crate) after: &'a dyn Fn(),
}

impl Scenario<'_> {
    /// Kills a child after each number of instructions of `work`, or as many numbers as time
    /// allows, one at least.
    pub(crate) fn run(&self) {
        alarm::set(300);
        let most = if env::args().any(|argument| argument == "--all") { MANY } else { FEW };
        let whole = self.kill_after(usize::MAX);
        // Every `stride`th number up to `whole` adds up to `whole² / (2 stride)`.
        let stride = (whole * whole).div_ceil(2 * most);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let first = since.as_nanos() as usize % stride.min(whole);
        let mut kills = 0;
        for steps in (first..whole).step_by(stride) {
            self.kill_after(steps);
            kills += 1;
        }
        println!("  killed after {kills} of {whole} instructions");
    }

    /// Kills a child after `steps` instructions of `work`, unless it comes to the end before;
    /// returns how many it did.
    fn kill_after(&self, steps: usize) -> usize {
        let child = start(|| {
            (self.before)();
            ptrace::traceme().expect("traceme");
            raise(Signal::SIGSTOP).expect("stop");
            (self.work)();
            // SAFETY: ends the process; nothing of it is used afterwards.
            unsafe { libc::_exit(0) }
        });
        assert_eq!(end_of(child), WaitStatus::Stopped(child, Signal::SIGSTOP));
        (self.meanwhile)();
        let done = steps_of(child, steps);
        (self.after)();
        done
    }
}

fn steps_of(child: Pid, steps: usize) -> usize {
    for step in 0..steps {
        ptrace::step(child, None).expect("step");
        match end_of(child) {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Exited(_, 0) => return step,
            other => panic!("{other:?}"),
        }
    }
    kill(child, Signal::SIGKILL).expect("kill");
    assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGKILL, false));
    steps
}

fn end_of(child: Pid) -> WaitStatus {
    waitpid(child, None).expect("waitpid")
}

/// Waits until `child` sleeps.
pub(crate) fn asleep(child: Pid) -> Pid {
    let path = format!("/proc/{child}/stat");
    while !fs::read_to_string(&path).expect("a child").contains(") S ") {
        thread::sleep(Duration::from_micros(50));
    }
    child
}

/// Whether the kernel and its filters let a child be traced.
pub(crate) fn can_trace() -> bool {
    let child = start(|| ptrace::traceme().expect("traceme"));
    end_of(child) == WaitStatus::Exited(child, 0)
}
