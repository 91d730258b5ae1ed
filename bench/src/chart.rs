//! The rows of one run as a picture: a block for each case, bars on a logarithmic scale.

use crate::{
    environment::Environment,
    line::Line,
    picture::{Class, Font, Layout, Picture},
    report::{cases, number},
};

const LAYOUT: Layout =
    Layout { width: 860.0, left: 250.0, longest: 300.0, bar: 10.0, step: 14.0, font: Font::Fine };

/// How the names of those begin that are no work of ours, even if they have a baseline themselves.
const FOREIGN: [&str; 4] = ["bare", "crossbeam", "pipe", "pthread"];

/// The picture as text.
pub(crate) fn draw(lines: &[Line], machine: &Environment) -> String {
    let mut picture = Picture::new(LAYOUT);
    for case in cases(lines) {
        block(&mut picture, &case);
    }
    picture.legend(&[(Class::Pool, "measured"), (Class::Baseline, "what it is compared with")]);
    picture.note(
        "Medians of one run, on a logarithmic scale; behind them the median of the ratios to the \
         baseline, round by round.",
    );
    picture.note(&format!(
        "{} CPUs of {}, {}, load before {}",
        machine.usable,
        machine.model,
        machine.date,
        machine.load_before()
    ));
    picture.finish("Medians of benchmarks beside their baselines")
}

fn block(picture: &mut Picture, case: &[&Line]) {
    // A logarithm has no place for others.
    let drawn = |line: &&&Line| line.median.is_finite() && line.median > 0.0;
    let lines: Vec<&Line> = case.iter().filter(drawn).copied().collect();
    let Some(first) = lines.first() else { return };
    let better = if first.unit.is_cost() { "less" } else { "more" };
    let unit = first.unit.text();
    picture.title(&format!("{}: {} ({unit}, {better} is better)", first.row, first.case));
    let decades = Decades::around(lines.iter().map(|line| line.median));
    picture.grid(lines.len(), &decades.lines());
    for line in &lines {
        picture.bar(&line.subject, class(line, &lines), decades.share(line.median), &label(line));
    }
    picture.gap();
}

/// Whether a subject is one that others are compared with.
fn class(line: &Line, case: &[&Line]) -> Class {
    let is_named = case.iter().any(|other| other.baseline.as_ref() == Some(&line.subject));
    let is_beside = line.baseline.is_none() && case.iter().any(|other| other.baseline.is_some());
    let is_foreign = FOREIGN.iter().any(|name| line.subject.starts_with(name));
    if is_named || is_beside || is_foreign { Class::Baseline } else { Class::Pool }
}

fn label(line: &Line) -> String {
    let value = number(line.median);
    match (line.ratio, &line.baseline) {
        (Some(ratio), Some(baseline)) => format!("{value} · {} × {baseline}", number(ratio)),
        _ => value,
    }
}

/// Powers of ten around all values of a case.
#[derive(Debug, PartialEq)]
struct Decades {
    low: i32,
    high: i32,
}

impl Decades {
    /// Of positive numbers. Each bar has a length that can be seen.
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        let low = (least * 0.8).log10().floor() as i32;
        Self { low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low)
    }

    /// The powers, as shares and for people.
    fn lines(&self) -> Vec<(f64, String)> {
        let line = |power: i32| {
            let decimals = usize::try_from(-power).unwrap_or_default();
            let value = 10f64.powi(power);
            (self.share(value), format!("{value:.decimals$}"))
        };
        (self.low..=self.high).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        line::Unit,
        picture::reading::{assert_inside, assert_well_formed},
        quantiles::Spread,
    };

    fn line(subject: &str, median: f64, baseline: Option<&str>) -> Line {
        Line {
            row: "row".to_owned(),
            case: "a & b".to_owned(),
            subject: subject.to_owned(),
            median,
            spread: Spread::default(),
            unit: Unit::Micros,
            baseline: baseline.map(str::to_owned),
            ratio: baseline.map(|_| 2.0),
            floor: None,
            aim: None,
        }
    }

    #[test]
    fn a_case_has_bars_for_what_has_a_logarithm() {
        let lines = [
            line("fork, after 64 items <of> 1 MiB, and what else there is", 2.0, Some("rayon")),
            line("spawn", 0.0, Some("rayon")),
            line("threads", f64::NAN, Some("rayon")),
            line("crossbeam", 900.0, None),
            line("rayon", 1.0, None),
        ];
        let picture = draw(&lines, &Environment::read());
        assert_well_formed(&picture);
        assert_inside(&picture);
        let bars = |class: &str| picture.matches(&format!("rect class=\"{class}\"")).count();
        // One of each is that of the legend.
        assert_eq!((bars("pool"), bars("baseline")), (2, 3));
        assert!(picture.contains("2.00 · 2.00 × rayon") && picture.contains("row: a &amp; b"));
        assert_well_formed(&draw(&[], &Environment::read()));
    }

    #[test]
    fn decades_leave_room_for_the_shortest_bar() {
        let around = |values: &[f64]| Decades::around(values.iter().copied());
        assert_eq!(around(&[2.0, 30.0]), Decades { low: 0, high: 2 });
        assert_eq!(around(&[1.0]), Decades { low: -1, high: 0 });
        let decades = around(&[0.05, 10.0]);
        assert_eq!(decades, Decades { low: -2, high: 1 });
        assert!((decades.share(0.1) - 1.0 / 3.0).abs() < 1e-9);
        let texts: Vec<String> = decades.lines().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0.01", "0.1", "1", "10"]);
    }
}
