//! Chunks of simulated tasks on simulated workers: nothing runs, the clock is a number.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::*;
use crate::engine::{Pace, Window};

/// The chunks of `items` tasks on `workers` workers, of an input of unknown length; task `i` takes
/// `nanos(i)`.
fn chunks(items: usize, workers: usize, pace: Pace, nanos: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut window = Window::new(None, workers, pace);
    let mut sizer = Sizer::new(SizingRules::default(), workers, None, window.most_in_chunk());
    let (mut free_at, mut running) = (vec![0; workers], BinaryHeap::new());
    let (mut now, mut taken, mut chunks) = (0, 0, Vec::new());
    while taken < items || !running.is_empty() {
        while taken < items && window.admits(sizer.next(), sizer.nanos_of(sizer.next())) {
            let size = sizer.next().min(items - taken);
            let takes: u64 = (taken..taken + size).map(&nanos).sum();
            sizer.took(size, 8 * size);
            window.took(1, size, 8 * size);
            (taken, chunks) = (taken + size, [chunks, vec![size]].concat());
            let worker = (0..workers).min_by_key(|worker| free_at[*worker]).expect("some");
            free_at[worker] = free_at[worker].max(now) + takes;
            running.push(Reverse((free_at[worker], size, takes)));
        }
        let Reverse((end, size, took)) = running.pop().expect("what is not taken runs");
        now = end;
        sizer.ran(size, took);
        window.ended(8 * size);
        window.yielded(size);
    }
    assert_eq!(chunks.iter().sum::<usize>(), items);
    chunks
}

/// How far apart two sizes may be that fill the same time.
fn is_near(size: usize, wanted: usize) -> bool {
    (wanted * 3 / 4..=wanted * 5 / 4).contains(&size)
}

#[test]
fn chunks_of_an_unknown_length_come_to_fill_the_time() {
    for workers in [1, 2, 16] {
        for nanos in [50, 1_000, 20_000] {
            let chunks = chunks(2_000_000 / (nanos as usize / 50), workers, Pace::Call, |_| nanos);
            assert_eq!(chunks[0], 1);
            let wanted = (200_000 / nanos) as usize;
            let settled = &chunks[chunks.len() / 2..chunks.len() - 1];
            assert!(settled.iter().all(|size| is_near(*size, wanted)), "{workers} {settled:?}");
        }
    }
}

#[test]
fn slow_tasks_of_an_unknown_length_travel_alone() {
    let chunks = chunks(300, 4, Pace::Call, |_| 5_000_000);
    assert!(chunks.iter().all(|size| *size == 1), "{chunks:?}");
}

#[test]
fn chunks_follow_tasks_that_become_slower_and_faster() {
    let slow = 100_000..101_000;
    let chunks =
        chunks(300_000, 2, Pace::Call, |i| if slow.contains(&i) { 1_000_000 } else { 1_000 });
    let (mut first, mut in_slow, mut behind) = (0, Vec::new(), Vec::new());
    for size in chunks {
        if slow.contains(&first) {
            in_slow.push(size);
        } else if first >= slow.end {
            behind.push(size);
        }
        first += size;
    }
    // A few were cut before the first slow one was seen; then they go alone.
    assert!(in_slow.iter().rev().take(in_slow.len() / 2).all(|size| *size == 1), "{in_slow:?}");
    let settled = &behind[behind.len() / 2..behind.len() - 1];
    assert!(settled.iter().all(|size| is_near(*size, 200)), "{settled:?}");
}

#[test]
fn chunks_of_a_lazy_call_leave_two_for_each_worker() {
    let chunks = chunks(100_000, 4, Pace::Lazy, |_| 10);
    assert_eq!(chunks.iter().max(), Some(&(4096 / 8)));
}
