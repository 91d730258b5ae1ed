//! Is the facade thin, as it says? Mechanism belongs to the crates below it.

use std::fs;
use std::path::Path;

use crate::workspace::{FACADE, Workspace};

/// The dependencies of a crate with mechanism.
const MECHANISM: [&str; 8] = [
    "nix",
    "libc",
    "memmap2",
    "shared_memory",
    "core_affinity",
    "crossbeam",
    "crossbeam-channel",
    "crossbeam-utils",
];

/// The names in the section `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let section = lines.take_while(|line| !line.starts_with('['));
    let names = section.map(|line| line.split(['=', '.', ' ']).next().unwrap_or_default());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

/// Lines of all sources below a folder.
fn lines(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => lines(&path),
        false => fs::read_to_string(path).unwrap().lines().count(),
    };
    entries.map(count).sum()
}

#[test]
fn it_depends_on_no_mechanism() {
    let manifest = Workspace::current().root().join(FACADE.name).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let names = dependencies(&manifest);
    assert!(names.contains(&"pool-core"), "{names:?}");
    let own = names.iter().find(|name| MECHANISM.contains(name));
    assert_eq!(own, None, "{} has it from a crate below", FACADE.name);
    assert!(!manifest.contains("[dependencies.") && !manifest.contains(".dependencies]"));
}

#[test]
fn it_has_no_unsafe_and_is_smaller_than_what_it_stands_on() {
    let root = Workspace::current().root().to_owned();
    let sources = |name: &str| root.join(name).join("src");
    let own = fs::read_to_string(sources(FACADE.name).join("lib.rs")).unwrap();
    assert!(own.contains("#![forbid(unsafe_code)]"));
    let own = lines(&sources(FACADE.name));
    for below in ["pool-core", "pool-ipc"] {
        assert!(own < lines(&sources(below)), "{own} lines are more than those of {below}");
    }
}

#[test]
fn dependencies_are_read_off_a_manifest() {
    let manifest = "[package]\nnix = 1\n[dependencies]\n# of others\na.workspace = true\n\nb = { path = \"b\" }\n[dev-dependencies]\nlibc = 1\n";
    assert_eq!(dependencies(manifest), ["a", "b"]);
}
