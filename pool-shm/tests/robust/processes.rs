//! The processes that are killed.
//!
//! Invariant: this program has one thread; every worker dies with it, and is reaped.

use std::{
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

use crate::board::{WORKERS, now_ns};

/// Random numbers (xorshift64*), good enough to hit every moment.
#[derive(Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// Keeps the CPU busy for a moment, or sleeps for one.
    pub(crate) fn dawdle(&mut self, most: Duration) {
        let time = Duration::from_nanos(self.below(most.as_nanos() as u64 + 1));
        if self.below(8) == 0 {
            thread::sleep(time);
        } else {
            let until = now_ns() + time.as_nanos() as u64;
            while now_ns() < until {
                hint::spin_loop();
            }
        }
    }
}

/// The workers, each with a place.
pub(crate) struct Processes<F: Fn(usize, Chance)> {
    pids: [Option<Pid>; WORKERS],
    work: F,
}

impl<F: Fn(usize, Chance)> Processes<F> {
    /// Starts all workers. `work` gets the worker's place and never returns.
    pub(crate) fn start(chance: &mut Chance, work: F) -> Self {
        let mut processes = Self { pids: [None; WORKERS], work };
        (0..WORKERS).for_each(|worker| processes.restart(worker, chance));
        processes
    }

    /// Starts a worker whose predecessor is dead.
    pub(crate) fn restart(&mut self, worker: usize, chance: &mut Chance) {
        assert!(self.pids[worker].is_none());
        let seed = chance.below(u64::MAX);
        // SAFETY: the program has one thread.
        let pid = match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                // SAFETY: only changes what happens to this process when its parent ends.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let worked =
                    catch_unwind(AssertUnwindSafe(|| (self.work)(worker, Chance::new(seed))));
                // SAFETY: ends the process; nothing of it is used afterwards.
                unsafe { libc::_exit(if worked.is_ok() { 3 } else { 101 }) }
            }
        };
        self.pids[worker] = Some(pid);
    }

    /// Kills a worker, which is a zombie soon; returns when.
    pub(crate) fn kill(&mut self, worker: usize) -> u64 {
        let at = now_ns();
        kill(self.pids[worker].expect("started"), Signal::SIGKILL).expect("kill");
        at
    }

    /// Reaps a worker that was killed.
    pub(crate) fn reap(&mut self, worker: usize) {
        let pid = self.pids[worker].take().expect("started");
        let end = waitpid(pid, None).expect("waitpid");
        assert_eq!(end, WaitStatus::Signaled(pid, Signal::SIGKILL, false), "it ended by itself");
    }
}

impl<F: Fn(usize, Chance)> Drop for Processes<F> {
    fn drop(&mut self) {
        for pid in self.pids.iter().flatten() {
            let _ = kill(*pid, Signal::SIGKILL);
            let _ = waitpid(*pid, None);
        }
    }
}
