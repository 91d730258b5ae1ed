//! Does each crate compile without its neighbours, in every feature set that users may choose?

use crate::cells::{BUILD, TESTS};
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::{LAYERS, Workspace};

/// How closely a feature set is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It compiles.
    Plain,
    /// It compiles without a warning of the compiler or of clippy.
    Lints,
}

/// One cell per crate and feature set.
///
/// They are checked, and not built: the code that would be generated is that of the default set,
/// which a fresh program builds (`fresh.rs`), or less of it. Clippy is such a check.
pub(crate) fn add(matrix: &mut Matrix, workspace: &Workspace, look: Look) {
    for layer in LAYERS {
        for set in layer.feature_sets() {
            let workspace = workspace.clone();
            let row = format!("{} alone, {}", layer.name, set.label);
            matrix.add_for(set.method, row, Profile::Debug, move |steps| {
                let (verb, lints): (_, &[_]) = match look {
                    Look::Plain => ("check", &[]),
                    Look::Lints => ("clippy", &["--", "-D", "warnings"]),
                };
                let mut command = workspace.cargo([verb, "-p", layer.name]);
                command.args(&set.flags).args(lints);
                steps.run(command, BUILD).map(drop)
            });
        }
    }

    // Tests of the refusals of a build without the default features.
    let workspace = workspace.clone();
    matrix.add("pool-core without takeover", Profile::Debug, move |steps| {
        let test = |features, targets: &[&str]| {
            let args = ["test", "-p", "pool-core", "--no-default-features", "--features", features];
            let mut command = workspace.cargo(args);
            command.args(targets.iter().flat_map(|target| ["--test", target]));
            steps.run(command, TESTS)
        };
        let output = test("forkserver,spawn", &["without_takeover", "refusals"])?;
        // With default start method, and without.
        let refusals = [output.clone(), test("spawn", &["refusals"])?];
        let is_said = |output: &String, line| output.lines().any(|l| l.starts_with(line));
        if !is_said(&output, "test without_takeover ... ok")
            || !refusals.iter().all(|o| is_said(o, "test methods_that_were_compiled_out ... ok"))
        {
            return Err(Stop::Failed(format!("it did not try what it is for:\n{output}")));
        }
        Ok(())
    });
}
