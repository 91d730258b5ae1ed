//! One line of the table: its text between a copy and the program, and its form in the file.

use std::fmt::Write;

use crate::quantiles::Spread;

/// The unit of a number, which also says which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Millions of tasks a second.
    MegaTasks,
    /// Tasks a second.
    Tasks,
    /// Millions of messages a second.
    MegaMessages,
    /// Gibibytes a second.
    GibPerSecond,
    /// Mebibytes of memory.
    Mebibytes,
}

const UNITS: [(Unit, &str); 8] = [
    (Unit::Nanos, "ns"),
    (Unit::Micros, "µs"),
    (Unit::Millis, "ms"),
    (Unit::MegaTasks, "M tasks/s"),
    (Unit::Tasks, "tasks/s"),
    (Unit::MegaMessages, "M messages/s"),
    (Unit::GibPerSecond, "GiB/s"),
    (Unit::Mebibytes, "MiB"),
];

impl Unit {
    pub(crate) fn text(self) -> &'static str {
        UNITS.iter().find(|(unit, _)| *unit == self).map_or("", |(_, text)| text)
    }

    fn parse(text: &str) -> Option<Self> {
        UNITS.iter().find(|(_, name)| *name == text).map(|(unit, _)| *unit)
    }

    /// Whether less is better.
    pub(crate) fn is_cost(self) -> bool {
        matches!(self, Self::Nanos | Self::Micros | Self::Millis | Self::Mebibytes)
    }
}

/// A limit for the value, or for its ratio to the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// A limit for the value.
    Value(f64),
    /// A limit for the ratio.
    Ratio(f64),
}

/// One measured case.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The name of the row.
    pub row: String,
    /// What all subjects of the case do.
    pub case: String,
    /// The name of what was measured.
    pub subject: String,
    /// The median of all rounds.
    pub median: f64,
    /// Percentiles of single operations.
    pub spread: Spread,
    /// The unit of the median and the percentiles.
    pub unit: Unit,
    /// The name of the subject that the ratio is to.
    pub baseline: Option<String>,
    /// The median of the ratios of all rounds.
    pub ratio: Option<f64>,
    /// The goal that must hold.
    pub floor: Option<Goal>,
    /// The goal that is aimed at.
    pub aim: Option<Goal>,
}

impl Line {
    /// Whether `goal` is reached.
    pub(crate) fn meets(&self, goal: Goal) -> bool {
        let (value, limit) = match goal {
            Goal::Value(limit) => (self.median, limit),
            Goal::Ratio(limit) => (self.ratio.unwrap_or(f64::NAN), limit),
        };
        if self.unit.is_cost() { value <= limit } else { value >= limit }
    }

    /// Formats the line as fields between tabs, for the program that started this copy. New fields
    /// come last, since programs of several revisions are compared.
    pub(crate) fn to_tabs(&self) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        let goal = |goal: Option<Goal>| match goal {
            Some(Goal::Value(limit)) => format!("v{limit}"),
            Some(Goal::Ratio(limit)) => format!("r{limit}"),
            None => String::new(),
        };
        [
            self.row.clone(),
            self.case.clone(),
            self.subject.clone(),
            self.median.to_string(),
            number(self.spread.p99),
            self.unit.text().to_owned(),
            self.baseline.clone().unwrap_or_default(),
            number(self.ratio),
            goal(self.floor),
            goal(self.aim),
            number(self.spread.p50),
            number(self.spread.p999),
        ]
        .join("\t")
    }

    /// Parses the text of [`Line::to_tabs`], of which the last fields may be missing.
    pub(crate) fn from_tabs(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('\t').collect();
        let [row, case, subject, median, p99, unit, baseline, ratio, floor, aim, ref rest @ ..] =
            fields[..]
        else {
            return None;
        };
        let number = |text: &str| text.parse().ok();
        let goal = |text: &str| match text.split_at_checked(1)? {
            ("v", limit) => Some(Goal::Value(limit.parse().ok()?)),
            ("r", limit) => Some(Goal::Ratio(limit.parse().ok()?)),
            _ => None,
        };
        Some(Self {
            row: row.to_owned(),
            case: case.to_owned(),
            subject: subject.to_owned(),
            median: median.parse().ok()?,
            spread: Spread {
                p50: rest.first().copied().and_then(number),
                p99: number(p99),
                p999: rest.get(1).copied().and_then(number),
            },
            unit: Unit::parse(unit)?,
            baseline: (!baseline.is_empty()).then(|| baseline.to_owned()),
            ratio: number(ratio),
            floor: goal(floor),
            aim: goal(aim),
        })
    }

    /// Formats the line as a JSON object that also names the run.
    pub(crate) fn to_json(&self, run: u64) -> String {
        let mut json = format!("{{\"run\":{run}");
        let mut text = |key, value: &str| {
            let _ = write!(json, ",\"{key}\":{}", quoted(value));
        };
        text("row", &self.row);
        text("case", &self.case);
        text("subject", &self.subject);
        text("unit", self.unit.text());
        if let Some(baseline) = &self.baseline {
            text("baseline", baseline);
        }
        let mut number = |key: &str, value: Option<f64>| {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                let _ = write!(json, ",\"{key}\":{value}");
            }
        };
        number("median", Some(self.median));
        number("p50", self.spread.p50);
        number("p99", self.spread.p99);
        number("p99.9", self.spread.p999);
        number("ratio", self.ratio);
        for (key, goal) in [("floor", self.floor), ("aim", self.aim)] {
            match goal {
                Some(Goal::Value(limit)) => number(key, Some(limit)),
                Some(Goal::Ratio(limit)) => number(&format!("{key}_ratio"), Some(limit)),
                None => {}
            }
        }
        json.push('}');
        json
    }
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Line {
        Line {
            row: "tiny".into(),
            case: "a \"case\"".into(),
            subject: "fork".into(),
            median: 0.1 + 0.2,
            spread: Spread { p50: Some(0.25), p99: Some(2.0), p999: Some(7.5) },
            unit: Unit::MegaTasks,
            baseline: Some("rayon".into()),
            ratio: Some(0.99),
            floor: Some(Goal::Value(1.0)),
            aim: Some(Goal::Ratio(0.99)),
        }
    }

    #[test]
    fn a_line_survives_the_way_to_the_program_that_asked_for_it() {
        let line = example();
        assert_eq!(Line::from_tabs(&line.to_tabs()), Some(line.clone()));
        assert!(line.to_json(7).contains(r#""case":"a \"case\"""#));
        assert!(line.meets(Goal::Ratio(0.99)) && !line.meets(Goal::Value(1.0)));
    }

    #[test]
    fn lines_of_older_and_newer_programs_are_understood() {
        let text = example().to_tabs();
        let older: Vec<&str> = text.split('\t').take(10).collect();
        let spread = Spread { p99: Some(2.0), ..Spread::default() };
        assert_eq!(Line::from_tabs(&older.join("\t")), Some(Line { spread, ..example() }));
        assert_eq!(Line::from_tabs(&format!("{text}\tunknown")), Some(example()));
        assert_eq!(Line::from_tabs(&older[..9].join("\t")), None);
    }

    #[test]
    fn percentiles_that_are_not_there_are_left_out_of_the_file() {
        assert!(example().to_json(7).contains(r#""p50":0.25,"p99":2,"p99.9":7.5"#));
        let line = Line { spread: Spread::default(), ..example() };
        assert!(!line.to_json(7).contains("\"p"), "{}", line.to_json(7));
    }
}
