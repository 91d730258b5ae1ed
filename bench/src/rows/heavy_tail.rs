//! What does the pool cost when a few tasks take most of the time?
//!
//! Lengths are Pareto-distributed with shape 1.2, from 40 µs to 8 ms, the same in every run.

use super::cpu::compare;
use crate::{
    Outcome,
    bout::Scale,
    work::{Random, steps_per_micro},
};

const SHORTEST_MICROS: f64 = 40.0;

pub(crate) fn run(scale: &Scale) -> Outcome {
    let steps = steps_per_micro() * SHORTEST_MICROS;
    let mut random = Random(1);
    let tasks: Vec<u64> =
        (0..scale.count(800)).map(|_| (random.pareto(1.2, 200.0) * steps) as u64).collect();
    compare("heavy_tail", "Pareto, 40 µs to 8 ms", &tasks, scale.rounds(21))
}
