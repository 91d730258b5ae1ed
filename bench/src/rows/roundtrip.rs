//! How long does the smallest call take?
//!
//! A function that does nothing on one warm worker: while it is hot, in calls one behind the other,
//! and after it has slept for longer than a millisecond.

use std::{sync::atomic::Ordering::SeqCst, thread, time::Duration};

use crossbeam_channel::bounded;
use pool_affinity::{CpuSet, current_cpus};
use pool_shm::futex;

use crate::{
    Outcome,
    bout::{Bout, Expected, Sample, Scale},
    calls::{asleep, hot},
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

    let count = scale.count(144);
    let mut bout = Bout::new("roundtrip", "after a pause of 1.5 ms", Unit::Micros);
    for pool in pools.iter() {
        let mut expected = Expected::beside(FUTEX);
        if !pool.worker_pids().is_empty() {
            expected = expected.floor(Goal::Ratio(2.0)).aim(Goal::Ratio(1.2));
        }
        bout.subject(pool.start_method().to_string(), expected, move || {
            asleep(count, PAUSE, || Ok(pool.apply(1u64, |x| x).map(drop)?))
        });
    }
    bout.baseline(FUTEX_TWO, || pinned(&mut || asleep(count, PAUSE, || futex(&apart))));
    bout.baseline(FUTEX, || asleep(count, PAUSE, || futex(&free)));
    bout.baseline(CROSSBEAM, || asleep(count, PAUSE, channel));
    bout.run(scale.rounds(7))
}
