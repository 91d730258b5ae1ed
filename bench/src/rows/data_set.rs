//! How long does it take until two workers have read a large data set that they share?
//!
//! From no pool at all to the sum of all elements, half by each worker. Data that already lie in
//! shared memory are not moved; a `Vec` is encoded once, and decoded unless its archive is read.

use pool_api::{ForkWithThreads, SharedObject, StartMethod, View, Worker, WorkerPool};
use pool_shm::SharedArray;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::{Goal, Unit},
    pools::PROCESSES,
};

const LEN: usize = (256 << 20) / size_of::<f64>();
const SUM: f64 = LEN as f64;
const RAYON: &str = "rayon, 2 threads that run already";

type Task<S> = fn(&mut Worker<'_, S>, usize) -> f64;

fn half(which: usize) -> std::ops::Range<usize> {
    which * LEN / 2..(which + 1) * LEN / 2
}

/// In milliseconds.
fn summed<S>(
    method: StartMethod,
    share: impl FnOnce(pool_api::Builder) -> pool_api::Builder<S>,
    task: Task<S>,
) -> Outcome<f64>
where
    S: Send + Sync + 'static,
{
    let (done, seconds) = timed(|| -> pool_api::Result<_> {
        // SAFETY: the other threads are rayon's, asleep, and no task needs anything of theirs.
        let word = unsafe { ForkWithThreads::assume_safe() };
        let builder = WorkerPool::builder().n_jobs(2).start_method(method);
        let pool = share(builder.allow_fork_with_threads(word)).build()?;
        let sums = pool.tasks(0..2usize).chunk_size(1).with_worker().map(task)?;
        Ok((pool, sums))
    });
    let (pool, sums) = done?;
    drop(pool); // not part of it: start to sum
    assert_eq!(sums.iter().sum::<f64>(), SUM);
    Ok(seconds * 1e3)
}

pub(crate) fn run(scale: &Scale) -> Outcome {
    let data = vec![1.0f64; LEN];
    let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
    let rayon = || {
        let (sum, seconds) = timed(|| threads.install(|| data.par_iter().sum::<f64>()));
        assert_eq!(sum, SUM);
        Ok(seconds * 1e3)
    };

    let (array, object) = (&SharedArray::from_slice(&data)?, &SharedObject::new(&data)?);
    let data = &data;
    let aim = Expected::beside(RAYON).aim(Goal::Value(24.0));
    let mut bout = Bout::new("data_set", "256 MiB in shared memory, start to sum", Unit::Millis);
    for method in PROCESSES {
        bout.subject(format!("{method}, SharedArray"), aim, move || {
            let task: Task<SharedArray<f64>> = |w, which| w.shared.slice(half(which)).iter().sum();
            summed(method, |pool| pool.shared(array.clone()), task)
        });
        bout.subject(format!("{method}, SharedObject"), aim, move || {
            let task: Task<SharedObject<Vec<f64>>> =
                |w, which| w.shared[half(which)].iter().map(|x| x.to_native()).sum();
            summed(method, |pool| pool.shared(object.clone()), task)
        });
    }
    bout.baseline(RAYON, rayon);
    bout.run(scale.rounds(9))?;

    let mut bout = Bout::new("data_set", "256 MiB in a Vec, start to sum", Unit::Millis);
    for method in PROCESSES {
        bout.subject(format!("{method}, shared"), Expected::beside(RAYON), move || {
            let data = data.clone();
            let task: Task<Vec<f64>> = |w, which| w.shared[half(which)].iter().sum();
            summed(method, |pool| pool.shared(data), task)
        });
        bout.subject(format!("{method}, shared_view"), Expected::beside(RAYON), move || {
            let data = data.clone();
            let task: Task<View<Vec<f64>>> =
                |w, which| w.shared[half(which)].iter().map(|x| x.to_native()).sum();
            summed(method, |pool| pool.shared_view(data), task)
        });
    }
    bout.baseline(RAYON, rayon);
    bout.run(scale.rounds(3))
}
