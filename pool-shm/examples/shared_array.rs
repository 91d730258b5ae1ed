//! Four processes fill one array and count in one value:
//! `cargo run -p pool-shm --example shared_array`.

use std::{error::Error, time::Instant};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};
use pool_shm::{SharedArray, SharedValue};

const PROCESSES: usize = 4;
const POINTS: usize = 1 << 20;

/// How many steps the Collatz sequence takes from `start` to 1.
fn steps(start: u64) -> u32 {
    let mut number = start.max(1);
    let mut steps = 0;
    while number != 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

fn main() -> Result<(), Box<dyn Error>> {
    let table = SharedArray::<u32>::new(POINTS)?;
    let histogram = SharedArray::<u64>::new(1000)?;
    let longest = SharedValue::new(0u32)?;

    let begun = Instant::now();
    let mut children = Vec::new();
    for process in 0..PROCESSES {
        // SAFETY: this program has one thread.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => children.push(child),
            ForkResult::Child => {
                // A part for each, so that none waits for another; sums and maxima for all of
                // them.
                let first = process * POINTS / PROCESSES;
                let part = table.slice(first..(process + 1) * POINTS / PROCESSES);
                part.fill_with(|offset| steps((first + offset) as u64));
                for steps in &part {
                    histogram.fetch_add((steps as usize).min(histogram.len() - 1), 1);
                    longest.fetch_max(steps);
                }
                // SAFETY: ends the process; nothing of it is used afterwards.
                unsafe { libc::_exit(0) }
            }
        }
    }
    for child in children {
        match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => {}
            end => return Err(format!("a process ended as {end:?}").into()),
        }
    }

    assert_eq!(histogram.iter().sum::<u64>(), POINTS as u64);
    assert_eq!(table.iter().max(), Some(longest.get()));
    let usual = (0..histogram.len()).max_by_key(|&steps| histogram.get(steps)).unwrap_or(0);
    println!(
        "{POINTS} sequences by {PROCESSES} processes in {:.0?}: the longest takes {} steps, most often it is {usual}",
        begun.elapsed(),
        longest.get(),
    );
    Ok(())
}
