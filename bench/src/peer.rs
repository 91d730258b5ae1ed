//! A forked process as the other end of a bare baseline, and the words that both share.
//!
//! Invariant: peers are forked while this process has one thread, and never outlive it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::{
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork},
};
use pool_affinity::CpuSet;
use pool_shm::{Mapping, Segment, futex};

use crate::Outcome;

/// A child process that runs one loop until it is killed.
#[derive(Debug)]
pub struct Peer {
    pid: Pid,
    words: Mapping,
}

/// The words that a peer and its maker share, each in its own cache lines.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a>(&'a Mapping);

const STRIDE: usize = 128;

impl<'a> Words<'a> {
    /// The word that is passed to and fro.
    pub fn ball(self) -> &'a AtomicU32 {
        self.word(0)
    }

    /// The word that says whether the peer shall be at work.
    pub fn switch(self) -> &'a AtomicU32 {
        self.word(1)
    }

    fn word(self, index: usize) -> &'a AtomicU32 {
        // SAFETY: the word lies in the first page of the mapping, aligned, and lives as long; all
        // code uses it as an atomic only.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr().add(index * STRIDE).cast()) }
    }
}

impl Peer {
    /// Forks a child, on `cpu` if one is given, that runs `life`; call it before anything starts a
    /// thread.
    ///
    /// # Errors
    ///
    /// There is no memory for the words, or no process.
    pub fn fork(cpu: Option<usize>, life: impl FnOnce(Words<'_>)) -> Outcome<Self> {
        let words = Segment::create("words", 4096)?.map()?;
        // SAFETY: the caller's process has one thread, so the child may do whatever it likes.
        match unsafe { fork() }? {
            ForkResult::Child => {
                let _ = set_pdeathsig(Signal::SIGKILL);
                if let Some(cpu) = cpu {
                    let _ = CpuSet::from_ids([cpu]).and_then(|set| set.pin_current_thread());
                }
                life(Words(&words));
                exit_at_once()
            }
            ForkResult::Parent { child } => Ok(Self { pid: child, words }),
        }
    }

    /// The words that both share.
    pub fn words(&self) -> Words<'_> {
        Words(&self.words)
    }

    /// The child's id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// A child that hits the ball back by spinning on it, and sleeps while its switch is off.
    ///
    /// # Errors
    ///
    /// Those of [`Peer::fork`].
    pub fn spinning(cpu: Option<usize>) -> Outcome<Self> {
        Self::fork(cpu, |words| {
            loop {
                if words.switch().load(SeqCst) == 0 {
                    futex::wait(words.switch(), 0, None);
                    continue;
                }
                let seen = words.ball().load(SeqCst);
                if seen % 2 == 1 {
                    words.ball().store(seen.wrapping_add(1), SeqCst);
                } else {
                    std::hint::spin_loop();
                }
            }
        })
    }

    /// A child that hits the ball back and sleeps on the futex in between.
    ///
    /// # Errors
    ///
    /// Those of [`Peer::fork`].
    pub fn sleeping(cpu: Option<usize>) -> Outcome<Self> {
        Self::fork(cpu, |words| {
            loop {
                let seen = words.ball().load(SeqCst);
                if seen % 2 == 1 {
                    words.ball().store(seen.wrapping_add(1), SeqCst);
                    futex::wake(words.ball(), 1);
                } else {
                    futex::wait(words.ball(), seen, None);
                }
            }
        })
    }

    /// A child, on `cpu` if one is given, that runs `work` once each time it is asked.
    ///
    /// # Errors
    ///
    /// Those of [`Peer::fork`].
    pub fn working(cpu: Option<usize>, mut work: impl FnMut()) -> Outcome<Self> {
        Self::fork(cpu, |words| {
            loop {
                let seen = words.ball().load(SeqCst);
                if seen % 2 == 1 {
                    work();
                    words.ball().store(seen.wrapping_add(1), SeqCst);
                    futex::wake(words.ball(), 1);
                } else {
                    futex::wait(words.ball(), seen, None);
                }
            }
        })
    }

    /// One round trip with a child that spins, spinning.
    pub fn hit_spinning(&self) {
        let ball = self.words().ball();
        let turn = ball.load(SeqCst).wrapping_add(1);
        ball.store(turn, SeqCst);
        while ball.load(SeqCst) == turn {
            std::hint::spin_loop();
        }
    }

    /// Asks a child that sleeps.
    pub fn ask(&self) {
        let ball = self.words().ball();
        ball.store(ball.load(SeqCst).wrapping_add(1), SeqCst);
        futex::wake(ball, 1);
    }

    /// Waits for its answer, sleeping.
    pub fn wait(&self) {
        let ball = self.words().ball();
        loop {
            let seen = ball.load(SeqCst);
            if seen.is_multiple_of(2) {
                break;
            }
            futex::wait(ball, seen, None);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A child that is gone already is fine.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

/// Ends a forked child without running anything of its parent.
pub fn exit_at_once() -> ! {
    // SAFETY: `_exit` ends the process and runs nothing that belongs to its parent.
    unsafe { libc::_exit(0) }
}
