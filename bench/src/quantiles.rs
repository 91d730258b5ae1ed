//! Medians and further quantiles of measurements.

/// The fewest single operations of which the 99th percentile says something.
const ENOUGH: usize = 100;
/// The fewest of which 99.9 % does.
const ENOUGH_FOR_THOUSANDTHS: usize = 1000;

/// The spread of single operations; what too few of them say is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spread {
    /// The median.
    pub p50: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// That of 99.9 %.
    pub p999: Option<f64>,
}

impl Spread {
    /// The spread of `each`, in any order.
    pub fn of(each: &[f64]) -> Self {
        let sorted = sorted(each);
        let from = |least: usize, share| (each.len() >= least).then(|| between(&sorted, share));
        Self {
            p50: from(ENOUGH, 0.5),
            p99: from(ENOUGH, 0.99),
            p999: from(ENOUGH_FOR_THOUSANDTHS, 0.999),
        }
    }
}

/// The median of values in any order.
pub fn median(values: &[f64]) -> f64 {
    between(&sorted(values), 0.5)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The quantile of sorted values, between two neighbours if it falls there.
fn between(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = last as f64 * share;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * at.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(median(&[3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(between(&[1.0, 2.0, 3.0], 1.0), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn few_operations_have_no_far_percentiles() {
        let each = |count: u32| (0..count).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(Spread::of(&each(99)), Spread::default());
        let some = Spread::of(&each(101));
        assert_eq!(some, Spread { p50: Some(50.0), p99: Some(99.0), p999: None });
        let many = Spread::of(&each(1001));
        assert_eq!(many, Spread { p50: Some(500.0), p99: Some(990.0), p999: Some(999.0) });
    }
}
