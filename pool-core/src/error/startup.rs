//! How a process tells that it did not come up, and why.
//!
//! Invariant: the text lies at the beginning of the arena of a worker that never took a chunk, so
//! nothing else lies there, and the worker writes to that arena no more when it is read.

use std::{os::fd::AsFd, time::Duration};

use nix::sys::uio::pwrite;
use pool_ipc::{AlignedBytes, wire};
use pool_shm::Mapping;

use super::{
    Error,
    failure::FailureKind,
    task::{Cause, ExitStatus},
};
use crate::{ids::WorkerId, os::nanos};

wire! {
    /// Why a process did not come up.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct StartFailure {
        pub(crate) stage: Stage,
        pub(crate) fault: Fault,
    }

    /// What the process was at.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Stage {
        /// Functions that the user wants called in every worker first.
        AtWorkerStart,
        /// Making the shared value.
        Shared,
        /// The user's `worker_init`.
        Init,
        /// The user's `worker_exit`, or the drop of the state.
        Exit,
    }

    /// What went wrong.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Fault {
        Task(FailureKind),
        /// The process ended, with this wait status.
        Ended { status: i32 },
        /// The process ended, since its stack was used up.
        Overflowed,
        TimedOut { nanos: u64 },
        /// Threads with these names go on.
        LeftThreads { names: Vec<String> },
        Refused { why: String },
        /// What was made has exclusive access to shared memory.
        Borrowed,
    }
}

/// Texts are cut to this many bytes.
const LONGEST_TEXT: usize = 8 << 10;
/// Encoded failures are smaller.
const LARGEST: usize = 256 << 10;
/// Where the encoded failure begins, behind its mark and its length.
const BODY_OFFSET: usize = AlignedBytes::ALIGN;
const MARK: u64 = u64::from_le_bytes(*b"poolfail");

impl Fault {
    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::TimedOut { nanos: nanos(limit) }
    }

    fn shorten(&mut self) {
        let cut = |text: &mut String| {
            let len = (0..=LONGEST_TEXT.min(text.len())).rev().find(|n| text.is_char_boundary(*n));
            text.truncate(len.unwrap_or(0));
        };
        match self {
            Self::Task(FailureKind::Panic { message, location, backtrace }) => {
                [Some(message), location.as_mut(), backtrace.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(cut);
            }
            Self::LeftThreads { names } => names.truncate(64), // each of at most 15 bytes
            Self::Refused { why } => cut(why),
            _ => {}
        }
    }
}

impl Stage {
    /// That a worker failed at it, as callers see it.
    pub(crate) fn error(self, worker: WorkerId, cause: Cause) -> Error {
        match self {
            Self::AtWorkerStart => Error::WorkerStartFailed(cause),
            Self::Shared => Error::SharedFailed(cause),
            Self::Init => Error::WorkerInitFailed { worker: worker.number(), cause },
            Self::Exit => Error::WorkerExitFailed { worker: worker.number(), cause },
        }
    }

    /// The user's function that runs then.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtWorkerStart => "at_worker_start",
            Self::Shared => "what is shared",
            Self::Init => "worker_init",
            Self::Exit => "worker_exit",
        }
    }
}

impl StartFailure {
    /// A process that ended while it was at `stage`.
    pub(crate) fn ended(stage: Stage, status: i32) -> Self {
        Self { stage, fault: Fault::Ended { status } }
    }

    /// The failure as bytes, its texts cut to a length that any message has room for.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut short = self.clone();
        short.fault.shorten();
        pool_ipc::to_bytes(&short).map(|bytes| bytes.to_vec()).unwrap_or_default()
    }

    /// Writes this failure to the arena of a worker that has not used it yet.
    pub(crate) fn write_to(&self, arena: &Mapping) {
        let whole = with_head(&self.to_bytes());
        if whole.len() <= arena.len() {
            // SAFETY: within the mapping (checked), which is written to by this process alone and
            // holds no block yet.
            unsafe {
                std::ptr::copy_nonoverlapping(whole.as_ptr(), arena.as_ptr(), whole.len());
            }
        }
    }

    /// Writes an encoded failure for the parent to read.
    pub(crate) fn write_encoded(bytes: &[u8], arena: &impl AsFd) -> nix::Result<()> {
        pwrite(arena, &with_head(bytes), 0).map(|_| ())
    }

    /// The failure that was written to an arena, if that is what lies there.
    pub(crate) fn read_from(arena: &Mapping) -> Option<Self> {
        let room = arena.len().min(LARGEST);
        let mut copy = AlignedBytes::new();
        // SAFETY: within the mapping.
        unsafe { copy.copy_from(arena.as_ptr(), BODY_OFFSET.min(room), 0) };
        let word = |at: usize| Some(u64::from_ne_bytes(copy.get(at..at + 8)?.try_into().ok()?));
        let len = usize::try_from(word(8)?).ok()?;
        if word(0)? != MARK || len.checked_add(BODY_OFFSET)? > room {
            return None;
        }
        // SAFETY: within the mapping (checked).
        unsafe { copy.copy_from(arena.as_ptr().add(BODY_OFFSET), len, 0) };
        pool_ipc::from_bytes(&copy).ok()
    }
}

impl Fault {
    /// The fault of a worker's own function as callers see it.
    pub(crate) fn into_cause(self) -> Cause {
        match self {
            Self::Task(kind) => kind.into(),
            Self::Ended { status } => Cause::Death(ExitStatus::from_wait(status)),
            Self::Overflowed => Cause::StackOverflow,
            Self::TimedOut { nanos } => Cause::Timeout { limit: Duration::from_nanos(nanos) },
            Self::LeftThreads { .. } | Self::Refused { .. } | Self::Borrowed => Cause::BadResult,
        }
    }
}

impl StartFailure {
    /// The failure as callers see it, of the worker `worker`.
    pub(crate) fn into_error(self, worker: WorkerId) -> Error {
        let cause = match self.fault {
            Fault::LeftThreads { names } => return Error::SharedLeftThreads { threads: names },
            Fault::Borrowed => return Error::ForkWhileBorrowed,
            Fault::Refused { why } => {
                return Error::resources("making what the pool shares", why);
            }
            fault => fault.into_cause(),
        };
        self.stage.error(worker, cause)
    }
}

/// Bytes behind their mark and their length.
fn with_head(bytes: &[u8]) -> Vec<u8> {
    let mut whole = vec![0; BODY_OFFSET];
    whole[..8].copy_from_slice(&MARK.to_ne_bytes());
    whole[8..16].copy_from_slice(&(bytes.len() as u64).to_ne_bytes());
    whole.extend_from_slice(bytes);
    whole
}

#[cfg(test)]
mod tests {
    use pool_shm::Segment;

    use super::*;

    fn panicked(message: String) -> StartFailure {
        let kind = FailureKind::Panic { message, location: None, backtrace: None };
        StartFailure { stage: Stage::Shared, fault: Fault::Task(kind) }
    }

    #[test]
    fn what_was_left_is_found() {
        let arena = Segment::create("test", 1 << 20).unwrap();
        let view = arena.map_read_only().unwrap();
        assert_eq!(StartFailure::read_from(&view), None);
        let failure = panicked("no".to_string());
        StartFailure::write_encoded(&failure.to_bytes(), &arena).unwrap();
        assert_eq!(StartFailure::read_from(&view), Some(failure));
        let failure = panicked("neither".to_string());
        failure.write_to(&arena.map().unwrap());
        assert_eq!(StartFailure::read_from(&view), Some(failure));
        StartFailure::write_encoded(&[7; 40], &arena).unwrap();
        assert_eq!(StartFailure::read_from(&view), None);
        let tiny = Segment::create("test", 1).unwrap();
        assert_eq!(StartFailure::read_from(&tiny.map_read_only().unwrap()), None);
    }

    #[test]
    fn long_texts_are_cut() {
        let bytes = panicked("ö".repeat(1 << 20)).to_bytes();
        assert!(bytes.len() < LARGEST, "{}", bytes.len());
        let back: StartFailure = pool_ipc::from_bytes(&bytes).unwrap();
        assert!(
            matches!(back.fault, Fault::Task(FailureKind::Panic { message, .. }) if message.len() == LONGEST_TEXT)
        );
    }
}
