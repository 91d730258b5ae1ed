//! Do the tests pass that each crate has of its own, and the examples in its documentation?

use std::io;

use crate::cells::conformance::passed;
use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::{CONFORMANCE, LAYERS, Layer, Workspace};

/// One cell that builds the test programs of all crates side by side, and one per crate for its
/// integration tests, behind that of all unit tests.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, profile: Profile) {
    let ours = workspace.clone();
    matrix.add("test programs are built", profile, move |steps| {
        let args = profile.test_flags().iter().copied().chain(["--tests", "--no-run"]);
        steps.run(ours.cargo_for_all("test", args), BUILD).map(drop)
    });
    add_unit(matrix, workspace, profile);
    for layer in LAYERS {
        let ours = workspace.clone();
        matrix.add(format!("{} tests", layer.name), profile, move |steps| {
            let flags = profile.test_flags().iter();
            let mut args: Vec<_> = flags.map(|flag| (*flag).to_owned()).collect();
            for target in own_targets(&ours, layer)? {
                args.extend(["--test".to_owned(), target]);
            }
            match passed(&steps.run(ours.cargo_for_all("test", args), TESTS)?) {
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

/// Unit tests of every crate.
pub(crate) fn add_unit(matrix: &mut Matrix, workspace: &Workspace, profile: Profile) {
    let ours = workspace.clone();
    matrix.add("unit tests", profile, move |steps| {
        let args = profile.test_flags().iter().copied().chain(["--lib", "--bins"]);
        steps.run(ours.cargo_for_all("test", args.clone().chain(["--no-run"])), BUILD)?;
        steps.run(ours.cargo_for_all("test", args), TESTS).map(drop)
    });
}

/// Doc tests; cargo has no way to only build them.
pub(crate) fn add_doc(matrix: &mut Matrix, workspace: &Workspace) {
    let workspace = workspace.clone();
    matrix.add("doc tests", Profile::Debug, move |steps| {
        steps.run(workspace.cargo_for_all("test", ["--doc"]), BUILD).map(drop)
    });
}

/// The integration tests of a crate, but for the conformance suite, which has cells of its own.
///
/// A cell chooses them by name among the tests of all crates: no two may have the same name.
fn own_targets(workspace: &Workspace, layer: Layer) -> io::Result<Vec<String>> {
    let mut targets = workspace.targets(layer.name, "tests")?;
    targets.retain(|target| target != CONFORMANCE);
    Ok(targets)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn no_two_tests_share_a_name() {
        let workspace = Workspace::current();
        let mut names: Vec<String> =
            LAYERS.iter().flat_map(|layer| own_targets(&workspace, *layer).unwrap()).collect();
        names.sort();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "a cell would run both");
        assert!(names.len() > 20, "{names:?}");
    }
}
