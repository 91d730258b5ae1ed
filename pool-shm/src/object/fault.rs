//! Why a handle that came from another process is refused.

use std::{error, fmt, io};

use crate::Error;

/// Why a handle to a shared object could not be sent, or did not become an object again. Needs no
/// heap, so that it can be made where none is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "wire", derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize))]
#[non_exhaustive]
pub enum SegmentFault {
    /// The segment is gone: no process that had it lives any more, or its sender died before it
    /// could be fetched.
    Gone,
    /// A handle was encoded where nothing keeps its segment, such as into bytes for a file or a
    /// pipe. Send it as part of a message instead.
    NotCarried,
    /// The message names a segment that did not come with it.
    NotSent,
    /// The descriptor leads to no segment of shared objects: the file is too short, not sealed, or
    /// without the right beginning.
    NotASegment,
    /// The segment was made by another version of this crate.
    OtherVersion,
    /// The segment is another one than the handle was made for.
    OtherIdentity,
    /// The segment has no such object, or the object does not lie within it.
    NoSuchObject,
    /// The object is of another kind: no array, or no mutex.
    OtherKind,
    /// The object's elements are of another type.
    OtherElement,
    /// The range does not lie within the object, or a single value has another length than 1.
    OtherLength,
    /// The lock was made in another PID namespace, or in another time namespace: its holders are
    /// known by ids that mean something else here.
    ForeignNamespace,
    /// The object is sealed, and a handle of this kind would write to it.
    ReadOnly,
    /// The array is lent to tasks as slices, in place, until their call returns. An array of which
    /// handles were sent before cannot be lent so.
    Lent,
    /// The process that passes segments on (a pool's zygote) has not answered for seconds: it is
    /// stopped (SIGSTOP), or gets no time.
    NoAnswer,
    /// The process that passes segments on (a pool's zygote) has no descriptor left for the
    /// connection: raise the hard limit (`ulimit -Hn`) before the pool is built, or send fewer
    /// handles at once.
    NoDescriptors,
    /// The kernel refused to map the segment, or to hand out a descriptor; this is its error
    /// number.
    Os(i32),
}

impl From<Error> for SegmentFault {
    fn from(error: Error) -> Self {
        match error {
            Error::Os { source, .. } => Self::Os(source.raw_os_error().unwrap_or(libc::EIO)),
            Error::TooLong { .. } => Self::Os(libc::ENOMEM),
            _ => Self::NotASegment,
        }
    }
}

impl fmt::Display for SegmentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the shared segment of this handle is gone",
            Self::NotCarried => {
                "a handle to a shared object, or an end of a channel, goes to other processes by a pool or \
                 as the argument of one, not by a channel or stored as bytes"
            }
            Self::NotSent => "the message names a shared segment that did not come with it",
            Self::NotASegment => "the descriptor leads to no segment of shared objects",
            Self::OtherVersion => "the shared segment was made by another version of this crate",
            Self::OtherIdentity => "the shared segment is another one than the handle is for",
            Self::NoSuchObject => "the shared segment has no such object",
            Self::OtherKind => "the shared object is of another kind than the handle",
            Self::OtherElement => "the shared object has elements of another type than the handle",
            Self::OtherLength => "the handle's range does not lie within the shared object",
            Self::ForeignNamespace => "the lock belongs to another PID or time namespace",
            Self::ReadOnly => "the shared object is sealed and the handle would write to it",
            Self::Lent => "the shared array is lent to tasks as slices just now",
            Self::NoAnswer => {
                "the process that passes shared segments on does not answer: it is stopped, or gets no time"
            }
            Self::NoDescriptors => {
                "the process that passes shared segments on has no descriptor left: raise its hard limit (ulimit -Hn)"
            }
            Self::Os(errno) => {
                let reason = io::Error::from_raw_os_error(*errno);
                return write!(f, "the shared segment cannot be mapped: {reason}");
            }
        })
    }
}

impl error::Error for SegmentFault {}
