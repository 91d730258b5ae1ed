//! The one error type of the crate.
//!
//! Every variant names the id, set or file at fault, so that a caller can say what to change.

use std::{fmt, io, path::PathBuf};

use crate::CpuSet;

/// Why a CPU set, a plan or an act of pinning was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A [`CpuSet`] holds ids below [`CpuSet::CAPACITY`] only; this one is larger.
    CpuIdTooLarge {
        /// The id.
        id: usize,
    },
    /// The machine has no CPU of this id: the highest one is `max`.
    CpuIdExceedsMaximum {
        /// The id that was asked for.
        id: usize,
        /// The highest id that exists.
        max: usize,
    },
    /// The id lies in the machine's range, but no CPU of that id is switched on.
    CpuOffline {
        /// The id that was asked for.
        id: usize,
    },
    /// The CPU works, but an affinity mask or a cgroup's cpuset keeps this program away from it.
    CpuNotAllowed {
        /// The id that was asked for.
        id: usize,
        /// The CPUs that may be used.
        allowed: Box<CpuSet>,
    },
    /// CPU ids count from 0; this id, read from a text, is negative. (Elsewhere ids are unsigned.)
    NegativeCpuId {
        /// The id as it was written.
        text: String,
    },
    /// A list of CPU ids must have one entry (for all workers) or one entry per worker.
    CountMismatch {
        /// Entries in the list.
        ids: usize,
        /// Workers to place.
        workers: usize,
    },
    /// The list of CPU ids is empty; to leave workers unpinned, use
    /// [`CpuIds::none`](crate::CpuIds::none).
    NoCpuIds,
    /// One of several CPU sets is empty: nothing could run on it.
    EmptyCpuSet {
        /// Which one, counted from 0.
        index: usize,
    },
    /// A thread cannot be pinned to no CPU at all.
    PinToNothing,
    /// Two cores of a topology claim the same CPU.
    CpuInTwoCores {
        /// The CPU.
        id: usize,
    },
    /// The plan wants more physical cores than the topology has.
    TooFewCores {
        /// Workers to place.
        workers: usize,
        /// Cores to place them on.
        cores: usize,
    },
    /// The text is no list of CPU ids such as `0-3,8`.
    BadCpuList {
        /// The text.
        text: String,
    },
    /// A file that describes the machine cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The kernel does not tell the mask of this thread. On machines with more than
    /// [`CpuSet::CAPACITY`] CPUs this is `EINVAL`: run unpinned there.
    ReadMask {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The kernel reports success, but runs the thread on other CPUs than those asked for: a cpuset
    /// forbids some of them, or a sandbox ignores the request. The thread stays on `actual`.
    PinDiffers {
        /// The CPUs that were asked for.
        cpus: Box<CpuSet>,
        /// The CPUs that the thread has now.
        actual: Box<CpuSet>,
    },
    /// The kernel refuses to pin this thread to these CPUs: none of them is online and allowed, or
    /// a sandbox forbids the call.
    Pin {
        /// The CPUs that were asked for.
        cpus: Box<CpuSet>,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CpuIdTooLarge { id } => {
                write!(f, "CPU ID {id} cannot be used: CPU IDs must be below {}", CpuSet::CAPACITY)
            }
            Self::CpuIdExceedsMaximum { id, max } => {
                write!(f, "CPU ID {id} exceeds the maximum CPU ID available on your system: {max}")
            }
            Self::CpuOffline { id } => write!(f, "CPU ID {id} is not online"),
            Self::CpuNotAllowed { id, allowed } => {
                write!(f, "CPU ID {id} is not among the CPUs that may be used here: {allowed}")
            }
            Self::NegativeCpuId { text } => write!(f, "CPU IDs cannot be negative: {text}"),
            Self::CountMismatch { ids, workers } => {
                write!(f, "Number of CPU IDs ({ids}) does not match number of jobs ({workers})")
            }
            Self::NoCpuIds => {
                write!(f, "The list of CPU IDs is empty; leave it out to run unpinned")
            }
            Self::EmptyCpuSet { index } => {
                write!(f, "The set of CPU IDs at index {index} is empty")
            }
            Self::PinToNothing => write!(f, "Cannot pin a thread to an empty CPU set"),
            Self::CpuInTwoCores { id } => write!(f, "CPU ID {id} belongs to two cores"),
            Self::TooFewCores { workers, cores } => {
                write!(
                    f,
                    "Cannot give {workers} workers a physical core each: {cores} available; \
                     use fewer workers, or Spread"
                )
            }
            Self::BadCpuList { text } => {
                write!(f, "{text:?} is no list of CPU IDs (expected something like \"0-3,8\")")
            }
            Self::Read { path, .. } => write!(f, "Cannot read {}", path.display()),
            Self::ReadMask { .. } => write!(f, "Cannot read the CPU mask of this thread"),
            Self::PinDiffers { cpus, actual } => {
                write!(f, "Asked to pin this thread to CPUs {cpus}, the kernel took {actual}")
            }
            Self::Pin { cpus, .. } => write!(f, "Cannot pin this thread to CPUs {cpus}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::ReadMask { source } | Self::Pin { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn crosses_threads() {
        fn check<E: std::error::Error + Send + Sync + 'static>() {}
        check::<Error>();
    }

    #[test]
    fn the_os_error_is_the_source() {
        let error = Error::ReadMask { source: io::Error::from_raw_os_error(22) };
        let source = error.source().expect("ReadMask carries the OS error");
        assert!(source.to_string().contains("os error 22"));
        assert!(!error.to_string().contains("os error 22"));
        assert!(Error::NoCpuIds.source().is_none());
    }
}
