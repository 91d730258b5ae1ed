//! Cycles between the files of a top module.
//!
//! A cycle through several top modules has an edge that leads up, so `layers.rs` reports it. A
//! cycle is the set of all files that need one another, directly or not.

use std::collections::{BTreeMap, BTreeSet};

use super::edges::{Edge, Edges};
use super::layers::top;
use super::list::{Line, stale};

/// The line that begins a cycle in the list of known ones; its files follow, one a line.
const HEAD: &str = "cycle";

type Files = BTreeSet<String>;
type Needs<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The cycles of two files and more.
pub(crate) fn cycles(edges: &Edges) -> Vec<Files> {
    let mut needs = Needs::new();
    for edge in edges.keys().filter(|edge| top(&edge.from) == top(&edge.to)) {
        needs.entry(&edge.from).or_default().insert(&edge.to);
    }
    let reach: Needs<'_> = needs.keys().map(|file| (*file, reached(&needs, file))).collect();
    let cycle_of = |file: &str| {
        let files = reach[file].iter();
        let back = |other: &&&str| reach.get(**other).is_some_and(|reach| reach.contains(file));
        files.filter(back).map(|other| (*other).to_owned()).collect::<Files>()
    };
    let cycles: BTreeSet<Files> = reach.keys().map(|file| cycle_of(file)).collect();
    cycles.into_iter().filter(|files| !files.is_empty()).collect()
}

/// The files that a file needs, directly or not.
fn reached<'a>(needs: &Needs<'a>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let next = needs.get(file).into_iter().flatten();
        open.extend(next.copied().filter(|file| reached.insert(*file)));
    }
    reached
}

/// Takes the known cycles out of a list; the other entries stay.
pub(crate) fn split(lines: Vec<Line>) -> (Vec<Vec<Line>>, Vec<Line>) {
    let mut cycles = Vec::new();
    let mut others = Vec::new();
    for line in lines {
        if line.text == HEAD {
            cycles.push(Vec::new());
        } else if let (false, Some(cycle)) = (line.text.contains("->"), cycles.last_mut()) {
            cycle.push(line);
        } else {
            others.push(line);
        }
    }
    (cycles, others)
}

/// The faults: files of a cycle that are not listed in it, and listed ones that are not in it.
pub(crate) fn compare(
    cycles: &[Files],
    known: &[Vec<Line>],
    edges: &Edges,
    src: &str,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut free: Vec<&Vec<Line>> = known.iter().collect();
    for files in cycles {
        let common = |cycle: &Vec<Line>| cycle.iter().filter(|l| files.contains(&l.text)).count();
        let best = (0..free.len()).max_by_key(|at| common(free[*at]));
        let best = best.filter(|at| common(free[*at]) > 0).map(|at| free.remove(at));
        let is_known = |file: &str| best.is_some_and(|cycle| cycle.iter().any(|l| l.text == file));
        for file in files.iter().filter(|file| !is_known(file)) {
            let inside = |edge: &&Edge| edge.from == *file && files.contains(&edge.to);
            if let Some((edge, line)) = edges.iter().find(|(edge, _)| inside(edge)) {
                let count = files.len();
                wrong.push(format!("{src}/{file}:{line}: is in a cycle of {count} files: {edge}"));
            }
        }
        wrong.extend(best.into_iter().flatten().filter(|l| !files.contains(&l.text)).map(stale));
    }
    wrong.extend(free.into_iter().flatten().map(stale));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::edges::edges;
    use crate::floors::list;
    use crate::floors::testing::krate;

    const FILES: [(&str, &str); 6] = [
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod c; mod d; mod e; pub use c::C; pub use d::D;"),
        ("a/c.rs", "use super::D; pub struct C; use crate::b::B;"),
        ("a/d.rs", "pub struct D;\nfn f(_: super::C) {}"),
        ("a/e.rs", "use super::C;"),
        ("b.rs", "pub struct B; use crate::a::C;"),
    ];

    fn compared(files: &[(&str, &str)], known: &str) -> Vec<String> {
        let (edges, _) = edges(&krate(files));
        let (known, others) = split(list::lines("known.txt", known));
        assert_eq!(others.len(), 0);
        compare(&cycles(&edges), &known, &edges, "src")
    }

    #[test]
    fn a_new_cycle_is_told() {
        assert_eq!(
            compared(&FILES, ""),
            [
                "src/a/c.rs:1: is in a cycle of 2 files: a/c.rs -> a/d.rs D",
                "src/a/d.rs:2: is in a cycle of 2 files: a/d.rs -> a/c.rs C",
            ]
        );
        assert_eq!(compared(&FILES, "cycle\n a/c.rs\n a/d.rs"), [""; 0]);
    }

    #[test]
    fn a_cycle_neither_grows_nor_stays_listed() {
        let mut files = FILES;
        files[4].1 = "use super::C; pub struct E;";
        files[3].1 = "pub struct D; use super::{C, e::E};";
        assert_eq!(
            compared(&files, "cycle\n a/c.rs\n a/d.rs\n b.rs\ncycle\n a/f.rs"),
            [
                "src/a/e.rs:1: is in a cycle of 3 files: a/e.rs -> a/c.rs C",
                "known.txt:4: `b.rs` does not exist any more: remove it",
                "known.txt:6: `a/f.rs` does not exist any more: remove it",
            ]
        );
    }

    #[test]
    fn edges_and_cycles_share_a_list() {
        let (cycles, others) = split(list::lines("known.txt", "a -> b c\ncycle\n a\n b\nd -> e f"));
        assert_eq!((cycles.len(), cycles[0].len(), others.len()), (1, 2, 2));
    }
}
