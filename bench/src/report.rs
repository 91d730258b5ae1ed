//! The table that people read.

use std::fmt::Write;

use crate::line::{Goal, Line};

const COLUMNS: usize = 10;
const HEADS: [&str; COLUMNS] =
    ["subject", "median", "p50", "p99", "p99.9", "unit", "ratio", "baseline", "must hold", "aim"];

/// The lines of each case, in the order of the first ones: several parts may have printed lines of
/// one case.
pub(crate) fn cases(lines: &[Line]) -> Vec<Vec<&Line>> {
    let mut cases: Vec<Vec<&Line>> = Vec::new();
    for line in lines {
        let is_of = |case: &&mut Vec<&Line>| {
            case.first().is_some_and(|first| (&first.row, &first.case) == (&line.row, &line.case))
        };
        match cases.iter_mut().find(is_of) {
            Some(case) => case.push(line),
            None => cases.push(vec![line]),
        }
    }
    cases
}

/// Prints all lines, one block per case.
pub(crate) fn print(lines: &[Line]) {
    print!("{}", table(lines));
}

fn table(lines: &[Line]) -> String {
    let mut rows: Vec<[String; COLUMNS]> = lines.iter().map(cells).collect();
    rows.push(HEADS.map(String::from));
    let width = |column: usize| {
        rows.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut text = String::new();
    for case in cases(lines) {
        if let Some(first) = case.first() {
            let _ = writeln!(text, "\n{}: {}", first.row, first.case);
        }
        let rows = case.into_iter().map(cells);
        for cells in [HEADS.map(String::from)].into_iter().chain(rows) {
            let _ = writeln!(text, "  {}", aligned(&cells, &widths));
        }
    }
    text
}

fn aligned(cells: &[String; COLUMNS], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let space = " ".repeat(width - cell.chars().count());
        // Numbers stand to the right.
        let (left, right) = if matches!(column, 1..=4 | 6) {
            (space, String::new())
        } else {
            (String::new(), space)
        };
        text += &format!("{left}{cell}{right}  ");
    }
    text.trim_end().to_owned()
}

fn cells(line: &Line) -> [String; COLUMNS] {
    let goal = |goal: Option<Goal>| {
        let Some(goal) = goal else { return String::new() };
        let sign = if line.unit.is_cost() { "≤" } else { "≥" };
        let mark = if line.meets(goal) { "met" } else { "SHORT" };
        match goal {
            Goal::Value(limit) => format!("{sign} {limit} {mark}"),
            Goal::Ratio(limit) => format!("{sign} {limit} × {mark}"),
        }
    };
    let percentile = |value: Option<f64>| value.map_or(String::new(), number);
    [
        line.subject.clone(),
        number(line.median),
        percentile(line.spread.p50),
        percentile(line.spread.p99),
        percentile(line.spread.p999),
        line.unit.text().to_owned(),
        line.ratio.map_or(String::new(), |ratio| format!("{} ×", number(ratio))),
        line.baseline.clone().unwrap_or_default(),
        goal(line.floor),
        goal(line.aim),
    ]
}

/// Formats three significant digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{line::Unit, quantiles::Spread};

    fn line(case: &str, subject: &str) -> Line {
        Line {
            row: "r".to_owned(),
            case: case.to_owned(),
            subject: subject.to_owned(),
            median: 1.5,
            spread: Spread { p50: Some(1.25), p99: Some(20.0), p999: None },
            unit: Unit::Micros,
            baseline: None,
            ratio: None,
            floor: Some(Goal::Value(2.0)),
            aim: None,
        }
    }

    #[test]
    fn lines_of_a_case_stand_together() {
        let text = table(&[line("a", "one"), line("b", "two"), line("a", "three")]);
        let expected = "
r: a
  subject  median   p50   p99  p99.9  unit  ratio  baseline  must hold  aim
  one        1.50  1.25  20.0         µs                     ≤ 2 met
  three      1.50  1.25  20.0         µs                     ≤ 2 met

r: b
  subject  median   p50   p99  p99.9  unit  ratio  baseline  must hold  aim
  two        1.50  1.25  20.0         µs                     ≤ 2 met
";
        assert_eq!(text, expected);
    }
}
