//! `cargo xtask demo`: the demo, an example of the facade, in release; with `--dashboard` while a
//! page in the browser shows what it does.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::hand_over;
use crate::workspace::{FACADE, LAYERS, Workspace};

/// The name of the example.
pub(crate) const EXAMPLE: &str = "demo";

/// Entry point of the sub-command. `--small` stands for a small input; all else goes to the demo.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let workspace = Workspace::current();
    let mut passed_on = Vec::new();
    for arg in args {
        if arg == "--small" {
            passed_on.extend(small_input(&workspace));
        } else {
            passed_on.push(arg.clone());
        }
    }
    hand_over(command(&workspace, passed_on))
}

/// The sources of this workspace: an input that is there wherever the demo can be built.
pub(crate) fn small_input(workspace: &Workspace) -> Vec<OsString> {
    LAYERS.iter().map(|layer| workspace.root().join(layer.name).into_os_string()).collect()
}

/// The command that builds and runs the demo, in the folder that the user is in.
pub(crate) fn command(workspace: &Workspace, args: Vec<OsString>) -> Command {
    let mut command = workspace.cargo_here(["run", "--release", "--manifest-path"]);
    command.arg(workspace.root().join("Cargo.toml"));
    command.args(["-p", FACADE.name, "--example", EXAMPLE]);
    if args.iter().any(|arg| arg == "--dashboard") {
        command.args(["--features", "dashboard"]);
    }
    command.arg("--").args(args);
    command
}
