//! `cargo xtask floors`: are the modules of `pool-core` layers, names free of private words, and
//! comments such that a reader who sees nothing else understands them?
//!
//! Invariant: an edge that leads up and a file in a cycle stand in a list beside the check, with a
//! reason, or are errors; so is an entry that is found no more. Each is told with file, line and
//! name.
//!
//! Only paths are edges: a method that is called by its name alone is none.
//!
//! * `floors/lexer.rs`, `floors/cut.rs`, `floors/syntax.rs`: read a file.
//! * `floors/modules.rs`: makes a tree of all files; `floors/resolve.rs`: follows names in it.
//! * `floors/edges.rs`: says which file needs which item of which other file.
//! * `floors/layers.rs`, `floors/cycles.rs`: check these edges.
//! * `floors/words.rs`: checks names, by tokens only; `floors/comments.rs`: checks comments.
//! * `floors/list.rs`: compares faults with the known ones.
//! * `floors/testing.rs`: what the tests share.

mod comments;
mod cut;
mod cycles;
mod edges;
mod layers;
mod lexer;
mod list;
mod modules;
mod resolve;
mod syntax;
#[cfg(test)]
mod testing;
mod words;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::misused;
use crate::workspace::Workspace;
use layers::Floors;
use modules::Crate;

/// The sources that have floors.
const SRC: &str = "pool-core/src";
const FLOORS: &str = "xtask/floors.txt";
const FLOORS_KNOWN: &str = "xtask/floors-known.txt";
const WORDS: &str = "xtask/words.txt";

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let workspace = Workspace::current();
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let result = match args.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        [] => check(&workspace),
        ["--edges"] => edges_between_modules(&workspace),
        _ => return misused("floors takes nothing but --edges"),
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks and returns the summary.
///
/// # Errors
///
/// All faults, one a line, with the summary behind them.
pub(crate) fn check(workspace: &Workspace) -> Result<String, String> {
    let root = workspace.root();
    let files = sources(root, Path::new(SRC))?;
    let krate = Crate::parse(&files)?;
    let (edges, unresolved) = edges::edges(&krate);
    let floors = Floors::parse(&read_list(root, FLOORS)?)?;
    let (known_cycles, known_edges) = cycles::split(read_list(root, FLOORS_KNOWN)?);
    let cycles = cycles::cycles(&edges);
    let words = read_list(root, WORDS)?.into_iter().map(|line| line.text).collect();
    let all_files = sources_of_crates(root)?;

    let mut wrong: Vec<String> = unresolved.iter().map(|text| format!("{SRC}/{text}")).collect();
    wrong.extend(floors.mismatches(files.keys()));
    wrong.extend(list::compare(&floors.upward(&edges, SRC), &known_edges));
    wrong.extend(cycles::compare(&cycles, &known_cycles, &edges, SRC));
    wrong.extend(words::offenders(&all_files, &words).into_values());
    wrong.extend(comments::findings(&all_files));
    let summary = format!(
        "floors: {} edges; known: {} that lead up, {} cycles of files; {} broken",
        edges.len(),
        known_edges.len(),
        known_cycles.len(),
        wrong.len()
    );
    if wrong.is_empty() {
        return Ok(summary);
    }
    wrong.push(summary);
    Err(wrong.join("\n"))
}

/// A line for each top module with the modules that it needs, counted by item; `!` marks an edge
/// that leads up.
fn edges_between_modules(workspace: &Workspace) -> Result<String, String> {
    let krate = Crate::parse(&sources(workspace.root(), Path::new(SRC))?)?;
    let floors = Floors::parse(&read_list(workspace.root(), FLOORS)?)?;
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let (edges, _) = edges::edges(&krate);
    for edge in edges.keys() {
        *counts.entry((layers::top(&edge.from), layers::top(&edge.to))).or_default() += 1;
    }
    let line = |from: &String| {
        let needed = |to: &String| {
            let count = counts.get(&(from.as_str(), to.as_str())).filter(|_| from != to)?;
            let mark = if floors.allow(from, to) { "" } else { "!" };
            Some(format!("{mark}{to} {count}"))
        };
        let needed: Vec<String> = floors.order.iter().filter_map(needed).collect();
        format!("{from}: {}", needed.join(", "))
    };
    Ok(floors.order.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_list(root: &Path, file: &str) -> Result<Vec<list::Line>, String> {
    Ok(list::lines(file, &read(&root.join(file))?))
}

/// The Rust files below `root/folder`, by their paths relative to that folder.
fn sources(root: &Path, folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    add_sources(&root.join(folder), "", &mut files)?;
    Ok(files)
}

/// The Rust files of all crates, by their paths relative to the workspace.
fn sources_of_crates(root: &Path) -> Result<BTreeMap<String, String>, String> {
    let mut files = BTreeMap::new();
    for name in entries(root)?.iter().filter(|name| root.join(name).join("Cargo.toml").is_file()) {
        add_sources(&root.join(name), &format!("{name}/"), &mut files)?;
    }
    Ok(files)
}

fn add_sources(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for name in entries(folder)? {
        let path = folder.join(&name);
        if path.is_dir() && name != "target" {
            add_sources(&path, &format!("{prefix}{name}/"), files)?;
        } else if name.ends_with(".rs") {
            files.insert(format!("{prefix}{name}"), read(&path)?);
        }
    }
    Ok(())
}

/// The names in a folder.
fn entries(folder: &Path) -> Result<Vec<String>, String> {
    let named = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(named)?;
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| entry.map(name).map_err(named)).collect()
}
