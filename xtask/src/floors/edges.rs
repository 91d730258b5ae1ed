//! The edges of a crate: which file needs which item of which other file.
//!
//! An edge ends where the item is defined, not at the re-export that it was found by. A file that
//! re-exports an item from below it does not need it, unless it uses the name itself.

use std::collections::BTreeMap;

use super::modules::{Crate, Module};
use super::resolve::Target;

/// A file, and the item of another file that it needs; both are relative to the crate's `src`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) item: String,
}

/// Edges, each with the first line that makes it.
pub(crate) type Edges = BTreeMap<Edge, usize>;

impl std::fmt::Display for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {} {}", self.from, self.to, self.item)
    }
}

/// All edges of a crate, and the places where a path could not be followed.
pub(crate) fn edges(krate: &Crate) -> (Edges, Vec<String>) {
    let mut found = Found { krate, edges: Edges::new(), unresolved: Vec::new() };
    for (index, module) in krate.modules.iter().enumerate() {
        for import in &module.imports {
            let target = krate.resolve(index, &import.path);
            let is_glob = import.name == "*";
            match target {
                Target::Module(other) if is_glob => found.glob(module, other, import.line),
                Target::Item(other, _)
                    if import.is_public
                        && krate.is_within(other, index)
                        && !module.words.contains(&import.name) => {}
                _ => found.add(module, target, &import.path, import.line),
            }
        }
        for mention in &module.mentions {
            let target = krate.resolve(index, &mention.path);
            found.add(module, target, &mention.path, mention.line);
        }
    }
    (found.edges, found.unresolved)
}

struct Found<'a> {
    krate: &'a Crate,
    edges: Edges,
    unresolved: Vec<String>,
}

impl Found<'_> {
    fn add(&mut self, module: &Module, target: Target, path: &[String], line: usize) {
        match target {
            Target::Item(other, item) => {
                let to = &self.krate.modules[other].file;
                if *to != module.file {
                    let edge = Edge { from: module.file.clone(), to: to.clone(), item };
                    let first = self.edges.entry(edge).or_insert(line);
                    *first = line.min(*first);
                }
            }
            Target::Unknown(name) => {
                let path = path.join("::");
                self.unresolved
                    .push(format!("{}:{line}: `{name}` of {path} is not found", module.file));
            }
            // An item used from a module is a path of its own.
            Target::Module(_) | Target::Outside => {}
        }
    }

    /// Adds the names of a glob that a file needs: those that occur in it and that it neither
    /// defines nor imports by name.
    fn glob(&mut self, module: &Module, other: usize, line: usize) {
        let krate = self.krate;
        let is_meant = |name: &&String| {
            let is_hidden = module.items.contains(*name)
                || module.imports.iter().any(|import| import.name == **name);
            module.words.contains(*name) && !is_hidden
        };
        for name in krate.names(other).filter(is_meant) {
            let path = [name.clone()];
            self.add(module, krate.resolve(other, &path), &path, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::testing::krate;

    fn shown(files: &[(&str, &str)]) -> Vec<String> {
        let (edges, unresolved) = edges(&krate(files));
        assert_eq!(unresolved, [""; 0]);
        edges.iter().map(|(edge, line)| format!("{line}: {edge}")).collect()
    }

    #[test]
    fn paths_count_wherever_they_stand() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use crate::b::{self, One};
                fn f() { b::two(super::b::Three::new()); }
                macro_rules! m { () => { $crate::b::FOUR } }
                mod inline { fn g(_: super::super::b::Five) {} }
                // crate::b::Six
                const S: &str = \"crate::b::Seven\";
                #[cfg(test)]
                mod tests { use crate::b::Eight; }",
            ),
            (
                "b.rs",
                "pub struct One; pub fn two() {} pub struct Three; pub const FOUR: u8 = 4;
                pub struct Five; pub struct Six; pub struct Seven; pub struct Eight;",
            ),
        ];
        assert_eq!(
            shown(&files),
            [
                "3: a.rs -> b.rs FOUR",
                "4: a.rs -> b.rs Five",
                "1: a.rs -> b.rs One",
                "2: a.rs -> b.rs Three",
                "2: a.rs -> b.rs two",
            ]
        );
    }

    #[test]
    fn re_exports_and_globs_lead_to_the_file_that_defines() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use b::One;"),
            ("a.rs", "use crate::b::*;\nfn f(_: Two) {}"),
            ("b/mod.rs", "mod c; mod d; pub use c::One; pub use d::Two; fn f(_: Two) {}"),
            ("b/c.rs", "pub struct One;"),
            ("b/d.rs", "pub struct Two;"),
        ];
        assert_eq!(shown(&files), ["1: a.rs -> b/d.rs Two", "1: b/mod.rs -> b/d.rs Two"]);
    }

    #[test]
    fn a_path_that_cannot_be_followed_is_told() {
        let krate = krate(&[("lib.rs", "mod a;\nuse a::Missing;"), ("a.rs", "")]);
        assert_eq!(edges(&krate).1, ["lib.rs:2: `Missing` of a::Missing is not found"]);
    }
}
