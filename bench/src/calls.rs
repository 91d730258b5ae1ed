//! Single calls, one behind the other or with a pause before each, and how their times spread.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome,
    bout::{LONGEST_SAMPLE, Sample, timed},
    quantiles::median,
};

/// Calls timed together, so that reading the clock does not count.
const TOGETHER: usize = 16;

/// Calls one behind the other: the median of a few at a time, then some one by one for their
/// spread.
pub(crate) fn hot(count: usize, mut call: impl FnMut() -> Outcome) -> Outcome<Sample> {
    let batch = || (0..TOGETHER).try_for_each(|_| call());
    let mut micros = each(count / TOGETHER, batch)?;
    micros.iter_mut().for_each(|micros| *micros /= TOGETHER as f64);
    Ok(Sample::with_each(median(&micros), each(count / 8, call)?))
}

/// Calls one behind the other that take so long that the clock does not count.
pub(crate) fn one_by_one(count: usize, call: impl FnMut() -> Outcome) -> Outcome<Sample> {
    Ok(Sample::of_each(each(count, call)?))
}

/// Calls with a pause before each.
pub(crate) fn asleep(
    count: usize,
    pause: Duration,
    mut call: impl FnMut() -> Outcome,
) -> Outcome<Sample> {
    let mut micros = Vec::with_capacity(count);
    for _ in 0..count {
        thread::sleep(pause);
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
