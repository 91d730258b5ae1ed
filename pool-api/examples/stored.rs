//! Results that many processes store into one array, and what a lock around it costs:
//! `cargo run --release -p pool-api --example stored`.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use pool_api::{SharedArray, WorkerPool, usable_cpus};
use pool_shm::{LockError, SharedMutex};

const POINTS: usize = if cfg!(debug_assertions) { 1 << 16 } else { 1 << 20 };
/// Points in the part of one task of `slices_mut`.
const PART: usize = 1 << 12;

/// How many steps the Collatz sequence takes from `start` to 1.
fn steps(start: usize) -> u32 {
    let mut number = start.max(1);
    let mut steps = 0;
    while number != 1 {
        number = if number.is_multiple_of(2) { number / 2 } else { 3 * number + 1 };
        steps += 1;
    }
    steps
}

/// The shortest of three runs: workers and memory are warm by then.
fn timed(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed());
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = WorkerPool::new(usable_cpus().max(2))?;

    // Each task gets its index and stores one element. No task waits for another: elements are
    // accessed by atomics.
    let array = SharedArray::<u32>::new(POINTS)?;
    let plain = timed(|| {
        let tasks = pool.tasks(0..POINTS).with(array.clone());
        tasks.map(|array, index| array.set(index, steps(index)))?;
        Ok(())
    })?;

    // The same behind a lock that is taken for every element.
    let locked = SharedMutex::<[u32]>::from_slice(&vec![0; POINTS])?;
    let with_lock = timed(|| {
        let tasks = pool.tasks(0..POINTS).with(locked.clone());
        tasks.map(|locked, index| {
            let steps = steps(index);
            locked.lock().expect("no worker dies while it has the lock")[index] = steps;
        })?;
        Ok(())
    })?;
    assert_eq!(locked.lock().map_err(LockError::give_up)?[..], array.to_vec());

    // Each task gets a slice of the array, which no other task has meanwhile: plain writes, and one
    // task for many elements.
    let mut sliced = SharedArray::<u32>::new(POINTS)?;
    let in_slices = timed(|| {
        pool.slices_mut(&mut sliced, PART).map(|part, slice| {
            for (offset, element) in slice.iter_mut().enumerate() {
                *element = steps(part * PART + offset);
            }
        })?;
        Ok(())
    })?;
    assert_eq!(sliced.to_vec(), array.to_vec());

    let each = |time: Duration| time.as_nanos() as f64 / POINTS as f64;
    println!("{POINTS} results of {} processes in one array, ns for each", pool.n_jobs());
    println!("  stored without a lock    {:7.1}", each(plain));
    println!("  stored with a lock       {:7.1}", each(with_lock));
    println!("  written to slices of it  {:7.1}", each(in_slices));
    println!("the lock costs {:.1} ns for each result", each(with_lock) - each(plain));
    Ok(())
}
