//! Three processes move money under one lock, and one after the other is killed at it:
//! `cargo run -p pool-shm --example dead_holder`.

use std::{convert::Infallible, error::Error, thread, time::Duration};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, fork},
};
use pool_shm::{LockError, SharedMutex, SharedMutexGuard};

/// The sum of both accounts, always.
const ALL: i64 = 1_000;

/// Locks, and finishes what a dead holder left undone.
fn locked(accounts: &SharedMutex<[i64; 2]>) -> Result<SharedMutexGuard<'_, [i64; 2]>, LockError> {
    match accounts.lock() {
        Err(LockError::HolderDied(mut guard)) => {
            let missing = ALL - guard.iter().sum::<i64>();
            eprintln!("  a holder died; {missing} were on their way and are put back");
            guard[0] += missing;
            guard.mark_repaired();
            Ok(guard)
        }
        taken => taken.map_err(LockError::give_up),
    }
}

/// Moves money to and fro for ever.
fn trade(accounts: &SharedMutex<[i64; 2]>, step: i64) -> Result<Infallible, LockError> {
    loop {
        let mut guard = locked(accounts)?;
        guard[0] -= step;
        thread::sleep(Duration::from_millis(1)); // a good moment to be killed
        guard[1] += step;
        drop(guard);
        thread::sleep(Duration::from_micros(200)); // another's turn
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let accounts = SharedMutex::new([ALL, 0])?;
    let mut traders: Vec<Pid> = Vec::new();
    for step in [1, 2, -3] {
        // SAFETY: this program has one thread.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => traders.push(child),
            ForkResult::Child => {
                let Err(error) = trade(&accounts, step);
                eprintln!("{error}");
                // SAFETY: ends the process without running the parent's clean-up a second time.
                unsafe { libc::_exit(1) }
            }
        }
    }
    for trader in traders {
        thread::sleep(Duration::from_millis(100));
        eprintln!("killing {trader}");
        kill(trader, Signal::SIGKILL)?;
        waitpid(trader, None)?;
    }
    let accounts = locked(&accounts)?;
    println!("in the end: {} + {} = {}", accounts[0], accounts[1], accounts[0] + accounts[1]);
    Ok(())
}
