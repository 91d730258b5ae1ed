//! `cargo xtask bench` and `cargo xtask rivals`: the benchmarks, packages of their own, in release.

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};

use crate::workspace::Workspace;
use crate::{compare, hand_over};

/// The package of the program that runs the given rows, or all of them.
const PACKAGE: &str = "pool-bench";

/// The program of that package for the benchmarks that MPIRE has published: the first argument.
const PUBLISHED: &str = "published";

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    if args.iter().any(|arg| arg == compare::FLAG) {
        return compare::main(args);
    }
    let workspace = Workspace::current();
    let mut lookup = workspace.cargo(["pkgid", "-p", PACKAGE]);
    lookup.stdout(Stdio::null()).stderr(Stdio::null());
    if !lookup.status().is_ok_and(|status| status.success()) {
        eprintln!(
            "xtask: this workspace has no package `{PACKAGE}`, so there is nothing to measure"
        );
        return ExitCode::FAILURE;
    }
    let mut command = workspace.cargo_here(["run", "--release", "--manifest-path"]);
    command.arg(workspace.root().join("Cargo.toml")).args(["-p", PACKAGE]);
    let args = match args {
        [first, rest @ ..] if first == PUBLISHED => {
            command.args(["--bin", PUBLISHED]);
            rest
        }
        args => args,
    };
    command.arg("--").args(args);
    hand_over(command)
}

/// The package that compares channels with other libraries. It is a workspace of its own, so that
/// nothing else builds these libraries, or has them in its lock file.
pub(crate) const RIVALS: &str = "bench/rivals/Cargo.toml";

/// Entry point of the sub-command `rivals`.
pub(crate) fn rivals(args: &[OsString]) -> ExitCode {
    let workspace = Workspace::current();
    let mut command = workspace.cargo_here(["run", "--release", "--locked", "--manifest-path"]);
    command.arg(workspace.root().join(RIVALS)).arg("--").args(args);
    command.env("CARGO_TARGET_DIR", workspace.target());
    hand_over(command)
}
