//! `cargo xtask ci`: everything that must pass before a change is accepted, as one matrix.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::cells::alone::Look;
use crate::cells::conformance::passed;
use crate::cells::{BUILD, EXAMPLE, lints};
use crate::matrix::{Matrix, Profile, Stop};
use crate::workspace::Workspace;
use crate::{demo, loom, misused, test};

/// A run has printed its closing lines within this time.
const LIMIT: Duration = Duration::from_secs(50 * 60);
/// After this no cell goes on. What is left of the limit is for the build of this program, and what
/// `.ci/run` installs before.
const BUDGET: Duration = LIMIT.saturating_sub(Duration::from_secs(4 * 60));

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let mut selection = match test::options(args) {
        Ok((selection, false)) => selection,
        Ok((_, true)) => return misused("ci has no --quick"),
        Err(complaint) => return misused(&complaint),
    };
    selection.budget = Some(BUDGET);
    let workspace = Workspace::current();
    let mut matrix = Matrix::default();
    lints::add(&mut matrix, &workspace);
    let ours = workspace.clone();
    matrix.add("loom", Profile::Release, move |steps| {
        match passed(&steps.run(loom::command(&ours), BUILD)?) {
            0 => Err(Stop::Failed("no model was checked".to_owned())),
            _ => Ok(()),
        }
    });
    let ours = workspace.clone();
    matrix.add("demo", Profile::Release, move |steps| {
        // With the features of the tests, so that the crates are built once for both.
        steps.run(ours.cargo_for_all("build", ["--release", "--example", demo::EXAMPLE]), BUILD)?;
        let mut demo = Command::new(ours.target().join("release/examples").join(demo::EXAMPLE));
        demo.current_dir(ours.root()).args(demo::small_input(&ours));
        steps.run(demo, EXAMPLE).map(drop)
    });
    if let Err(error) = test::add_all(&mut matrix, &workspace, Look::Lints) {
        eprintln!("xtask: no temporary folder: {error}");
        return ExitCode::FAILURE;
    }
    matrix.run(&selection)
}
