//! `cargo xtask bench`: the benchmarks, a package of their own, in release.

use std::ffi::OsString;
use std::process::{ExitCode, Stdio};

use crate::hand_over;
use crate::workspace::Workspace;

/// The package of the program that runs the given rows, or all of them.
const PACKAGE: &str = "pool-bench";

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
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
    command.arg(workspace.root().join("Cargo.toml")).args(["-p", PACKAGE, "--"]).args(args);
    hand_over(command)
}
