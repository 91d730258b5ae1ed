//! Resolves paths: follows names through modules, imports, re-exports and globs to the module that
//! defines them.
//!
//! The names behind an item (a variant, an associated function) belong to it. Names of other
//! crates, of the language and of generics lead outside.

use super::modules::{Crate, Import};

/// How many imports a name may go through; more are a circle.
const LONGEST: usize = 32;

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Module(usize),
    /// An item and the module that defines it.
    Item(usize, String),
    Outside,
    /// A name that the module before it does not have.
    Unknown(String),
}

impl Crate {
    /// The target of a path that stands in `module`.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Target {
        self.follow(module, path, 0)
    }

    /// The names that a glob of this module imports.
    pub(crate) fn names(&self, module: usize) -> impl Iterator<Item = &String> {
        let module = &self.modules[module];
        let imports = module.imports.iter().map(|import| &import.name);
        module.children.keys().chain(&module.items).chain(imports)
    }

    /// Whether `module` is `above`, or stands below it in the tree.
    pub(crate) fn is_within(&self, module: usize, above: usize) -> bool {
        let mut at = Some(module);
        while let Some(module) = at {
            if module == above {
                return true;
            }
            at = self.modules[module].parent;
        }
        false
    }

    fn follow(&self, module: usize, path: &[String], depth: usize) -> Target {
        let mut here = module;
        let mut is_relative = true;
        for (at, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => (here, is_relative) = (0, false),
                "self" => is_relative = false,
                "super" => {
                    (here, is_relative) = (self.modules[here].parent.unwrap_or(0), false);
                }
                _ => match self.look_up(here, name, at + 1 == path.len(), depth) {
                    Some(Target::Module(child)) => (here, is_relative) = (child, false),
                    Some(target) => return target,
                    None if is_relative => return Target::Outside,
                    None => return Target::Unknown(name.clone()),
                },
            }
        }
        Target::Module(here)
    }

    /// The target of a name in a module. A module and an item may share a name: the last segment of
    /// a path is the item, any other one the module.
    fn look_up(&self, at: usize, name: &str, is_last: bool, depth: usize) -> Option<Target> {
        if depth == LONGEST {
            return None;
        }
        let module = &self.modules[at];
        let child = module.children.get(name).map(|child| Target::Module(*child));
        let item = || Target::Item(at, name.to_owned());
        if child.is_some() && !is_last {
            return child;
        }
        if module.items.contains(name) {
            return Some(item());
        }
        let leads = |import: &Import| match self.follow(at, &import.path, depth + 1) {
            Target::Unknown(_) => None,
            target => Some(target),
        };
        let named = module.imports.iter().filter(|import| import.name == name);
        if let Some(target) = named.filter_map(leads).next() {
            return Some(target);
        }
        if child.is_some() {
            return child;
        }
        let globs = module.imports.iter().filter(|import| import.name == "*");
        let from_globs = globs.filter_map(leads).find_map(|target| match target {
            Target::Module(other) if other != at => self.look_up(other, name, is_last, depth + 1),
            _ => None,
        });
        from_globs.or_else(|| module.nested_items.contains(name).then(item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floors::testing::krate;

    fn ends_in(krate: &Crate, path: &str) -> String {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        match krate.resolve(0, &path) {
            Target::Item(module, item) => format!("{} {item}", krate.modules[module].file),
            Target::Module(module) => krate.modules[module].file.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn re_exports_lead_to_the_definition() {
        let krate = krate(&[
            ("lib.rs", "mod a; mod b; use a::Renamed as Again;"),
            ("a/mod.rs", "mod c; pub(crate) use c::{Item as Renamed, f}; pub use crate::b::*;"),
            ("a/c.rs", "pub(crate) struct Item; pub(crate) fn f() {} fn g() { struct Inner; }"),
            ("b.rs", "pub enum E { V } pub mod inline { pub fn h() {} } mod f;"),
            ("b/f.rs", "pub fn f() {}"),
        ]);
        assert_eq!(ends_in(&krate, "crate::a::Renamed::new"), "a/c.rs Item");
        assert_eq!(ends_in(&krate, "Again"), "a/c.rs Item");
        assert_eq!(ends_in(&krate, "a::f"), "a/c.rs f");
        assert_eq!(ends_in(&krate, "crate::a::E::V"), "b.rs E");
        assert_eq!(ends_in(&krate, "crate::b::inline::h"), "b.rs h");
        assert_eq!(ends_in(&krate, "crate::a::f::f"), "a/c.rs f");
        assert_eq!(ends_in(&krate, "b::f"), "b/f.rs");
        assert_eq!(ends_in(&krate, "std::io::Error"), "Outside");
        assert_eq!(ends_in(&krate, "crate::a::Missing"), "Unknown(\"Missing\")");
    }

    #[test]
    fn imports_in_a_circle_end() {
        let krate = krate(&[("lib.rs", "mod a; use log::log;"), ("a.rs", "use super::a::X;")]);
        assert_eq!(ends_in(&krate, "log::log"), "Outside");
        assert_eq!(ends_in(&krate, "crate::a::X"), "Unknown(\"X\")");
    }
}
