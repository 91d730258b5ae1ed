//! How many of the smallest tasks go through in a second?
//!
//! A map from `u64` to `u64`, by chunk size. Rayon runs it as one inlined loop per thread.

use rayon::prelude::*;

use crate::{
    Outcome,
    bout::{Bout, Expected, LONGEST_SAMPLE, Scale, timed},
    line::{Goal, Unit},
    pools::Pools,
    thread_pool::ThreadPool,
};

const RAYON: &str = "rayon";

fn step(x: u64) -> u64 {
    x.wrapping_mul(3).wrapping_add(1)
}

pub(crate) fn run(scale: &Scale, workers: usize) -> Outcome {
    let pools = Pools::build(workers)?;
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(workers).build()?;
    let threads = ThreadPool::new(workers, step);
    let least = if workers == 1 { 4.0 } else { 2.0 };
    let cases = [
        (Some(1), 60_000, 1, Some(1.0), Some(least)),
        (Some(60), 1_000_000, 60, None, None),
        (None, 6_000_000, 4096, Some(50.0), Some(120.0)),
    ];
    for (chunk, count, chunk_of_threads, floor, aim) in cases {
        let count = scale.count(count) as u64;
        let chunks = chunk.map_or("default chunks".to_owned(), |size| format!("chunk size {size}"));
        let plural = if workers == 1 { "" } else { "s" };
        let case = format!("{workers} worker{plural}, {chunks}");
        let mut bout = Bout::new("tiny", case, Unit::MegaTasks);
        let crossbeam = format!("crossbeam, {chunk_of_threads} a chunk");
        // Rayon has no chunks of a given size, and crossbeam no other ones.
        let baseline = if chunk.is_some() { &crossbeam } else { RAYON };
        for pool in pools.iter() {
            let mut expected = Expected::beside(baseline);
            if !pool.worker_pids().is_empty() {
                expected.floor = floor.map(Goal::Value);
                expected.aim = aim.map(Goal::Value);
            }
            let mut fitting = count;
            bout.subject(pool.start_method().to_string(), expected, move || {
                rate(&mut fitting, |count| {
                    let tasks = pool.tasks(0..count);
                    Ok(match chunk {
                        Some(size) => tasks.chunk_size(size).map(step)?,
                        None => tasks.map(step)?,
                    })
                })
            });
        }
        let threads = &threads;
        let (mut fitting, mut fitting_rayon) = (count, count);
        bout.subject(crossbeam.clone(), Expected::beside(RAYON), move || {
            rate(&mut fitting, |count| Ok(threads.map(0..count, chunk_of_threads)))
        });
        let rayon = &rayon;
        bout.baseline(RAYON, move || {
            rate(&mut fitting_rayon, |count| {
                Ok(rayon.install(|| (0..count).into_par_iter().map(step).collect()))
            })
        });
        bout.run(scale.rounds(9))?;
    }
    Ok(())
}

/// Million tasks a second; the results are checked when the clock stands still. A subject that took
/// too long gets fewer tasks next time.
fn rate(count: &mut u64, map: impl FnOnce(u64) -> Outcome<Vec<u64>>) -> Outcome<f64> {
    let tasks = *count;
    let (results, seconds) = timed(|| map(tasks));
    assert!(results?.into_iter().eq((0..tasks).map(step)), "a result is wrong or misplaced");
    let share = LONGEST_SAMPLE.as_secs_f64() / seconds;
    if share < 1.0 {
        *count = ((tasks as f64 * share) as u64).clamp(1000, tasks);
    }
    Ok(tasks as f64 / seconds / 1e6)
}
