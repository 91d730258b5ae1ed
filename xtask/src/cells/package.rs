//! Can every crate be packaged, and do the packages build from what they contain?

use crate::cells::BUILD;
use crate::matrix::{Matrix, Profile};
use crate::workspace::Workspace;

/// One cell for the whole workspace; the packages depend on each other.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace) {
    let workspace = workspace.clone();
    matrix.add("packages", Profile::Debug, move |steps| {
        let args = ["package", "--workspace", "--allow-dirty"];
        steps.run(workspace.cargo(args), BUILD).map(drop)
    });
}
