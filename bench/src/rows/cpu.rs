//! What does the pool cost when tasks just compute for 200 µs?

use rayon::prelude::*;

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
    pools::Pools,
    thread_pool::ThreadPool,
    work::{spin, steps_per_micro},
};

const RAYON: &str = "rayon";
const MICROS: f64 = 200.0;

pub(crate) fn run(scale: &Scale) -> Outcome {
    let tasks = vec![(MICROS * steps_per_micro()) as u64; scale.count(600)];
    compare("cpu", "tasks of 200 µs", &tasks, scale.rounds(21))
}

/// Runs `tasks` (steps of [`spin`] each) in every pool, on as many workers as there are CPUs.
pub(super) fn compare(row: &'static str, case: &str, tasks: &[u64], rounds: usize) -> Outcome {
    let workers = pool_affinity::usable_cpus();
    let pools = Pools::build(workers)?;
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(workers).build()?;
    let threads = ThreadPool::new(workers, spin);
    let right: Vec<u64> = rayon.install(|| tasks.par_iter().map(|steps| spin(*steps)).collect());

    let mut bout = Bout::new(row, format!("{case}, {workers} workers"), Unit::Tasks);
    let rate = |map: &dyn Fn() -> Outcome<Vec<u64>>| -> Outcome<f64> {
        let (results, seconds) = timed(map);
        assert_eq!(results?, right);
        Ok(tasks.len() as f64 / seconds)
    };
    let rate = &rate;
    for pool in pools.iter() {
        let goals = Expected::beside(RAYON).floor(Goal::Ratio(0.97)).aim(Goal::Ratio(0.99));
        bout.subject(pool.start_method().to_string(), goals, move || {
            rate(&|| Ok(pool.map(tasks.iter().copied(), spin)?))
        });
    }
    bout.subject("crossbeam, 1 a chunk", Expected::beside(RAYON), || {
        rate(&|| Ok(threads.map(tasks.iter().copied(), 1)))
    });
    bout.baseline(RAYON, || {
        rate(&|| Ok(rayon.install(|| tasks.par_iter().map(|steps| spin(*steps)).collect())))
    });
    bout.run(rounds)
}
