//! How long does a map take that is over soon?
//!
//! A thousand items that take no time, on two workers: in calls one behind the other, and with a
//! pause before each.

use std::time::Duration;

use rayon::prelude::*;

use crate::{
    Outcome,
    bout::{Bout, Expected, Sample, Scale},
    calls::{asleep, one_by_one},
    line::Unit,
    pools::Pools,
    thread_pool::ThreadPool,
};

const RAYON: &str = "rayon";
const WORKERS: usize = 2;
const ITEMS: u64 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

fn step(x: u64) -> u64 {
    x.wrapping_mul(3).wrapping_add(1)
}

pub(crate) fn run(scale: &Scale) -> Outcome {
    let pools = Pools::build(WORKERS)?;
    let rayon = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
    let threads = ThreadPool::new(WORKERS, step);
    let by_rayon =
        || -> Vec<u64> { rayon.install(|| (0..ITEMS).into_par_iter().map(step).collect()) };
    let by_threads = || threads.map(0..ITEMS, ITEMS as usize / WORKERS);

    let hot = scale.count(300);
    let paused = scale.count(120);
    type Way<'a> = &'a dyn Fn(&mut dyn FnMut() -> Outcome) -> Outcome<Sample>;
    let ways: [(&str, Way<'_>); 2] = [
        ("hot", &|call| one_by_one(hot, call)),
        ("after a pause of 1 ms", &|call| asleep(paused, PAUSE, call)),
    ];
    for (name, way) in ways {
        let case = format!("map of {ITEMS} items, {WORKERS} workers, {name}");
        let mut bout = Bout::new("small", case, Unit::Micros);
        for pool in pools.iter() {
            bout.subject(pool.start_method().to_string(), Expected::beside(RAYON), move || {
                way(&mut || checked(&pool.map(0..ITEMS, step)?))
            });
        }
        let beside = Expected::beside(RAYON);
        bout.subject("crossbeam, a chunk each", beside, || way(&mut || checked(&by_threads())));
        bout.baseline(RAYON, || way(&mut || checked(&by_rayon())));
        bout.run(scale.rounds(9))?;
    }
    Ok(())
}

/// A look at the ends, which takes no time beside the call.
fn checked(results: &[u64]) -> Outcome {
    assert_eq!(results.len() as u64, ITEMS);
    assert_eq!((results[0], results[results.len() - 1]), (step(0), step(ITEMS - 1)));
    Ok(())
}
