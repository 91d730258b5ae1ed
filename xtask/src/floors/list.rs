//! Lists in text files, with `#` before comments; compares known entries with those found.
//!
//! A known entry that is no longer found is an error, so that a list can only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// A line with an entry.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) place: Place,
    /// Without blanks around it.
    pub(crate) text: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The entries of a list.
pub(crate) fn lines(file: &str, text: &str) -> Vec<Line> {
    let entries = text.lines().enumerate().map(|(index, line)| Line {
        place: Place { file: file.to_owned(), line: index + 1 },
        text: line.split('#').next().unwrap_or_default().trim().to_owned(),
    });
    entries.filter(|line| !line.text.is_empty()).collect()
}

/// The faults: entries found and not known, known and not found, or known twice.
///
/// `found` has a message for each entry.
pub(crate) fn compare(found: &BTreeMap<String, String>, known: &[Line]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in known {
        if !seen.insert(line.text.as_str()) {
            wrong.push(format!("{}: `{}` is listed twice", line.place, line.text));
        } else if !found.contains_key(&line.text) {
            wrong.push(stale(line));
        }
    }
    let new = found.iter().filter(|(entry, _)| !seen.contains(entry.as_str()));
    wrong.extend(new.map(|(_, text)| text.clone()));
    wrong
}

/// The message about an entry that is no longer found.
pub(crate) fn stale(line: &Line) -> String {
    format!("{}: `{}` does not exist any more: remove it", line.place, line.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_stale_and_doubled_entries_are_told() {
        let found = [("a", "a is new"), ("b", "b is new")];
        let found = found.map(|(entry, text)| (entry.to_owned(), text.to_owned())).into();
        let known = lines("known.txt", "# reason\nb # why\n\n c\nb");
        assert_eq!(
            compare(&found, &known),
            [
                "known.txt:4: `c` does not exist any more: remove it",
                "known.txt:5: `b` is listed twice",
                "a is new",
            ]
        );
        assert_eq!(compare(&found, &lines("known.txt", "a\nb")), [""; 0]);
    }
}
