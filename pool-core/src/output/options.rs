//! What the user asks for, checked.
//!
//! Invariant: files are open before anything is started; what cannot be had is refused by name.

use std::{
    fmt, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{
    config::{OutputConfig, Target},
    event::{OutputEvent, Stream},
};
use crate::{
    error::Error,
    os::{self, Listed},
    start_method::StartMethod,
};

/// What becomes of the standard output or the standard error of worker processes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Output {
    /// It is that of the program.
    #[default]
    Inherit,
    /// What is written is dropped.
    Null,
    /// The parent reads it: the end of what a failed task has written is in its
    /// [error](crate::TaskError::output), and all of it goes to `on_output`, if that is set.
    Capture,
    /// It is captured, and each line becomes a record of the crate `log` in the parent: target
    /// `pool::stdout` or `pool::stderr`, level Info, and the text `worker 3: the line`.
    /// A line that is longer than 64 KiB becomes several.
    #[cfg(feature = "log")]
    Log,
    /// It is appended to this file, which is made if it is not there.
    File(PathBuf),
}

/// What becomes of the output of a pool's workers.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct OutputOptions {
    /// Standard output; `None`: `Capture` if `on_output` is set, else `Inherit`.
    pub stdout: Option<Output>,
    /// Standard error; likewise.
    pub stderr: Option<Output>,
    /// Bytes of each stream that are kept of an item, from 1 to 1 GiB; `None`: 64 KiB.
    pub max_bytes: Option<usize>,
    /// Gets what workers write.
    pub on_output: Option<OnOutput>,
}

/// A function that gets what workers write.
pub(crate) type OnOutput = Arc<dyn Fn(&OutputEvent) + Send + Sync>;

impl fmt::Debug for OutputOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputOptions")
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .field("max_bytes", &self.max_bytes)
            .field("on_output", &self.on_output.is_some())
            .finish()
    }
}

const DEFAULT_MAX_BYTES: usize = 64 << 10;
const LARGEST_MAX_BYTES: usize = 1 << 30;

/// What becomes of the streams of workers: checked, with the files open.
#[derive(Clone, Default)]
pub(crate) struct OutputPlan {
    pub(crate) config: OutputConfig,
    /// The files of those streams that lead to one.
    pub(crate) files: [Option<Arc<Listed>>; 2],
    /// Which of the captured streams become log records.
    pub(crate) logged: [bool; 2],
    pub(crate) max_bytes: usize,
    pub(crate) on_output: Option<OnOutput>,
}

impl fmt::Debug for OutputPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputPlan").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OutputOptions {
    /// Checks the options, and opens the files.
    pub(crate) fn plan(&self, method: StartMethod) -> Result<OutputPlan, Error> {
        let max_bytes = self.max_bytes.unwrap_or(DEFAULT_MAX_BYTES);
        if !(1..=LARGEST_MAX_BYTES).contains(&max_bytes) {
            return Err(Error::InvalidInput(format!(
                "max_output_bytes must be from 1 to {LARGEST_MAX_BYTES}, got {max_bytes}"
            )));
        }
        let usual = if self.on_output.is_some() { Output::Capture } else { Output::Inherit };
        let wanted = [&self.stdout, &self.stderr].map(|output| output.as_ref().unwrap_or(&usual));
        let mut plan =
            OutputPlan { max_bytes, on_output: self.on_output.clone(), ..OutputPlan::default() };
        for (output, stream) in wanted.into_iter().zip([Stream::Stdout, Stream::Stderr]) {
            let at = stream.index();
            plan.config.targets[at] = match output {
                Output::Inherit => Target::Inherited,
                _ if method == StartMethod::Threads => {
                    let what = match (stream, &self.on_output) {
                        (_, Some(_)) => "on_output: threads have the streams of the program",
                        (Stream::Stdout, _) => "stdout: threads have that of the program",
                        (Stream::Stderr, _) => "stderr: threads have that of the program",
                    };
                    return Err(Error::NotSupported { method, what });
                }
                Output::Capture => Target::Piped,
                #[cfg(feature = "log")]
                Output::Log => {
                    plan.logged[at] = true;
                    Target::Piped
                }
                Output::Null | Output::File(_) => {
                    let file = match output {
                        Output::File(path) => open_file(stream, path)?,
                        _ => null()
                            .map_err(|error| refused(stream, Path::new("/dev/null"), &error))?,
                    };
                    let file = Listed::new(file);
                    let file = file.map_err(|error| Error::resources("keeping a file", error))?;
                    plan.files[at] = Some(Arc::new(file));
                    Target::File
                }
            };
        }
        Ok(plan)
    }
}

fn refused(stream: Stream, path: &Path, why: &dyn fmt::Display) -> Error {
    Error::InvalidInput(format!("{stream}: {} cannot be appended to: {why}", path.display()))
}

fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::File::options().write(true).open("/dev/null")?.into())
}

/// Opens the file at `path` to append to it.
fn open_file(stream: Stream, path: &Path) -> Result<OwnedFd, Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::InvalidInput(format!("{stream}: the path of the file is empty")));
    }
    if path.as_os_str().as_bytes().contains(&0) {
        let text = format!("{stream}: the path of the file contains a NUL: {path:?}");
        return Err(Error::InvalidInput(text));
    }
    // A fifo without a reader is refused, and not waited for.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = std::fs::File::options().append(true).create(true).custom_flags(flags).open(path);
    let file = OwnedFd::from(opened.map_err(|error| refused(stream, path, &error))?);
    let blocking = fcntl(file.as_fd(), FcntlArg::F_GETFL).and_then(|flags| {
        let flags = OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK;
        fcntl(file.as_fd(), FcntlArg::F_SETFL(flags))
    });
    blocking.map_err(|error| refused(stream, path, &error))?;
    Ok(file)
}

impl OutputPlan {
    /// Whether any stream is captured.
    pub(crate) fn captures(&self) -> bool {
        self.config.captures()
    }

    /// Duplicates of the files, for a zygote or a process.
    pub(crate) fn duplicate_files(&self) -> io::Result<Vec<OwnedFd>> {
        let duplicate = |file: &Arc<Listed>| os::duplicate(file.intact()?);
        self.files.iter().flatten().map(duplicate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(options: OutputOptions) -> String {
        options.plan(StartMethod::ForkServer).expect_err("it is refused").to_string()
    }

    #[test]
    fn files_are_refused_by_name() {
        let file = |path: &str| OutputOptions {
            stdout: Some(Output::File(path.into())),
            ..OutputOptions::default()
        };
        assert_eq!(refusal(file("")), "stdout: the path of the file is empty");
        assert!(refusal(file("a\0b")).contains("contains a NUL"));
        assert!(refusal(file("/")).starts_with("stdout: / cannot be appended to: Is a directory"));
        let no_folder = refusal(file("/no such folder/x"));
        assert!(no_folder.contains("/no such folder/x cannot be appended to: No such file"));
    }

    #[test]
    fn a_bound_has_a_range() {
        let bound =
            |max_bytes| OutputOptions { max_bytes: Some(max_bytes), ..OutputOptions::default() };
        for wrong in [0, LARGEST_MAX_BYTES + 1, usize::MAX] {
            assert!(refusal(bound(wrong)).starts_with("max_output_bytes must be from 1 to"));
        }
        for right in [1, LARGEST_MAX_BYTES] {
            let plan = bound(right).plan(StartMethod::ForkServer).expect("a plan");
            assert!(!plan.captures() && plan.max_bytes == right);
        }
    }

    #[test]
    fn a_function_captures_what_is_not_set_otherwise() {
        let options = OutputOptions {
            stderr: Some(Output::Null),
            on_output: Some(Arc::new(|_| ())),
            ..OutputOptions::default()
        };
        let plan = options.plan(StartMethod::Spawn).expect("a plan");
        assert_eq!(plan.config.targets, [Target::Piped, Target::File]);
        let refused = options.plan(StartMethod::Threads).expect_err("threads");
        assert!(refused.to_string().contains("on_output: threads"), "{refused}");
    }
}
