//! The subjects in Python: `bench/python/published.py` does the work, if the package is installed.

use std::{path::PathBuf, process::Command};

/// The packages that do the work in Python, in the order of the table.
pub(crate) const SUBJECTS: [&str; 4] = ["python", "mpire", "joblib", "loky"];

/// The interpreter: `PYTHON`, or `python3` on the path.
fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".into())
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/published.py")
}

/// The command of a subject, without its arguments. One worker has one thread: numpy is to start
/// none of its own.
pub(crate) fn command() -> Command {
    let mut command = Command::new(interpreter());
    command.arg(script());
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, "1");
    }
    command
}

/// Why a subject cannot run, if it cannot.
pub(crate) fn missing(subject: &str) -> Option<String> {
    let module = if subject == "python" { "numpy" } else { subject };
    let mut command = Command::new(interpreter());
    command.args(["-c", &format!("import numpy, {module}")]);
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some(format!("{} has no {module}, or no numpy", interpreter())),
        Err(error) => Some(format!("{}: {error}", interpreter())),
    }
}
