//! How long does the smallest call take?
//!
//! A function that does nothing on one warm worker: while it is hot, in calls one behind the other,
//! and after it has slept for longer than a millisecond.

use std::{
    sync::atomic::Ordering::SeqCst,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use pool_affinity::{CpuSet, current_cpus};
use pool_shm::futex;

use crate::{
    Outcome,
    bout::{Bout, Expected, LONGEST_SAMPLE, Sample, Scale, median, timed},
    line::{Goal, Unit},
    peer::Peer,
    pools::Pools,
};

const FUTEX: &str = "bare futex, free";
const FUTEX_TWO: &str = "bare futex, two CPUs";
const SPIN: &str = "bare spin, two CPUs";
const CROSSBEAM: &str = "crossbeam, a thread";
/// Long enough that a process that spins before it sleeps is asleep.
const PAUSE: Duration = Duration::from_micros(1500);

pub(crate) fn run(scale: &Scale) -> Outcome {
    let all = current_cpus()?;
    let (ours, theirs) = (all.first().unwrap_or(0), all.last().unwrap_or(0));
    let spinning = Peer::spinning(Some(theirs))?;
    let free = Peer::sleeping(None)?;
    let apart = Peer::sleeping(Some(theirs))?;
    let pools = Pools::build(1)?;

    let (there, todo) = bounded::<u64>(1);
    let (back, answers) = bounded::<u64>(1);
    thread::spawn(move || {
        for ball in todo {
            if back.send(ball).is_err() {
                break;
            }
        }
    });
    let channel = || -> Outcome {
        there.send(1)?;
        assert_eq!(answers.recv()?, 1);
        Ok(())
    };
    let pinned = |f: &mut dyn FnMut() -> Outcome<Sample>| -> Outcome<Sample> {
        CpuSet::from_ids([ours])?.pin_current_thread()?;
        let sample = f();
        all.pin_current_thread()?;
        sample
    };
    let futex = |peer: &Peer| -> Outcome {
        peer.ask();
        peer.wait();
        Ok(())
    };
    let (fast, slow) = (scale.count(20_000), scale.count(2000));

    let mut bout = Bout::new("roundtrip", "hot, p99 of single calls", Unit::Micros);
    for pool in pools.iter() {
        let mut expected = Expected::beside(SPIN);
        if !pool.worker_pids().is_empty() {
            expected = expected.floor(Goal::Value(2.0)).aim(Goal::Value(0.8));
        }
        bout.subject(pool.start_method().to_string(), expected, move || {
            hot(fast, || Ok(pool.apply(1u64, |x| x).map(drop)?))
        });
    }
    bout.baseline(SPIN, || {
        spinning.words().switch().store(1, SeqCst);
        futex::wake(spinning.words().switch(), 1);
        // Two processes that spin on one CPU would wait for the scheduler.
        let sample = pinned(&mut || {
            hot(fast, || {
                spinning.hit_spinning();
                Ok(())
            })
        });
        spinning.words().switch().store(0, SeqCst);
        sample
    });
    bout.baseline(FUTEX_TWO, || pinned(&mut || hot(slow, || futex(&apart))));
    bout.baseline(FUTEX, || hot(slow, || futex(&free)));
    bout.baseline(CROSSBEAM, || hot(slow, channel));
    bout.run(scale.rounds(11))?;

    let count = scale.count(80);
    let mut bout = Bout::new("roundtrip", "after a pause of 1.5 ms", Unit::Micros);
    for pool in pools.iter() {
        let mut expected = Expected::beside(FUTEX);
        if !pool.worker_pids().is_empty() {
            expected = expected.floor(Goal::Ratio(2.0)).aim(Goal::Ratio(1.2));
        }
        bout.subject(pool.start_method().to_string(), expected, move || {
            asleep(count, || Ok(pool.apply(1u64, |x| x).map(drop)?))
        });
    }
    bout.baseline(FUTEX_TWO, || pinned(&mut || asleep(count, || futex(&apart))));
    bout.baseline(FUTEX, || asleep(count, || futex(&free)));
    bout.baseline(CROSSBEAM, || asleep(count, channel));
    bout.run(scale.rounds(7))
}

/// Calls timed together, so that reading the clock does not count.
const TOGETHER: usize = 16;

/// Calls one behind the other: the median of a few at a time, then some one by one for their
/// spread.
fn hot(count: usize, mut call: impl FnMut() -> Outcome) -> Outcome<Sample> {
    let batch = || (0..TOGETHER).try_for_each(|_| call());
    let mut micros = each(count / TOGETHER, batch)?;
    micros.iter_mut().for_each(|micros| *micros /= TOGETHER as f64);
    Ok(Sample::with_each(median(&micros), each(count / 8, call)?))
}

/// Calls with a pause before each.
fn asleep(count: usize, mut call: impl FnMut() -> Outcome) -> Outcome<Sample> {
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        thread::sleep(PAUSE);
        let (done, seconds) = timed(&mut call);
        done?;
        micros.push(seconds * 1e6);
    }
    Ok(Sample::of_each(micros))
}

fn each(count: usize, mut call: impl FnMut() -> Outcome) -> Outcome<Vec<f64>> {
    let begun = Instant::now();
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        let (done, seconds) = timed(&mut call);
        done?;
        micros.push(seconds * 1e6);
        if begun.elapsed() > LONGEST_SAMPLE {
            break;
        }
    }
    Ok(micros)
}
