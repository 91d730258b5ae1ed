//! The error type of the crate.
//!
//! Invariant: a variant says what the caller can do; the kernel's error is its `source()`, and not
//! in its text.

use std::{error, fmt, io};

/// Why a segment, a mapping or a fork mark was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A segment of zero bytes was asked for or handed in. Ask for at least one byte.
    Empty,
    /// The length exceeds what this process may create. Ask for less, or raise the limit (`ulimit
    /// -f`).
    TooLong {
        /// Bytes asked for.
        len: u64,
        /// Bytes allowed: the file size limit of the process, or the largest file there can be.
        limit: u64,
    },
    /// The descriptor is not a memfd sealed against shrinking, so its other holders could make
    /// reads of it fault.
    NotSealed,
    /// The descriptor leads to a segment of shared objects, whose pages may not be taken away. Open
    /// it by `SharedSegment::open`.
    HoldsObjects,
    /// The segment cannot be sealed because a process still maps it writable. Unmap first.
    StillWritable,
    /// Fewer of something were asked for than there must be.
    TooFew {
        /// The things asked for, by name.
        what: &'static str,
        /// The smallest number allowed.
        least: usize,
    },
    /// The range does not lie inside the segment or mapping.
    OutOfRange {
        /// First byte of the range.
        offset: u64,
        /// Bytes in the range.
        len: u64,
        /// Bytes in the segment or mapping.
        size: u64,
    },
    /// The mapping is read-only, and the request would change it.
    ReadOnly,
    /// The name is not a valid one.
    InvalidName {
        /// The rejected name.
        name: String,
        /// The reason.
        reason: &'static str,
    },
    /// A named segment of this name exists, maybe left behind by a program that was killed.
    /// Open it, choose another name, or begin afresh by `NamedSegment::create_or_replace`.
    Exists {
        /// The name in question.
        name: String,
    },
    /// There is no named segment of this name (yet).
    NotFound {
        /// The name in question.
        name: String,
    },
    /// The named segment is there but its maker has not finished it. Try again; if the maker was
    /// killed meanwhile, `NamedSegment::create_or_replace` begins afresh.
    NotReady {
        /// The name in question.
        name: String,
    },
    /// The file of this name belongs to another user, or other users may open it. Choose another
    /// name.
    WrongUser {
        /// The name in question.
        name: String,
    },
    /// The file of this name is no segment of this crate. Choose another name.
    NotASegment {
        /// The name in question.
        name: String,
        /// The reason.
        reason: &'static str,
    },
    /// The program locks what it maps (`mlockall` with `MCL_FUTURE`), and may not lock so much
    /// more. Raise `RLIMIT_MEMLOCK` (`ulimit -l`), map less, or call `mlockall` with `MCL_CURRENT`
    /// only, before.
    MemoryLocked {
        /// Bytes that were to be mapped.
        len: u64,
        /// Bytes that the process may lock in all.
        limit: u64,
    },
    /// The kernel refused.
    Os {
        /// The operation that failed.
        doing: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}

impl Error {
    /// Makes an [`Error::Os`] from anything that carries an errno.
    pub(crate) fn os(doing: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Os { doing, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a segment must have at least one byte"),
            Self::TooLong { len, limit } => {
                write!(
                    f,
                    "a segment of {len} bytes is more than the {limit} bytes this process may create"
                )
            }
            Self::NotSealed => {
                f.write_str("the descriptor is not a memfd sealed against shrinking")
            }
            Self::HoldsObjects => f.write_str(
                "the descriptor leads to a segment of shared objects: open it by SharedSegment::open",
            ),
            Self::StillWritable => {
                f.write_str("the segment cannot be sealed while it is mapped writable")
            }
            Self::TooFew { what, least } => {
                write!(f, "too few {what}: there must be at least {least}")
            }
            Self::OutOfRange { offset, len, size } => {
                write!(f, "{len} bytes from {offset} on do not lie inside {size} bytes")
            }
            Self::ReadOnly => f.write_str("the mapping is read-only"),
            Self::InvalidName { name, reason } => {
                write!(f, "{name:?} cannot name a segment: {reason}")
            }
            Self::Exists { name } => write!(f, "a segment named {name:?} exists already"),
            Self::NotFound { name } => write!(f, "there is no segment named {name:?}"),
            Self::NotReady { name } => {
                write!(
                    f,
                    "the segment named {name:?} is not finished: its maker is at it, or was killed"
                )
            }
            Self::WrongUser { name } => write!(
                f,
                "what is named {name:?} belongs to another user, or other users may open it"
            ),
            Self::NotASegment { name, reason } => {
                write!(f, "what is named {name:?} is no segment: {reason}")
            }
            Self::MemoryLocked { len, limit } => write!(
                f,
                "{len} bytes cannot be mapped, since the program locks what it maps (mlockall with MCL_FUTURE) and may lock \
                 {limit} bytes in all: raise RLIMIT_MEMLOCK (ulimit -l), or ask for less"
            ),
            Self::Os { doing, .. } => write!(f, "{doing} failed"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Os { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_kernel_s_reason_is_the_source_and_not_in_the_text() {
        let error = Error::os("mapping a segment", nix::errno::Errno::ENOMEM);
        assert_eq!(error.to_string(), "mapping a segment failed");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ENOMEM));
    }

    #[test]
    fn errors_travel_between_threads() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<Error>();
    }
}
