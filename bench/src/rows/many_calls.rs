//! What does an item take when many calls go on at a time?
//!
//! Calls from many threads, a map beside iterators whose values are not taken, and handles that are
//! dropped before their values are there.

use std::{
    collections::VecDeque,
    sync::Barrier,
    thread::{self, ScopedJoinHandle},
};

use pool_api::WorkerPool;
use rayon::prelude::*;

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale, timed},
    line::Unit,
    pools::Pools,
    work::{spin, steps_per_micro},
};

const ROW: &str = "many_calls";
const RAYON: &str = "rayon";
const WORKERS: usize = 2;

/// Items of a map, which is one of many.
const ITEMS: u64 = 200;
/// Iterators whose values are not taken.
const STALLED: usize = 1000;
/// Handles that are dropped, and how long the item of each takes.
const HANDLES: u64 = 4096;
const MICROS: f64 = 5.0;

fn step(x: u64) -> u64 {
    x.wrapping_mul(3).wrapping_add(1)
}

/// Maps of 200 items from many threads.
pub(crate) fn maps(scale: &Scale) -> Outcome {
    let subjects = Subjects::build()?;
    let total = scale.count(40_000);
    let by_rayon = |rayon: &rayon::ThreadPool| {
        check_map(&rayon.install(|| (0..ITEMS).into_par_iter().map(step).collect::<Vec<_>>()));
    };
    for threads in [1, 10, 50, 200] {
        let what = format!("maps of {ITEMS} items from {}", counted(threads));
        let by_pool = |pool: &WorkerPool| {
            check_map(&pool.map(0..ITEMS, step)?);
            Ok(())
        };
        let calls = total / ITEMS as usize / threads;
        let calls = Calls { threads, calls, items: ITEMS };
        subjects.compare(scale, what, calls, by_pool, by_rayon)?;
    }
    Ok(())
}

/// Calls of one item from many threads.
pub(crate) fn applies(scale: &Scale) -> Outcome {
    let subjects = Subjects::build()?;
    let total = scale.count(4000);
    let by_rayon = |rayon: &rayon::ThreadPool| assert_eq!(rayon.install(|| step(7)), step(7));
    for threads in [1, 10, 200] {
        let what = format!("`apply` from {}", counted(threads));
        let by_pool = |pool: &WorkerPool| {
            assert_eq!(pool.apply(7, step)?, step(7));
            Ok(())
        };
        let calls = total / threads;
        let calls = Calls { threads, calls, items: 1 };
        subjects.compare(scale, what, calls, by_pool, by_rayon)?;
    }
    Ok(())
}

/// A map beside a thousand iterators that have started and of which no further value is taken.
pub(crate) fn stalled(scale: &Scale) -> Outcome {
    let pools = Pools::build(WORKERS)?;
    let items = scale.count(40_000) as u64;
    let mut bout = Bout::new(ROW, format!("map beside {STALLED} stalled imaps"), Unit::Micros);
    for pool in pools.iter() {
        let micros = move || -> Outcome<f64> {
            let (results, seconds) = timed(|| pool.map(0..items, step));
            assert!(results?.into_iter().eq((0..items).map(step)), "a result is wrong");
            Ok(seconds * 1e6 / items as f64)
        };
        let alone = format!("{}, alone", pool.start_method());
        bout.baseline(alone.clone(), micros);
        let beside = format!("{}, beside them", pool.start_method());
        bout.subject(beside, Expected::beside(&alone), move || {
            let mut iterators = Vec::new();
            for _ in 0..STALLED {
                let mut values = pool.imap(0..u64::MAX, step);
                assert_eq!(values.next().transpose()?, Some(step(0)));
                iterators.push(values);
            }
            micros()
        });
    }
    bout.run(scale.rounds(9))
}

/// Handles of calls that still wait for a worker, dropped from the newest to the oldest.
pub(crate) fn dropped(scale: &Scale) -> Outcome {
    let pools = Pools::build(WORKERS)?;
    let steps = (MICROS * steps_per_micro()) as u64;
    let case = format!("drop of {HANDLES} futures");
    let mut bout = Bout::new(ROW, case, Unit::Micros);
    for pool in pools.iter() {
        let oldest = format!("{}, oldest first", pool.start_method());
        let submit = move || -> Outcome<VecDeque<_>> {
            let submit = |_| pool.apply_async(steps, spin);
            Ok((0..HANDLES).map(submit).collect::<Result<_, _>>()?)
        };
        let micros = |seconds: f64| seconds * 1e6 / HANDLES as f64;
        bout.baseline(oldest.clone(), move || {
            let mut handles = submit()?;
            let ((), seconds) = timed(|| while handles.pop_front().is_some() {});
            Ok(micros(seconds))
        });
        let newest = format!("{}, newest first", pool.start_method());
        bout.subject(newest, Expected::beside(&oldest), move || {
            let mut handles = submit()?;
            let ((), seconds) = timed(|| while handles.pop_back().is_some() {});
            Ok(micros(seconds))
        });
    }
    bout.run(scale.rounds(9))
}

/// Calls from several threads at a time.
#[derive(Clone, Copy)]
struct Calls {
    threads: usize,
    /// Of each thread.
    calls: usize,
    /// Of each call.
    items: u64,
}

impl Calls {
    /// Microseconds per item of all calls, from when all threads are ready.
    fn micros(self, call: impl Fn() -> pool_api::Result<()> + Sync) -> Outcome<f64> {
        let calls = self.calls.max(1);
        let (ready, done) = (Barrier::new(self.threads + 1), Barrier::new(self.threads + 1));
        let seconds = thread::scope(|scope| -> Outcome<f64> {
            let caller = || {
                ready.wait();
                let outcome = (0..calls).try_for_each(|_| call());
                done.wait();
                outcome
            };
            let callers: Vec<ScopedJoinHandle<'_, _>> =
                (0..self.threads).map(|_| scope.spawn(caller)).collect();
            ready.wait();
            let (_, seconds) = timed(|| done.wait());
            for caller in callers {
                caller.join().map_err(|_| "a call has panicked")??;
            }
            Ok(seconds)
        })?;
        Ok(seconds * 1e6 / (self.threads * calls) as f64 / self.items as f64)
    }
}

/// All pools, and rayon beside them.
struct Subjects {
    pools: Pools,
    rayon: rayon::ThreadPool,
}

impl Subjects {
    fn build() -> Outcome<Self> {
        let pools = Pools::build(WORKERS)?;
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build()?;
        Ok(Self { pools, rayon })
    }

    fn compare(
        &self,
        scale: &Scale,
        case: String,
        calls: Calls,
        by_pool: impl Fn(&WorkerPool) -> pool_api::Result<()> + Sync,
        by_rayon: impl Fn(&rayon::ThreadPool) + Sync,
    ) -> Outcome {
        let by_pool = &by_pool;
        let mut bout = Bout::new(ROW, case, Unit::Micros);
        for pool in self.pools.iter() {
            let beside = Expected::beside(RAYON);
            bout.subject(pool.start_method().to_string(), beside, move || {
                calls.micros(|| by_pool(pool))
            });
        }
        bout.baseline(RAYON, || {
            calls.micros(|| {
                by_rayon(&self.rayon);
                Ok(())
            })
        });
        bout.run(scale.rounds(9))
    }
}

fn check_map(results: &[u64]) {
    assert!(results.iter().copied().eq((0..ITEMS).map(step)), "a result is wrong or misplaced");
}

fn counted(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}
