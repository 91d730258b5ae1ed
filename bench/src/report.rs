//! The table that people read.

use crate::line::{Goal, Line};

const HEADS: [&str; 8] =
    ["subject", "median", "p99", "unit", "ratio", "baseline", "must hold", "aim"];

/// Prints all lines, one block per case.
pub(crate) fn print(lines: &[Line]) {
    let mut lines: Vec<&Line> = lines.iter().collect();
    // Several parts may have printed lines of one case.
    let mut known: Vec<(&str, &str)> = Vec::new();
    lines.sort_by_cached_key(|line| {
        let case = (line.row.as_str(), line.case.as_str());
        known.iter().position(|other| *other == case).unwrap_or_else(|| {
            known.push(case);
            known.len() - 1
        })
    });
    let cells: Vec<[String; 8]> = lines.iter().map(|line| cells(line)).collect();
    let width = |column: usize| {
        let widths = cells.iter().map(|cells| cells[column].chars().count());
        widths.chain([HEADS[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut block = None;
    for (line, cells) in lines.iter().zip(&cells) {
        if block != Some((&line.row, &line.case)) {
            println!("\n{}: {}", line.row, line.case);
            println!("  {}", aligned(&HEADS.map(String::from), &widths));
            block = Some((&line.row, &line.case));
        }
        println!("  {}", aligned(cells, &widths));
    }
}

fn aligned(cells: &[String; 8], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let space = " ".repeat(width - cell.chars().count());
        // Numbers stand to the right.
        let (left, right) = if matches!(column, 1 | 2 | 4) {
            (space, String::new())
        } else {
            (String::new(), space)
        };
        text += &format!("{left}{cell}{right}  ");
    }
    text.trim_end().to_owned()
}

fn cells(line: &Line) -> [String; 8] {
    let goal = |goal: Option<Goal>| {
        let Some(goal) = goal else { return String::new() };
        let sign = if line.unit.is_cost() { "≤" } else { "≥" };
        let mark = if line.meets(goal) { "met" } else { "SHORT" };
        match goal {
            Goal::Value(limit) => format!("{sign} {limit} {mark}"),
            Goal::Ratio(limit) => format!("{sign} {limit} × {mark}"),
        }
    };
    [
        line.subject.clone(),
        number(line.median),
        line.p99.map_or(String::new(), number),
        line.unit.text().to_owned(),
        line.ratio.map_or(String::new(), |ratio| format!("{} ×", number(ratio))),
        line.baseline.clone().unwrap_or_default(),
        goal(line.floor),
        goal(line.aim),
    ]
}

/// Formats three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
