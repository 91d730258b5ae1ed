//! The names of the start methods.

use std::{fmt, str::FromStr};

/// How workers are started.
///
/// ```
/// # use pool_core as pool_api;
/// use pool_api::StartMethod;
/// assert_eq!("forkserver".parse(), Ok(StartMethod::default()));
/// assert_eq!(StartMethod::Threads.to_string(), "threads");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StartMethod {
    /// Workers are forked from a snapshot of this process, taken when the pool is built: they have
    /// all its memory, and nothing is copied. Needs a process with one thread.
    ///
    /// The snapshot has the state of every `LazyLock` and `OnceLock`. A pool that is built inside
    /// the initialiser of one is a snapshot of a process in which that initialiser is still
    /// running, so a task that uses the same static waits for it without end. Build the pool in
    /// `main` and put it into the static afterwards (`OnceLock::set`).
    ///
    /// A value that refers to something outside the process's memory means nothing, or something
    /// else, in the snapshot: the `JoinHandle` of a thread, also of one that has ended; a ring or
    /// queue that the kernel shares with a descriptor; memory of other libraries that is mapped
    /// `MAP_SHARED`. Tasks must not use such values.
    Fork,
    /// Workers are forked from a small fresh copy of this executable. Works beside threads; the
    /// default.
    #[default]
    ForkServer,
    /// Each worker is a fresh copy of this executable.
    Spawn,
    /// Workers are threads of this process: nothing is encoded, nothing is isolated.
    Threads,
}

impl StartMethod {
    /// All start methods.
    pub const ALL: [Self; 4] = [Self::Fork, Self::ForkServer, Self::Spawn, Self::Threads];

    /// ForkServer; if it was compiled out, the first of Spawn, Fork and Threads that was not.
    pub(crate) const fn first_compiled() -> Self {
        if cfg!(feature = "forkserver") {
            Self::ForkServer
        } else if cfg!(feature = "spawn") {
            Self::Spawn
        } else if cfg!(feature = "fork") {
            Self::Fork
        } else if cfg!(feature = "threads") {
            Self::Threads
        } else {
            Self::ForkServer
        }
    }
}

impl fmt::Display for StartMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fork => "fork",
            Self::ForkServer => "forkserver",
            Self::Spawn => "spawn",
            Self::Threads => "threads",
        })
    }
}

/// The text names no start method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseStartMethodError(String);

impl fmt::Display for ParseStartMethodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown start method: {:?} (there are fork, forkserver, spawn and threads)",
            self.0
        )
    }
}

impl std::error::Error for ParseStartMethodError {}

/// Reads the names that `Display` writes, in lower or upper case, and MPIRE's `threading`.
impl FromStr for StartMethod {
    type Err = ParseStartMethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "fork" => Ok(Self::Fork),
            "forkserver" => Ok(Self::ForkServer),
            "spawn" => Ok(Self::Spawn),
            "threads" | "threading" => Ok(Self::Threads),
            _ => Err(ParseStartMethodError(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for method in StartMethod::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        assert_eq!("threading".parse(), Ok(StartMethod::Threads));
        assert_eq!("ForkServer".parse(), Ok(StartMethod::ForkServer));
        assert!("Forks".parse::<StartMethod>().unwrap_err().to_string().contains("\"Forks\""));
    }
}
