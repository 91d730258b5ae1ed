//! Does each crate build without its neighbours, in every feature set that users may choose?

use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile};
use crate::workspace::{LAYERS, Workspace};

/// How closely a feature set is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It compiles.
    Plain,
    /// It compiles without a warning of the compiler or of clippy.
    Lints,
}

/// One cell per crate and feature set.
///
/// The default set and none at all are built; sets of a single feature are only checked, since the
/// code that would be generated is that of the default set, or less of it. Clippy is such a check.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, look: Look) {
    for layer in LAYERS {
        for set in layer.feature_sets() {
            let workspace = workspace.clone();
            let row = format!("{} alone, {}", layer.name, set.label);
            matrix.add_for(set.method, row, Profile::Debug, move |steps| {
                let cargo = |verb| {
                    let mut command = workspace.cargo([verb, "-p", layer.name]);
                    command.args(&set.flags);
                    command
                };
                if set.method.is_none() {
                    steps.run(cargo("build"), BUILD)?;
                } else if look == Look::Plain {
                    steps.run(cargo("check"), BUILD)?;
                }
                if look == Look::Lints {
                    let mut clippy = cargo("clippy");
                    clippy.args(["--", "-D", "warnings"]);
                    steps.run(clippy, BUILD)?;
                }
                Ok(())
            });
        }
    }

    // Tests whose subject is what a build without the default features refuses.
    let workspace = workspace.clone();
    matrix.add("pool-core without takeover", Profile::Debug, move |steps| {
        let args = ["test", "-p", "pool-core", "--no-default-features", "--features"];
        let target = ["forkserver,spawn", "--test", "without_takeover"];
        steps.run(workspace.cargo(args.into_iter().chain(target)), TESTS).map(drop)
    });
}
