//! The floors of a crate's top modules, and the edges that lead up.
//!
//! A top module is a file or a folder directly in `src`; the root is `lib`. A module may need those
//! on floors below its own, and on its own floor those to the right of it.

use std::collections::{BTreeMap, BTreeSet};

use super::edges::{Edge, Edges};
use super::list::{Line, Place};

/// The order of the top modules.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    /// From the first to the last: each may need those behind it.
    pub(crate) order: Vec<String>,
    /// The place of each module: its number in `order`, its floor, its line in the list.
    places: BTreeMap<String, (usize, usize, Place)>,
}

/// The top module of a file.
pub(crate) fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

impl Floors {
    /// Reads a list with one floor a line, the uppermost first.
    ///
    /// # Errors
    ///
    /// A module stands in it twice.
    pub(crate) fn parse(lines: &[Line]) -> Result<Floors, String> {
        let mut floors = Floors::default();
        for (floor, line) in lines.iter().enumerate() {
            for name in line.text.split_whitespace() {
                let place = (floors.order.len(), floor, line.place.clone());
                floors.order.push(name.to_owned());
                if floors.places.insert(name.to_owned(), place).is_some() {
                    return Err(format!("{}: {name} has two floors", line.place));
                }
            }
        }
        Ok(floors)
    }

    /// Modules without a floor, and names in the list that no module has.
    pub(crate) fn mismatches<'a>(&self, files: impl Iterator<Item = &'a String>) -> Vec<String> {
        let tops: BTreeSet<&str> = files.map(|file| top(file)).collect();
        let unlisted = tops.iter().filter(|name| !self.places.contains_key(**name));
        let unlisted = unlisted.map(|name| format!("{name} has no floor in the list"));
        let gone = self.places.iter().filter(|(name, _)| !tops.contains(name.as_str()));
        let gone = gone.map(|(name, (_, _, place))| format!("{place}: there is no module {name}"));
        unlisted.chain(gone).collect()
    }

    /// Whether the module of `from` may need that of `to`.
    pub(crate) fn allow(&self, from: &str, to: &str) -> bool {
        let number = |file| self.places.get(top(file)).map(|(number, _, _)| *number);
        number(from) <= number(to)
    }

    /// The edges that lead up, each with its message.
    pub(crate) fn upward(&self, edges: &Edges, src: &str) -> BTreeMap<String, String> {
        let broken = edges.iter().filter(|(edge, _)| !self.allow(&edge.from, &edge.to));
        let told = broken.map(|(edge, line)| {
            let Edge { from, to, item } = edge;
            let floor = |file| self.places.get(top(file)).map(|(_, floor, _)| *floor);
            let (lower, upper) = (top(from), top(to));
            let relation = if floor(from) == floor(to) { "left of" } else { "above" };
            let text = format!(
                "{src}/{from}:{line}: needs {item} of {to}, \
                 and {upper} is {relation} {lower}: {edge}"
            );
            (edge.to_string(), text)
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::edges::edges;
    use crate::floors::list;
    use crate::floors::testing::krate;

    fn floors(text: &str) -> Floors {
        Floors::parse(&list::lines("floors.txt", text)).unwrap()
    }

    #[test]
    fn an_edge_that_leads_up_is_told() {
        let krate = krate(&[
            ("lib.rs", "mod high; mod left; mod right; use high::A;"),
            ("high/mod.rs", "pub struct A; use crate::left::B;"),
            ("left.rs", "pub struct B; use crate::right::C;"),
            ("right.rs", "pub struct C;\nuse crate::high::A;\n\nuse crate::left::B;"),
        ]);
        let upward = floors("lib\nhigh # the top\nleft right").upward(&edges(&krate).0, "src");
        let told: Vec<&String> = upward.values().collect();
        assert_eq!(
            told,
            [
                "src/right.rs:2: needs A of high/mod.rs, and high is above right: \
                 right.rs -> high/mod.rs A",
                "src/right.rs:4: needs B of left.rs, and left is left of right: \
                 right.rs -> left.rs B",
            ]
        );
    }

    #[test]
    fn the_list_has_each_module_once() {
        let files = ["lib.rs".to_owned(), "a/mod.rs".to_owned(), "b.rs".to_owned()];
        assert_eq!(
            floors("lib\n\nb c").mismatches(files.iter()),
            ["a has no floor in the list", "floors.txt:3: there is no module c"]
        );
        let twice = Floors::parse(&list::lines("floors.txt", "a\nb a"));
        assert_eq!(twice.unwrap_err(), "floors.txt:2: a has two floors");
    }
}
