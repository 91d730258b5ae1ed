//! Do the examples of each crate run to their end?

use std::process::Command;

use crate::cells::{BUILD, EXAMPLE};
use crate::demo;
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::{LAYERS, Workspace};

/// One cell per crate, with all of its examples.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace) {
    for layer in LAYERS {
        let workspace = workspace.clone();
        matrix.add(format!("{} examples", layer.name), Profile::Debug, move |steps| {
            let examples = workspace.targets(layer.name, "examples")?;
            if examples.is_empty() {
                return Err(Stop::Failed(format!("{} has no example", layer.name)));
            }
            steps.run(workspace.cargo_for_all("build", ["--examples"]), BUILD)?;
            for example in examples {
                // `cargo run` takes one package, and would build it with other features.
                let path = workspace.target().join("debug/examples").join(&example);
                let mut run = Command::new(path);
                run.current_dir(workspace.root());
                if example == demo::EXAMPLE {
                    run.args(demo::small_input(&workspace));
                }
                steps.run(run, EXAMPLE)?;
            }
            Ok(())
        });
    }
}
