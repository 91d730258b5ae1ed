//! `cargo xtask test`: the matrix that must pass before a change is accepted.

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

use crate::cells::alone::Look;
use crate::cells::{alone, conformance, examples, foreign, fresh, package, tests};
use crate::matrix::{Matrix, Profile, Selection};
use crate::misused;
use crate::scratch::Scratch;
use crate::workspace::{METHODS, Workspace};

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let (selection, is_quick) = match options(args) {
        Ok(options) => options,
        Err(complaint) => return misused(&complaint),
    };
    let workspace = Workspace::current();
    let mut matrix = Matrix::default();
    if is_quick {
        add_quick(&mut matrix, &workspace, &selection);
    } else if let Err(error) = add_all(&mut matrix, &workspace, Look::Plain) {
        eprintln!("xtask: no temporary folder: {error}");
        return ExitCode::FAILURE;
    }
    matrix.run(&selection)
}

/// The whole matrix, cells that share a build next to each other.
///
/// # Errors
///
/// There is no place for temporary sources.
pub(crate) fn add_all(
    matrix: &mut Matrix,
    workspace: &Workspace,
    look: Look,
) -> std::io::Result<()> {
    for profile in Profile::BOTH {
        tests::add(matrix, workspace, profile);
        conformance::add(matrix, workspace, profile, &METHODS);
    }
    tests::add_doc(matrix, workspace);
    examples::add(matrix, workspace);
    alone::add(matrix, workspace, look);
    let scratch = Rc::new(Scratch::new(workspace)?);
    fresh::add(matrix, workspace, &scratch);
    package::add(matrix, workspace, &scratch);
    foreign::add(matrix, workspace, &scratch);
    Ok(())
}

/// The start methods of `--quick` when none is asked for: the default one, and the one that is
/// least like it.
const QUICK_METHODS: [&str; 2] = ["forkserver", "threads"];

/// The cells that are worth waiting for between two edits.
fn add_quick(matrix: &mut Matrix, workspace: &Workspace, selection: &Selection) {
    let methods = if selection.methods.is_empty() { &QUICK_METHODS[..] } else { &METHODS };
    tests::add_unit(matrix, workspace, Profile::Debug);
    conformance::add(matrix, workspace, Profile::Debug, methods);
    tests::add_doc(matrix, workspace);
}

/// Reads the options of `test` and `ci`; the flag is `--quick`.
///
/// # Errors
///
/// The faults of the options, by name.
pub(crate) fn options(args: &[OsString]) -> Result<(Selection, bool), String> {
    let mut selection = Selection::default();
    let mut is_quick = false;
    let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg.clone(), None),
        };
        let mut value =
            || value.clone().or_else(|| args.next()).ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--quick" => is_quick = true,
            "--list" => selection.list = true,
            "--verbose" => selection.verbose = true,
            "--only" => selection.only.push(value()?),
            "--method" => {
                let method = match value()? {
                    alias if alias == "threading" => "threads".to_owned(),
                    method => method,
                };
                if !METHODS.contains(&method.as_str()) {
                    return Err(format!(
                        "--method must be one of {}, got {method}",
                        METHODS.join(", ")
                    ));
                }
                selection.methods.push(method);
            }
            _ => return Err(format!("there is no option `{arg}`")),
        }
    }
    Ok((selection, is_quick))
}

#[cfg(test)]
mod unit {
    use super::*;

    fn parse(args: &[&str]) -> Result<(Selection, bool), String> {
        options(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let (selection, is_quick) =
            parse(&["--quick", "--method", "spawn", "--method=threading", "--only", "x y"])
                .unwrap();
        assert!(is_quick);
        assert_eq!(selection.methods, ["spawn", "threads"]);
        assert_eq!(selection.only, ["x y"]);
        assert_eq!(parse(&[]).unwrap(), (Selection::default(), false));
    }

    #[test]
    fn wrong_options_are_named() {
        assert!(parse(&["--fast"]).unwrap_err().contains("--fast"));
        assert!(parse(&["--method", "magic"]).unwrap_err().contains("magic"));
        assert!(parse(&["--method"]).unwrap_err().contains("needs a value"));
    }
}
