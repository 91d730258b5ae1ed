//! The lines that two programs of benchmarks print for the program that starts them, as a table.

use crate::table;

/// Marks such a line.
const MARK: char = '\u{1f}';

/// The medians of all rounds of one case and subject, of both revisions.
#[derive(Debug, PartialEq)]
struct Entry {
    case: String,
    subject: String,
    unit: String,
    values: [Vec<f64>; 2],
}

/// What was measured, in the order in which it came first.
#[derive(Debug, Default)]
pub(super) struct Measured(Vec<Entry>);

impl Measured {
    /// Takes a line of one of the two; returns whether it was one.
    pub(super) fn add(&mut self, side: usize, line: &str) -> bool {
        let Some((mut entry, median)) = parsed(line) else { return false };
        let is_known = |known: &&mut Entry| {
            (&known.case, &known.subject, &known.unit) == (&entry.case, &entry.subject, &entry.unit)
        };
        match self.0.iter_mut().find(is_known) {
            Some(known) => known.values[side].push(median),
            None => {
                entry.values[side].push(median);
                self.0.push(entry);
            }
        }
        true
    }

    /// The medians of both revisions with these names, and their ratios; behind it what only one of
    /// them has.
    pub(super) fn table(&self, names: [&str; 2]) -> String {
        let [there, here] = names;
        let is_in_both = |entry: &&Entry| entry.values.iter().all(|values| !values.is_empty());
        let (both, single): (Vec<&Entry>, Vec<&Entry>) = self.0.iter().partition(is_in_both);
        let ratio = format!("{here} / {there}");
        let mut text = String::new();
        if !both.is_empty() {
            let header = ["case", "subject", "unit", there, here, &ratio, "rounds"];
            let rows: Vec<Vec<String>> = both.into_iter().map(Entry::cells).collect();
            text += &table::render(&header, &rows);
        }
        if !single.is_empty() {
            text += "\nonly in one revision:\n\n";
            let cells = |entry: &Entry| {
                let (name, values) = match &entry.values {
                    [values, other] if other.is_empty() => (there, values),
                    [_, values] => (here, values),
                };
                let [case, subject, unit] = entry.names();
                vec![name.to_owned(), case, subject, unit, number(median(values))]
            };
            let rows: Vec<Vec<String>> = single.into_iter().map(cells).collect();
            text += &table::render(&["revision", "case", "subject", "unit", "median"], &rows);
        }
        text
    }
}

impl Entry {
    fn names(&self) -> [String; 3] {
        [self.case.clone(), self.subject.clone(), self.unit.clone()]
    }

    fn cells(&self) -> Vec<String> {
        let [there, here] = &self.values;
        // Of each round, since two turns of one round were disturbed alike.
        let ratios: Vec<f64> = here.iter().zip(there).map(|(here, there)| here / there).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut cells = self.names().to_vec();
        cells.extend([median(there), median(here), median(here) / median(there)].map(number));
        cells.push(format!("{} to {}", number(least), number(most)));
        cells
    }
}

/// Reads the fields that all revisions have: row, case, subject, median, the 99th percentile, and
/// the unit.
fn parsed(line: &str) -> Option<(Entry, f64)> {
    let mut fields = line.strip_prefix(MARK)?.split('\t');
    let (row, case, subject) = (fields.next()?, fields.next()?, fields.next()?);
    let median = fields.next()?.parse().ok()?;
    let unit = fields.nth(1)?.to_owned();
    let (case, subject) = (format!("{row}: {case}"), subject.to_owned());
    Some((Entry { case, subject, unit, values: [Vec::new(), Vec::new()] }, median))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_revisions_are_read() {
        let older = "\u{1f}tiny\tone\tfork\t2.5\t\tµs\trayon\t0.5\tv1\t";
        let (entry, median) = parsed(older).unwrap();
        let told = (&*entry.case, &*entry.subject, &*entry.unit, median);
        assert_eq!(told, ("tiny: one", "fork", "µs", 2.5));
        assert_eq!(parsed(&format!("{older}\t1\t2\t3")), Some((entry, 2.5)));
        for other in ["tiny\tone\tfork\t2.5\t\tµs", "\u{1f}tiny\tone\tfork\tx\t\tµs", "\u{1f}", ""]
        {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn medians_lie_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_table_has_ratios_and_what_is_in_one_revision_only() {
        let mut measured = Measured::default();
        for (side, case, median) in [
            (0, "a", 2.0),
            (1, "a", 1.0),
            (0, "a", 4.0),
            (1, "a", 3.0),
            (0, "gone", 20.0),
            (1, "new", 500.0),
        ] {
            assert!(measured.add(side, &format!("\u{1f}r\t{case}\tfork\t{median}\t\tms")));
        }
        assert!(!measured.add(0, "something else"));
        let expected = "\
case   subject   unit   HEAD~3   here   here / HEAD~3   rounds
----   -------   ----   ------   ----   -------------   --------------
r: a   fork      ms     3.00     2.00   0.667           0.500 to 0.750

only in one revision:

revision   case      subject   unit   median
--------   -------   -------   ----   ------
HEAD~3     r: gone   fork      ms     20.0
here       r: new    fork      ms     500
";
        assert_eq!(measured.table(["HEAD~3", "here"]), expected);
    }
}
