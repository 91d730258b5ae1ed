//! How a process of one function ended, if not with a value.

use std::fmt;

use super::{
    output::{LateOutput, TaskOutput},
    task::Cause,
};

/// A process that runs one function ended without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    name: String,
    pid: Option<u32>,
    cause: Cause,
    output: LateOutput,
}

impl ProcessError {
    pub(crate) fn new(name: &str, pid: Option<u32>, cause: Cause) -> Self {
        let output = LateOutput::none();
        Self(Box::new(Parts { name: name.to_string(), pid, cause, output }))
    }

    /// The error of a process whose output was captured.
    pub(crate) fn with_output(mut self, output: LateOutput) -> Self {
        self.0.output = output;
        self
    }

    /// The name of the process.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its process id; `None` under Threads.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// How it ended: [`Cause::Panic`], or [`Cause::Death`] with the exit code or the signal; any
    /// other cause says why its argument or its result could not cross.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// What it had written last: the end of each captured stream. `None` where neither was
    /// captured.
    #[must_use]
    pub fn output(&self) -> Option<&TaskOutput> {
        self.0.output.get()
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { name, pid, cause, .. } = &*self.0;
        match pid {
            Some(pid) => write!(f, "process {name:?} ({pid})")?,
            None => write!(f, "thread {name:?}")?,
        }
        match cause {
            Cause::Death(status) => write!(f, " {status}"),
            Cause::Panic { .. } => write!(f, " {cause}"),
            cause => write!(f, ": {cause}"),
        }?;
        match f.alternate().then(|| self.output()).flatten() {
            Some(output) => output.fmt_last_lines(f),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProcessError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExitStatus;

    #[test]
    fn the_text_names_the_process_and_its_end() {
        let text = |pid, cause| ProcessError::new("one", pid, cause).to_string();
        let killed = text(Some(7), Cause::Death(ExitStatus::Signal(9)));
        assert_eq!(killed, "process \"one\" (7) was killed by SIGKILL (signal 9)");
        let panic = Cause::Panic { message: "no".into(), location: None, backtrace: None };
        assert_eq!(text(None, panic), "thread \"one\" panicked: no");
        assert!(text(Some(7), Cause::BadResult).starts_with("process \"one\" (7): the result"));
    }
}
