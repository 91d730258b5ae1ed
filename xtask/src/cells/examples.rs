//! Do the examples of each crate run to their end?

use std::ffi::OsString;

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
            let build = ["build", "-p", layer.name, "--all-features", "--examples"];
            steps.run(workspace.cargo(build), BUILD)?;
            for example in examples {
                let run = ["run", "-p", layer.name, "--all-features", "--example"];
                let mut args: Vec<OsString> = run.map(OsString::from).to_vec();
                args.push(OsString::from(&example));
                if example == demo::EXAMPLE {
                    args.push("--".into());
                    args.extend(demo::small_input(&workspace));
                }
                steps.run(workspace.cargo(args), EXAMPLE)?;
            }
            Ok(())
        });
    }
}
