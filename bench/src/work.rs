//! Arithmetic that takes a given time, and lengths that are the same in every run.

use std::hint::black_box;

use crate::{bout::timed, quantiles::median};

/// Arithmetic that no compiler shortens: each step needs the one before.
pub(crate) fn spin(steps: u64) -> u64 {
    let mut state = black_box(steps);
    for _ in 0..steps {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(state)
}

/// Steps of [`spin`] in a microsecond, here and now.
pub(crate) fn steps_per_micro() -> f64 {
    const STEPS: u64 = 2_000_000;
    let rates: Vec<f64> = (0..15).map(|_| STEPS as f64 / timed(|| spin(STEPS)).1 / 1e6).collect();
    median(&rates)
}

/// Random numbers that are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 (excluded) to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// A Pareto-distributed number, at least 1 and at most `most`.
    pub(crate) fn pareto(&mut self, shape: f64, most: f64) -> f64 {
        self.unit().powf(-1.0 / shape).min(most)
    }
}
