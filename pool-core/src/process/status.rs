//! How a process of one function is, or ended.

use std::fmt;

use crate::{
    child::{End, PANICKED},
    error::{Cause, Error, ExitStatus, FailureKind, LateOutput, ProcessError, full_text},
};

/// How a [`Process`](crate::Process) is, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessStatus {
    /// It has not ended.
    Running,
    /// Its function has returned.
    Value,
    /// Its function panicked.
    Panic {
        /// The panic's message.
        message: String,
        /// `file:line:column`, when a hook could learn it.
        location: Option<String>,
    },
    /// It exited with this code, by `std::process::exit` for example, before its function returned.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It could not begin, or what it returned could not cross; the text says why, and `join` has
    /// it as an error.
    Failed(String),
    /// It has ended, and it is not known how: other code of the program has reaped it (by
    /// `waitpid(-1)`, or since SIGCHLD is ignored), the server that has forked it was killed, or
    /// the handle belongs to the process that this one was forked from.
    Unknown,
}

impl ProcessStatus {
    /// The number that Python's `exitcode` has: 0 after a value, the code of an exit, minus the
    /// number of a signal, and that of a Rust program that panics, 101. `None` while it runs, and
    /// where it is not known.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Running | Self::Unknown => None,
            Self::Value => Some(0),
            Self::Panic { .. } => Some(PANICKED),
            Self::Code(code) => Some(*code),
            Self::Signal(signal) => Some(-signal),
            Self::Failed(_) => Some(1),
        }
    }
}

impl fmt::Display for ProcessStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("is running"),
            Self::Value => f.write_str("has returned"),
            Self::Panic { message, location: None } => write!(f, "panicked: {message}"),
            Self::Panic { message, location: Some(location) } => {
                write!(f, "panicked: {message} at {location}")
            }
            Self::Code(code) => ExitStatus::Code(*code).fmt(f),
            Self::Signal(signal) => ExitStatus::Signal(*signal).fmt(f),
            Self::Failed(text) => write!(f, "failed: {text}"),
            Self::Unknown => ExitStatus::Unknown.fmt(f),
        }
    }
}

impl From<&FailureKind> for ProcessStatus {
    fn from(kind: &FailureKind) -> Self {
        match kind {
            FailureKind::Panic { message, location, .. } => {
                Self::Panic { message: message.clone(), location: location.clone() }
            }
            kind => Self::Failed(Cause::from(kind.clone()).to_string()),
        }
    }
}

impl From<&End> for ProcessStatus {
    fn from(end: &End) -> Self {
        match end {
            End::Value => Self::Value,
            End::Failed(kind) => kind.into(),
            End::Unable(error) => Self::Failed(full_text(error)),
            End::Death(ExitStatus::Code(code)) => Self::Code(*code),
            End::Death(ExitStatus::Signal(signal)) => Self::Signal(*signal),
            End::Death(ExitStatus::Unknown) => Self::Unknown,
        }
    }
}

/// The end of the process as its error.
pub(super) fn error_of(name: &str, pid: u32, end: End, output: LateOutput) -> Error {
    let cause = match end {
        // The value is gone.
        End::Value => return Error::ResultTaken,
        End::Unable(error) => return error,
        End::Failed(kind) => kind.into(),
        End::Death(status) => Cause::Death(status),
    };
    ProcessError::new(name, Some(pid), cause).with_output(output).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_python() {
        let panic = ProcessStatus::Panic { message: "no".into(), location: None };
        for (status, code) in [
            (ProcessStatus::Running, None),
            (ProcessStatus::Value, Some(0)),
            (panic, Some(101)),
            (ProcessStatus::Code(3), Some(3)),
            (ProcessStatus::Signal(15), Some(-15)),
            (ProcessStatus::Unknown, None),
        ] {
            assert_eq!(status.exit_code(), code, "{status}");
        }
    }
}
