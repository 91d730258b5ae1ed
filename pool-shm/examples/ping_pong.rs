//! Two processes play ping-pong on a word of shared memory:
//! `cargo run -p pool-shm --example ping_pong`.

use std::{
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use nix::{
    sys::wait::waitpid,
    unistd::{ForkResult, fork},
};
use pool_shm::{Segment, futex};

const ROUNDS: u32 = 10_000;

/// Hits the ball whenever its count leaves `remainder` when divided by 2.
fn play(ball: &AtomicU32, remainder: u32) {
    for round in 0..ROUNDS {
        let turn = 2 * round + remainder;
        loop {
            let seen = ball.load(Ordering::SeqCst);
            if seen == turn {
                break;
            }
            futex::wait(ball, seen, None);
        }
        ball.store(turn + 1, Ordering::SeqCst);
        futex::wake(ball, 1);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let table = Segment::create("table", 4096)?.map()?;
    // SAFETY: the word is mapped, aligned, lives as long as `table`, and both processes use it as
    // an atomic only.
    let ball = unsafe { AtomicU32::from_ptr(table.as_ptr().cast()) };

    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            play(ball, 1);
            // SAFETY: ends the process without running the parent's clean-up a second time.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            let begun = Instant::now();
            play(ball, 0);
            waitpid(child, None)?;
            let hits = ball.load(Ordering::SeqCst);
            println!("{hits} hits, {:?} per round trip", begun.elapsed() / ROUNDS);
        }
    }
    Ok(())
}
