//! `cargo xtask loom`: the model checks of the task board and of channels.
//!
//! Built below a target folder of its own, since the flag concerns every crate.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::workspace::Workspace;
use crate::{hand_over, misused};

/// Entry point of the sub-command.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    if !args.is_empty() {
        return misused("loom takes no arguments");
    }
    hand_over(command(&Workspace::current()))
}

/// The command that checks the models.
pub(crate) fn command(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo(["test", "-p", "pool-ipc", "--release", "--test", "loom"]);
    let mut flags = env::var_os("RUSTFLAGS").unwrap_or_default();
    flags.push(" --cfg loom");
    // Cargo would take this variable in place of `RUSTFLAGS`.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", workspace.target().join("loom"));
    if env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        command.env("LOOM_MAX_PREEMPTIONS", "3");
    }
    command
}
