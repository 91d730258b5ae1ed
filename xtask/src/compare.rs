//! `cargo xtask bench --compare REV`: the benchmarks of this checkout beside those of another
//! revision, in turns.
//!
//! * `compare/options.rs`: the arguments.
//! * `compare/checkout.rs`: the other revision's files, and that they are removed.
//! * `compare/measured.rs`: the lines that both print, and the table of them.

mod checkout;
mod measured;
mod options;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, fs, io};

use crate::deadline::{self, End};
use crate::misused;
use crate::workspace::Workspace;

use checkout::{Checkout, Revision};
use measured::Measured;
pub(crate) use options::FLAG;
use options::Options;

/// The file that names all parts of the rows.
const PARTS: &str = "bench/src/rows/mod.rs";
/// The package and its program.
const PROGRAM: &str = "pool-bench";
/// The time limit of one part.
const LIMIT: Duration = Duration::from_secs(60);

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let options = match Options::read(args) {
        Ok(options) => options,
        Err(complaint) => return misused(&complaint),
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(complaint) => {
            eprintln!("xtask: {complaint}");
            ExitCode::FAILURE
        }
    }
}

/// A program of benchmarks, and its parts that were asked for.
struct Side {
    name: String,
    program: PathBuf,
    parts: Vec<String>,
}

/// Returns whether all parts came to their end.
fn run(options: &Options) -> Result<bool, String> {
    let workspace = Workspace::current();
    let revision = Revision::find(workspace.root(), &options.revision)?;
    let ours = fs::read_to_string(workspace.root().join(PARTS));
    let ours = parts_of(&ours.map_err(|error| format!("{PARTS}: {error}"))?);
    let theirs = parts_of(&revision.read(PARTS)?);
    options.check_rows(&[&ours, &theirs].map(Vec::as_slice).concat())?;

    let folder = workspace.target().join("compare");
    let checkout = Checkout::make(&revision, &folder)?;
    let there = build(&workspace, checkout.path(), &folder.join("target"))?;
    let here = build(&workspace, workspace.root(), workspace.target())?;
    let here = kept(&here, &checkout).map_err(|error| format!("{}: {error}", here.display()))?;
    let wanted = |parts: Vec<String>| parts.into_iter().filter(|part| options.wants(part));
    let sides = [
        Side { name: revision.name(), program: there, parts: wanted(theirs).collect() },
        Side { name: "here".to_owned(), program: here, parts: wanted(ours).collect() },
    ];
    let mut measured = Measured::default();
    let mut failures = Vec::new();
    for part in in_order(&sides) {
        for round in 1..=options.rounds {
            for (index, side) in sides.iter().enumerate() {
                if side.parts.contains(part) {
                    eprintln!("{part}, round {round} of {}: {}", options.rounds, side.name);
                    let quick = options.quick.then_some("--quick");
                    if let Err(why) = measure(side, part, quick, index, &mut measured) {
                        failures.push(format!("FAILED   {part}: {}: {why}", side.name));
                    }
                }
            }
        }
    }
    let [there, here] = &sides;
    print!("{}", measured.table([&there.name, &here.name]));
    failures.iter().for_each(|failure| println!("{failure}"));
    Ok(failures.is_empty())
}

/// The parts of both, those first that this checkout has.
fn in_order(sides: &[Side; 2]) -> Vec<&String> {
    let [there, here] = sides;
    let only_there = there.parts.iter().filter(|part| !here.parts.contains(part));
    here.parts.iter().chain(only_there).collect()
}

/// The names of all parts, from the source of their list.
fn parts_of(source: &str) -> Vec<String> {
    let names = source.split("name: \"").skip(1);
    names.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
}

/// Builds the benchmarks of a checkout; returns their program.
fn build(workspace: &Workspace, root: &Path, target: &Path) -> Result<PathBuf, String> {
    let mut command = workspace.cargo(["build", "--release", "--locked", "-p", PROGRAM]);
    command.args(["--bin", PROGRAM]).current_dir(root).env("CARGO_TARGET_DIR", target);
    eprintln!("building the benchmarks of {}", root.display());
    match command.status() {
        Ok(status) if status.success() => {
            let name = format!("{PROGRAM}{}", env::consts::EXE_SUFFIX);
            Ok(target.join("release").join(name))
        }
        Ok(status) => Err(format!("the benchmarks of {} do not build: {status}", root.display())),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

/// A copy of our program, so that a build in the meantime does not change what is measured.
fn kept(program: &Path, checkout: &Checkout) -> io::Result<PathBuf> {
    let copy = checkout.path().join("pool-bench-here");
    fs::copy(program, &copy)?;
    Ok(copy)
}

/// Lets a program measure a part once.
fn measure(
    side: &Side,
    part: &str,
    quick: Option<&str>,
    index: usize,
    measured: &mut Measured,
) -> Result<(), String> {
    let mut command = Command::new(&side.program);
    command.args(["--part", part]).args(quick);
    let mut other = Vec::new();
    let end = deadline::run(command, LIMIT, |line| {
        if !measured.add(index, &line) {
            other.push(line);
        }
    });
    match end {
        Ok(End::Exited(status)) if status.success() => Ok(()),
        Ok(End::Exited(status)) => Err(format!("{status}\n{}", other.join("\n"))),
        Ok(End::Deadline(limit)) => Err(format!("did not end within {limit:?}")),
        Ok(End::LeftProcesses) => Err("left processes behind".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_their_list() {
        let source = "&[\n    Part { name: \"tiny/1\", run: |s| run(s) },\n    Part {\n        \
                      name: \"memory/fork\",\n        run: memory,\n    },\n];";
        assert_eq!(parts_of(source), ["tiny/1", "memory/fork"]);
        let root = Workspace::current().root().to_owned();
        let ours = parts_of(&fs::read_to_string(root.join(PARTS)).unwrap());
        assert!(ours.iter().any(|part| part == "roundtrip"), "{ours:?}");
    }

    #[test]
    fn parts_that_only_the_other_revision_has_come_last() {
        let side = |parts: &[&str]| Side {
            name: String::new(),
            program: PathBuf::new(),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        };
        let sides = [side(&["gone", "a", "b"]), side(&["b", "new", "a"])];
        assert_eq!(in_order(&sides), ["b", "new", "a", "gone"]);
    }
}
