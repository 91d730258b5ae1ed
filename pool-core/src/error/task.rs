//! Why one item failed: which, where, and what became of its worker.
//!
//! Invariant: what is known is said and no more; a cause that no process saw is `Unknown`.

use std::{fmt, os::unix::process::ExitStatusExt, time::Duration};

use pool_ipc::{SegmentFault, SerdeFault, WireFault};

use super::{
    output::{LateOutput, TaskOutput},
    segment_fault::while_zygote_lives,
};
use crate::ids::{FutureId, ItemIndex, WorkerId};

/// An item's task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    pub(crate) index: ItemIndex,
    worker: WorkerId,
    tries: u32,
    origin: Origin,
    /// In a box, since every result of a call has room for a failure.
    details: Box<Details>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    cause: Cause,
    output: LateOutput,
}

/// What kind of call the item belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A call that was waited for, or whose results came one by one.
    Call,
    /// The future of one item, which has this number.
    Future(FutureId),
    /// The future of a map, which has this number.
    MapFuture(FutureId),
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It panicked.
    Panic {
        /// The panic's message.
        message: String,
        /// `file:line:column`, when a hook could learn it.
        location: Option<String>,
        /// The backtrace, when the environment asks for one; `Display` leaves it out.
        backtrace: Option<String>,
    },
    /// Its worker process ended.
    Death(ExitStatus),
    /// It used up the stack of its worker process, which ended: by recursion that is too deep, or
    /// by large values that lie in frames. Raise `stack_size`, or keep large values in a `Box` or a
    /// `Vec`. Under Threads such a task ends the program.
    StackOverflow,
    /// It ran longer than its limit, and its worker was killed.
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// Its call was cancelled before it had ended; its worker was killed, if that was asked for.
    Cancelled,
    /// Its worker aborted, with a limit of memory set.
    MemoryLimit {
        /// Bytes of private memory that a worker may take.
        limit: u64,
        /// Bytes of memory that it had at most, all in all.
        peak: u64,
        /// Whether the system has refused it memory; otherwise nothing is known of why it aborted.
        refused: bool,
    },
    /// The item was no valid value where it arrived.
    Undecodable,
    /// Its result could not be encoded, or was no valid value where it arrived.
    BadResult,
    /// A handle to a shared object in the item or in the result could not be sent, or leads to no
    /// such object; the fault says why.
    Handle(SegmentFault),
    /// A `Serde` or `SerdeDyn` in the item could not be decoded, or one in the result could not be
    /// encoded or decoded; the fault says why and what to take instead.
    Serde(SerdeFault),
    /// Its encoded result is larger than the arena's limit. Raise `arena_limit` or return less.
    ResultTooLarge {
        /// Bytes of the encoded result.
        bytes: u64,
        /// Bytes an arena may hold.
        limit: u64,
    },
    /// The result of its exit was not kept: with those of earlier workers it takes more than
    /// `max_result_bytes`. Stop the pool to begin anew, raise the limit, or return less.
    ExitResultsUnread {
        /// Bytes of all of them.
        bytes: u64,
        /// Bytes that they may take.
        limit: u64,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It is not known: another process reaped it.
    Unknown,
}

impl TaskError {
    pub(crate) fn new(index: ItemIndex, worker: WorkerId, cause: Cause, tries: u32) -> Self {
        let details = Box::new(Details { cause, output: LateOutput::none() });
        Self { index, worker, tries, origin: Origin::Call, details }
    }

    /// The failure of a task whose output comes with it.
    pub(crate) fn with_output(mut self, output: LateOutput) -> Self {
        self.details.output = output;
        self
    }

    /// The item at this position was read, and has not finished when its call was cancelled.
    pub(crate) fn cancelled(index: ItemIndex) -> Self {
        Self::new(index, WorkerId::FIRST, Cause::Cancelled, 0)
    }

    /// The failure of the future with this number; `of_map`: it is that of a map.
    pub(crate) fn of_future(self, id: FutureId, of_map: bool) -> Self {
        let origin = if of_map { Origin::MapFuture(id) } else { Origin::Future(id) };
        Self { origin, ..self }
    }

    /// Which item of the input: its position, from 0. It is 0 for a future of one item, which
    /// [`future`](Self::future) tells from others.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index.number()
    }

    /// The number of the future that the item belongs to, which
    /// [`AsyncResult::number`](crate::AsyncResult::number) says too; none where the call was no
    /// future.
    #[must_use]
    pub fn future(&self) -> Option<u64> {
        match self.origin {
            Origin::Call => None,
            Origin::Future(id) | Origin::MapFuture(id) => Some(id.number()),
        }
    }

    /// The id of the worker that had the item; 0 with [`Cause::Cancelled`], where perhaps none had
    /// it yet.
    #[must_use]
    pub fn worker(&self) -> u32 {
        self.worker.number()
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.details.cause
    }

    /// What the task had printed when it failed, in its last try: the end of each captured stream.
    /// `None` where neither stream was captured, and under Threads.
    ///
    /// The reader of the pipes may still be on its way to the task's last byte: then this waits for
    /// it, for a moment as a rule and never longer than five seconds.
    #[must_use]
    pub fn output(&self) -> Option<&TaskOutput> {
        self.details.output.get()
    }

    /// How often it was tried, this time included: more than once only in calls with `retry`, and 0
    /// with [`Cause::Cancelled`].
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

impl ExitStatus {
    /// From the status that waiting for the process gave.
    pub(crate) fn from_wait(raw: i32) -> Self {
        let status = std::process::ExitStatus::from_raw(raw);
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }

    /// The signal's number, if it was one.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Signal(number) => Some(*number),
            _ => None,
        }
    }

    /// The exit code, if there was one.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "was killed by {signal} (signal {number})"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            Self::Unknown => f.write_str("ended in an unknown way"),
        }
    }
}

impl Cause {
    /// Whether the item's worker ended with it.
    pub(crate) fn ends_worker(&self) -> bool {
        matches!(
            self,
            Self::Death(_) | Self::StackOverflow | Self::Timeout { .. } | Self::MemoryLimit { .. }
        )
    }

    /// Why a result that has come back cannot be had.
    pub(crate) fn of_result(fault: WireFault) -> Self {
        match fault {
            WireFault::Segment(fault) => Self::Handle(while_zygote_lives(fault)),
            WireFault::Serde(fault) => Self::Serde(fault),
            _ => Self::BadResult,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { message, location, .. } => {
                write!(f, "panicked: {message}")?;
                location.as_ref().map_or(Ok(()), |location| write!(f, " at {location}"))
            }
            Self::Death(status) => write!(f, "its worker {status}"),
            Self::StackOverflow => {
                f.write_str("overflowed the stack of its worker: raise stack_size, or keep large values in a Box")
            }
            Self::Timeout { limit } => write!(f, "ran longer than its limit of {limit:?}"),
            Self::Cancelled => f.write_str("its call was cancelled before it had ended"),
            Self::MemoryLimit { limit, peak, refused } => {
                let (limit, peak) = (Mebibytes(*limit), Mebibytes(*peak));
                if *refused {
                    write!(
                        f,
                        "its worker was refused memory beyond its limit of {limit} and aborted"
                    )?;
                } else {
                    write!(f, "its worker aborted, with a memory limit of {limit} set")?;
                }
                write!(f, "; it had {peak} at most")
            }
            Self::Undecodable => f.write_str("the item was no valid value where it arrived"),
            Self::BadResult => f.write_str(
                "the result could not be encoded or decoded, is nested more than 1000 deep, or something in it is aligned to more than 32 bytes",
            ),
            Self::Handle(fault) => write!(f, "a handle in its item or result: {fault}"),
            Self::Serde(fault) => write!(f, "serde, in its item or result: {fault}"),
            Self::ResultTooLarge { bytes, limit } => {
                write!(f, "its result takes {bytes} bytes, the arena limit is {limit}")
            }
            Self::ExitResultsUnread { bytes, limit } => write!(
                f,
                "its exit result was not kept: all of them take {bytes} bytes, max_result_bytes is {limit}"
            ),
        }
    }
}

/// Bytes, to be read by people.
struct Mebibytes(u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Call => write!(f, "task {}", self.index)?,
            Origin::Future(id) => write!(f, "future {id}")?,
            Origin::MapFuture(id) => write!(f, "task {} of future {id}", self.index)?,
        }
        let cause = self.cause();
        if *cause == Cause::Cancelled {
            return write!(f, ": {cause}");
        }
        write!(f, " on worker {}: {cause}", self.worker)?;
        if self.tries > 1 {
            write!(f, "; it was tried {} times", self.tries)?;
        }
        // (The output may have to be waited for.)
        match f.alternate().then(|| self.output()).flatten() {
            Some(output) => output.fmt_last_lines(f),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TaskError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_by_its_number() {
        let failed = || TaskError::new(ItemIndex::FIRST, WorkerId::new(1), Cause::BadResult, 1);
        let (one, map) = (
            failed().of_future(FutureId::new(7), false),
            failed().of_future(FutureId::new(7), true),
        );
        assert_eq!((failed().index(), failed().future()), (0, None));
        assert_eq!((one.index(), one.future()), (0, Some(7)));
        assert_eq!((map.index(), map.future()), (0, Some(7)));
        assert!(failed().to_string().starts_with("task 0 on worker 1: "), "{}", failed());
        assert!(one.to_string().starts_with("future 7 on worker 1: "), "{one}");
        assert!(map.to_string().starts_with("task 0 of future 7 on worker 1: "), "{map}");
    }
}
