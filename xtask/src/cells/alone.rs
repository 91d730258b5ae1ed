//! Does each crate build without its neighbours, in every feature set that users may choose?

use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile};
use crate::workspace::{LAYERS, Workspace};

/// One cell per crate and feature set.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace) {
    for layer in LAYERS {
        for set in layer.feature_sets() {
            let workspace = workspace.clone();
            let row = format!("{} alone, {}", layer.name, set.label);
            matrix.add_for(set.method, row, Profile::Debug, move |steps| {
                let args = ["build", "-p", layer.name].into_iter().chain(set.flags);
                steps.run(workspace.cargo(args), BUILD).map(drop)
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
