//! A bout: several subjects do the same work in turns, and their medians are compared.
//!
//! Invariant: every round runs every subject once, beginning with another one each time, so that a
//! disturbance of the machine affects all of them; ratios are taken round by round.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    Outcome,
    line::{Goal, Line, Unit},
    quantiles::{Spread, median},
};

/// Marks the lines that a copy prints for the program that started it.
pub(crate) const MARK: &str = "\u{1f}";

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Whether fewer rounds and operations are enough.
    pub quick: bool,
}

impl Scale {
    /// Rounds of a bout.
    pub fn rounds(&self, full: usize) -> usize {
        if self.quick { (full / 3).max(3) } else { full }
    }

    /// Operations in one sample.
    pub fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(2) } else { full }
    }
}

/// The measurement of one turn of a subject.
#[derive(Debug)]
pub struct Sample {
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
    pub fn of_each(each: Vec<f64>) -> Self {
        Self { value: median(&each), each }
    }

    /// Single operations beside a value that was measured without timing each of them.
    pub fn with_each(value: f64, each: Vec<f64>) -> Self {
        Self { value, each }
    }
}

/// The longest that a sample should take, so that a slow subject does not keep the others waiting.
pub const LONGEST_SAMPLE: Duration = Duration::from_millis(120);

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
pub struct Bout<'a> {
    row: &'static str,
    case: String,
    unit: Unit,
    subjects: Vec<Subject<'a>>,
}

/// The expectations of a subject.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'b> {
    /// The name of the subject that the ratio is to.
    pub baseline: Option<&'b str>,
    /// The goal that must hold.
    pub floor: Option<Goal>,
    /// The goal that is aimed at.
    pub aim: Option<Goal>,
}

impl<'b> Expected<'b> {
    /// Expects only a ratio to `baseline`.
    pub fn beside(baseline: &'b str) -> Self {
        Self { baseline: Some(baseline), ..Self::default() }
    }

    /// Adds the goal that must hold.
    pub fn floor(self, goal: Goal) -> Self {
        Self { floor: Some(goal), ..self }
    }

    /// Adds the goal that is aimed at.
    pub fn aim(self, goal: Goal) -> Self {
        Self { aim: Some(goal), ..self }
    }
}

impl fmt::Debug for Bout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bout")
            .field("row", &self.row)
            .field("case", &self.case)
            .finish_non_exhaustive()
    }
}

impl<'a> Bout<'a> {
    /// A case without subjects.
    pub fn new(row: &'static str, case: impl Into<String>, unit: Unit) -> Self {
        Self { row, case: case.into(), unit, subjects: Vec::new() }
    }

    /// Adds a subject that is compared with nothing.
    pub fn baseline<S: Into<Sample>>(
        &mut self,
        name: impl Into<String>,
        turn: impl FnMut() -> Outcome<S> + 'a,
    ) {
        self.subject(name, Expected::default(), turn);
    }

    /// Adds a subject.
    pub fn subject<S: Into<Sample>>(
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
    ///
    /// # Errors
    ///
    /// The first failure of a subject.
    pub fn run(mut self, rounds: usize) -> Outcome {
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
            spread: Spread::of(&subject.each),
            unit: self.unit,
            baseline: subject.baseline.clone(),
            ratio,
            floor: subject.floor,
            aim: subject.aim,
        }
    }
}

/// Prints a line for the program that started this copy.
pub fn print(line: &Line) {
    println!("{MARK}{}", line.to_tabs());
}

/// Runs `f` and returns for how many seconds it ran.
pub fn timed<R>(f: impl FnOnce() -> R) -> (R, f64) {
    let begun = Instant::now();
    let result = f();
    (result, begun.elapsed().as_secs_f64())
}
