//! Format, floors, documents, lints and documentation, with every warning as an error. The lints of
//! single feature sets are in `alone.rs`.
//!
//! Warnings become errors behind `--` and through `RUSTDOCFLAGS`: `RUSTFLAGS` would build
//! everything once more.

use std::process::Command;

use crate::cells::BUILD;
use crate::matrix::{Matrix, Profile, Steps, Stop, Verdict};
use crate::workspace::Workspace;
use crate::{bench, documents, floors};

/// The cells that come before any test.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace) {
    let ours = workspace.clone();
    matrix.add("format", Profile::Debug, move |steps| {
        require(steps, ours.cargo(["fmt", "--version"]), "rustfmt")?;
        steps.run(ours.cargo(["fmt", "--all", "--check"]), BUILD)?;
        // Its dependencies are not needed for that.
        let args = ["fmt", "--manifest-path", bench::RIVALS, "--check"];
        steps.run(ours.cargo(args), BUILD).map(drop)
    });
    let ours = workspace.clone();
    matrix.add("floors", Profile::Debug, move |_| {
        println!("{}", floors::check(&ours).map_err(Stop::Failed)?);
        Ok(())
    });
    let ours = workspace.clone();
    matrix.add("documents", Profile::Debug, move |_| {
        println!("{}", documents::check(&ours).map_err(Stop::Failed)?);
        Ok(())
    });
    let ours = workspace.clone();
    matrix.add("clippy", Profile::Debug, move |steps| {
        require(steps, ours.cargo(["clippy", "--version"]), "clippy")?;
        let args =
            ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        steps.run(ours.cargo(args), BUILD).map(drop)
    });
    let ours = workspace.clone();
    matrix.add("docs", Profile::Debug, move |steps| {
        let mut command = ours.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        steps.run(command, BUILD).map(drop)
    });
}

/// Tells the user how to get a component that is not installed.
fn require(steps: &Steps, version: Command, component: &str) -> Verdict {
    match steps.run(version, BUILD) {
        Ok(_) => Ok(()),
        Err(_) => Err(Stop::Failed(format!(
            "{component} is missing: `rustup component add {component}` installs it"
        ))),
    }
}
