//! A bout: several subjects do the same work in turns, and their medians are compared.
//!
//! Invariant: every round runs every subject once, beginning with another one each time, so that a
//! disturbance of the machine affects all of them; ratios are taken round by round.

use std::time::{Duration, Instant};

use crate::{
    Outcome,
    line::{Goal, Line, Unit},
};

/// Marks the lines that a copy prints for the program that started it.
pub(crate) const MARK: &str = "\u{1f}";

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) quick: bool,
}

impl Scale {
    /// Rounds of a bout.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        if self.quick { (full / 3).max(3) } else { full }
    }

    /// Operations in one sample.
    pub(crate) fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(2) } else { full }
    }
}

/// The measurement of one turn of a subject.
pub(crate) struct Sample {
    value: f64,
    /// Single operations, if their spread matters.
    each: Vec<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { value, each: Vec::new() }
    }
}

impl Sample {
    /// Single operations and their median.
    pub(crate) fn of_each(each: Vec<f64>) -> Self {
        Self { value: median(&each), each }
    }

    /// Single operations beside a value that was measured without timing each of them.
    pub(crate) fn with_each(value: f64, each: Vec<f64>) -> Self {
        Self { value, each }
    }
}

/// The longest that a sample should take, so that a slow subject does not keep the others waiting.
pub(crate) const LONGEST_SAMPLE: Duration = Duration::from_millis(120);

type Turn<'a> = Box<dyn FnMut() -> Outcome<Sample> + 'a>;

struct Subject<'a> {
    name: String,
    baseline: Option<String>,
    floor: Option<Goal>,
    aim: Option<Goal>,
    turn: Turn<'a>,
    values: Vec<f64>,
    each: Vec<f64>,
}

/// One case of a row.
pub(crate) struct Bout<'a> {
    row: &'static str,
    case: String,
    unit: Unit,
    subjects: Vec<Subject<'a>>,
}

/// The expectations of a subject.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected<'b> {
    pub(crate) baseline: Option<&'b str>,
    pub(crate) floor: Option<Goal>,
    pub(crate) aim: Option<Goal>,
}

impl<'b> Expected<'b> {
    /// Expects only a ratio to `baseline`.
    pub(crate) fn beside(baseline: &'b str) -> Self {
        Self { baseline: Some(baseline), ..Self::default() }
    }

    pub(crate) fn floor(self, goal: Goal) -> Self {
        Self { floor: Some(goal), ..self }
    }

    pub(crate) fn aim(self, goal: Goal) -> Self {
        Self { aim: Some(goal), ..self }
    }
}

impl<'a> Bout<'a> {
    pub(crate) fn new(row: &'static str, case: impl Into<String>, unit: Unit) -> Self {
        Self { row, case: case.into(), unit, subjects: Vec::new() }
    }

    /// Adds a subject that is compared with nothing.
    pub(crate) fn baseline<S: Into<Sample>>(
        &mut self,
        name: impl Into<String>,
        turn: impl FnMut() -> Outcome<S> + 'a,
    ) {
        self.subject(name, Expected::default(), turn);
    }

    /// Adds a subject.
    pub(crate) fn subject<S: Into<Sample>>(
        &mut self,
        name: impl Into<String>,
        expected: Expected<'_>,
        mut turn: impl FnMut() -> Outcome<S> + 'a,
    ) {
        self.subjects.push(Subject {
            name: name.into(),
            baseline: expected.baseline.map(str::to_owned),
            floor: expected.floor,
            aim: expected.aim,
            turn: Box::new(move || turn().map(Into::into)),
            values: Vec::new(),
            each: Vec::new(),
        });
    }

    /// Runs every subject once to warm up, then `rounds` times, and prints the lines.
    pub(crate) fn run(mut self, rounds: usize) -> Outcome {
        for subject in &mut self.subjects {
            (subject.turn)().map_err(|error| format!("{}: {error:?}", subject.name))?;
        }
        let count = self.subjects.len();
        for round in 0..rounds {
            for turn in 0..count {
                let subject = &mut self.subjects[(round + turn) % count];
                let sample =
                    (subject.turn)().map_err(|error| format!("{}: {error:?}", subject.name))?;
                subject.values.push(sample.value);
                subject.each.extend(sample.each);
            }
        }
        for subject in &self.subjects {
            print(&self.line(subject));
        }
        Ok(())
    }

    fn line(&self, subject: &Subject<'_>) -> Line {
        let baseline = subject.baseline.as_ref().and_then(|name| {
            let found = self.subjects.iter().find(|other| other.name == *name);
            debug_assert!(found.is_some(), "no baseline `{name}` in {} {}", self.row, self.case);
            found
        });
        let ratio = baseline.map(|other| {
            let pairs = subject.values.iter().zip(&other.values);
            median(&pairs.map(|(value, base)| value / base).collect::<Vec<_>>())
        });
        Line {
            row: self.row.to_owned(),
            case: self.case.clone(),
            subject: subject.name.clone(),
            median: median(&subject.values),
            p99: (subject.each.len() >= 100).then(|| quantile(&subject.each, 0.99)),
            unit: self.unit,
            baseline: subject.baseline.clone(),
            ratio,
            floor: subject.floor,
            aim: subject.aim,
        }
    }
}

/// Prints a line for the program that started this copy.
pub(crate) fn print(line: &Line) {
    println!("{MARK}{}", line.to_tabs());
}

/// Runs `f` and returns for how many seconds it ran.
pub(crate) fn timed<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let begun = Instant::now();
    let result = f();
    (result, begun.elapsed().as_secs_f64())
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
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
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 1.0), 3.0);
        assert!(median(&[]).is_nan());
    }
}
