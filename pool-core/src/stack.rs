//! How large stacks are: those of workers, and of the threads that a pool starts in its user's
//! process.
//!
//! Invariant: if the user sets no size, a stack is as large as that of a program's first thread,
//! under every start method. Users: `worker/task_stack.rs` for processes, `threads/start.rs` for
//! threads.
//!
//! * `stack/ample.rs`: provides stack for calls that need more than their caller's stack has.
//! * `stack/mapped.rs`: maps stacks.
//! * `stack/switch.rs`: runs a function on another stack.

mod ample;
mod mapped;
mod switch;

pub use ample::{is_large, with_room};
pub(crate) use ample::{move_with_room, runs_on, switched};
pub(crate) use mapped::{MappedStack, StackRange};

use std::{io, sync::Arc};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::error::Error;

/// The smallest stack that may be set: the pool's own frames and those of a panic with its
/// backtrace need a part of it.
const SMALLEST: usize = 256 << 10;
/// The largest one: the address space is reserved, and touched pages take memory.
const LARGEST: usize = 64 << 30;
/// The size where there is no limit.
const UNLIMITED: usize = 8 << 20;
/// The range of sizes that the user has not set: std gives its threads the smallest one.
const USUAL: std::ops::RangeInclusive<usize> = 2 << 20..=1 << 30;

/// Bytes of a stack: the size that is set, or the soft value of `RLIMIT_STACK`.
pub(crate) fn size(wish: Option<usize>) -> usize {
    wish.unwrap_or_else(|| default_size(soft_limit()))
}

/// Bytes of the stack of a thread that runs callbacks and decodes results, which may need as much
/// as the workers' stacks allow.
pub(crate) fn size_beside(workers: Option<usize>) -> usize {
    size(None).max(workers.unwrap_or(0))
}

/// The soft value of `RLIMIT_STACK`; `None`: there is no limit, or it cannot be read.
pub(crate) fn soft_limit() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_STACK).ok()?;
    (soft != RLIM_INFINITY).then_some(soft)
}

fn default_size(limit: Option<u64>) -> usize {
    let bytes = limit.map_or(UNLIMITED, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    bytes.clamp(*USUAL.start(), *USUAL.end())
}

/// The error where the system grants no thread with a stack of `bytes` bytes, which `what` says was
/// tried: the system reports too many threads and too little room for the stack alike (`EAGAIN`).
pub(crate) fn refusal(what: &'static str, error: io::Error, bytes: usize) -> Error {
    let reason = format!(
        "too many threads (ulimit -u), or no room for a stack of {} KiB (stack_size, ulimit -s), \
         of which there may be too little (ulimit -v), or which may not be locked (ulimit -l) in a \
         program that has called mlockall with MCL_FUTURE",
        bytes >> 10
    );
    Error::Resources { what, reason: Some(reason), source: Some(Arc::new(error)) }
}

/// Refuses a size that is out of range.
pub(crate) fn check(wish: Option<usize>) -> Result<(), Error> {
    match wish {
        Some(bytes) if !(SMALLEST..=LARGEST).contains(&bytes) => Err(Error::InvalidInput(format!(
            "stack_size must be from {} KiB to {} GiB, got {bytes} bytes",
            SMALLEST >> 10,
            LARGEST >> 30
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_may_be_the_matter() {
        let error = io::Error::from_raw_os_error(libc::EAGAIN);
        let text = refusal("a test", error, 8 << 20).to_string();
        for word in ["8192 KiB", "stack_size", "ulimit -v", "ulimit -l", "mlockall"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }

    #[test]
    fn a_stack_without_a_wish_is_that_of_a_program() {
        assert_eq!(default_size(None), 8 << 20);
        assert_eq!(default_size(Some(16 << 20)), 16 << 20);
        assert_eq!(default_size(Some(64 << 10)), 2 << 20);
        assert_eq!(default_size(Some(1 << 45)), 1 << 30);
        assert_eq!(size(Some(1 << 20)), 1 << 20);
        assert_eq!(size_beside(Some(1 << 33)), 1 << 33);
        assert_eq!(size_beside(Some(1 << 20)), size(None));
    }

    #[test]
    fn wishes_have_a_range() {
        for bytes in [0, 1, SMALLEST - 1, LARGEST + 1, usize::MAX] {
            assert!(check(Some(bytes)).unwrap_err().to_string().contains("stack_size"));
        }
        for wish in [None, Some(SMALLEST), Some(LARGEST)] {
            check(wish).unwrap();
        }
    }
}
