//! Do the tests pass that each crate has of its own, and the examples in its documentation?

use crate::cells::conformance::passed;
use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::{CONFORMANCE, LAYERS, Layer, Workspace};

/// Unit tests, integration tests, binaries and examples of every crate, and of the gate itself.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, profile: Profile) {
    for layer in LAYERS {
        let ours = workspace.clone();
        matrix.add(format!("{} tests", layer.name), profile, move |steps| {
            let targets = ours.targets(layer.name, "tests")?;
            let mut args = vec!["test", "-p", layer.name, "--all-features"];
            args.extend(profile.flag());
            args.extend(["--lib", "--bins", "--examples"]);
            // The conformance suite has cells of its own.
            for target in targets.iter().filter(|target| *target != CONFORMANCE) {
                args.extend(["--test", target.as_str()]);
            }
            steps.run(ours.cargo(args.iter().chain(&["--no-run"])), BUILD)?;
            match passed(&steps.run(ours.cargo(&args), TESTS)?) {
                0 => Err(Stop::Failed(format!("{} has no tests of its own", layer.name))),
                _ => Ok(()),
            }
        });
    }
    if profile == Profile::Debug {
        let ours = workspace.clone();
        matrix.add("xtask tests", profile, move |steps| {
            steps.run(ours.cargo(["test", "-p", "xtask"]), BUILD).map(drop)
        });
    }
}

/// Unit tests only.
pub(crate) fn add_quick(matrix: &mut Matrix, workspace: &Workspace) {
    for layer in LAYERS {
        let workspace = workspace.clone();
        matrix.add(format!("{} tests", layer.name), Profile::Debug, move |steps| {
            let args = ["test", "-p", layer.name, "--all-features", "--lib"];
            steps.run(workspace.cargo(args.iter().chain(&["--no-run"])), BUILD)?;
            steps.run(workspace.cargo(args), TESTS).map(drop)
        });
    }
}

/// Doc tests; cargo has no way to only build them.
pub(crate) fn add_doc(matrix: &mut Matrix, workspace: &Workspace, layers: &[Layer]) {
    for &layer in layers {
        let workspace = workspace.clone();
        matrix.add(format!("{} doc tests", layer.name), Profile::Debug, move |steps| {
            let args = ["test", "-p", layer.name, "--all-features", "--doc"];
            steps.run(workspace.cargo(args), BUILD).map(drop)
        });
    }
}
