//! What can go wrong, each variant saying what the caller can do.
//!
//! Invariant: the text of an error and that of its source say different things; what may help is in
//! the text of the error.
//!
//! * `error/task.rs`: why one item failed.
//! * `error/output.rs`: what a failed task has printed.
//! * `error/process.rs`: how a process of one function ended.
//! * `error/failure.rs`: how a worker tells why an item failed.
//! * `error/startup.rs`: how a process tells that it did not come up, and why.
//! * `error/worker_stage.rs`: what a worker is at, as its row on the board says it.
//! * `error/segment_fault.rs`: what the end of a connection about segments means.
//! * `error/tests.rs`: the tests of the texts.

mod failure;
mod output;
mod process;
mod segment_fault;
mod startup;
mod task;
mod worker_stage;

pub(crate) use failure::{Failure, FailureKind};
pub use output::TaskOutput;
pub(crate) use output::{LateOutput, StreamTail};
pub use process::ProcessError;
pub(crate) use segment_fault::{is_disconnected, while_zygote_lives};
pub(crate) use startup::{Fault, Stage, StartFailure};
pub use task::{Cause, ExitStatus, TaskError};
pub(crate) use worker_stage::WorkerStage;

use std::{fmt, io, sync::Arc};

use nix::errno::Errno;
use pool_ipc::{SegmentFault, SerdeFault, WireFault};

use crate::{ids::FutureId, start_method::StartMethod};

/// Why a call of a pool failed.
///
/// Its text says what failed and what may help. What the system answered is the error's
/// [`source`](std::error::Error::source), or that one's source, and in no text but its own: a
/// report that prints the chain of sources says each thing once.
///
/// Its `Debug` shows the whole chain, since that is what `main` prints of an error that it
/// returns, and `unwrap` of one that it meets; and below it the backtrace of a task's panic, if
/// there is one.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// An item's task failed. The pool is usable; the error says which item and why.
    Task(TaskError),
    /// A [`Process`](crate::Process) ended without its value; the error says how.
    Process(ProcessError),
    /// The input cannot be used as asked: the text names the option or argument, and what it got.
    InvalidInput(String),
    /// `Fork` in a process with more than one thread would copy locks that stay locked. Build
    /// the pool before threads start, use another start method, or promise by
    /// [`ForkWithThreads`](crate::ForkWithThreads) that it is safe.
    ForkWithThreads {
        /// How many threads there are.
        threads: usize,
    },
    /// The thread has a reference into shared memory: the guard of a shared lock, a slice of
    /// `slices_mut`, an item or a result that is read in place (`view`, `for_each_view`),
    /// or one that its own `Serialize` or `Deserialize` is at. `Fork` would copy the reference but
    /// not the memory. Build the pool, or call `map_scoped`, before or after. Or what a pool shares
    /// has leaked such a guard where it was decoded or built, and workers would be forked from
    /// there: give the guard up.
    ForkWhileBorrowed,
    /// Initialisers of the program (a C++ library, `LD_PRELOAD`, an allocator's background thread,
    /// a `#[ctor]`) have started threads before `main` in the process that `ForkServer` would fork
    /// the workers from, and locks that these hold would stay locked there. Use `Spawn`, where each
    /// worker is a process of its own.
    InitialiserThreads {
        /// How many threads there are, the main one among them.
        threads: usize,
    },
    /// The start method needs to know that a fresh copy of this executable will be taken over
    /// before `main`: turn on the feature `takeover`, or call `init()` first in `main`.
    NotInitialised,
    /// The start method cannot execute this program afresh; the text says why. Use `Fork` or
    /// `Threads`.
    CannotExecute(String),
    /// `capture_logs` under `Fork` in a program that has installed a logger of its own: workers
    /// inherit that, and nothing can replace it. Install it by `logging::install`, or inside a
    /// `logging::CapturedLogger`, or use another start method.
    OtherLogger,
    /// The function is not part of the main executable (it lives in a shared library), so another
    /// process cannot be told where it is. Use `Threads`.
    ForeignFunction,
    /// The start method was compiled out, or does not offer the call.
    NotSupported {
        /// The start method of the pool.
        method: StartMethod,
        /// What it does not offer.
        what: &'static str,
    },
    /// The pool, or the handle of a process, is used in a process forked from the one that made it.
    /// Make a pool of its own there.
    ForeignProcess,
    /// The call could wait for itself: a task uses the pool of threads that it runs in, a callback
    /// that reads results in place uses their pool, or code inside a call stops its pool.
    NestedUse,
    /// Code in a daemonic worker or process can neither build a pool nor start a process. Build the
    /// outer pool, or the process, with `daemon(false)`.
    NestedPool,
    /// The process that starts and reaps the workers was killed. Make a new pool.
    PoolBroken,
    /// The pool was terminated or stopped while the call ran. The pool can be used again.
    Terminated,
    /// The call's cancel token was pulled, or its handle's `cancel` called. The pool can be used
    /// again; another call takes a new token.
    Cancelled,
    /// The untaken results of futures are more than `max_result_bytes`. Take some,
    /// drop some, or raise the limit.
    ResultsUnread {
        /// Encoded bytes of all of them.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// There is no room for the call now: 4096 calls wait to be begun (of those that a token may
    /// end, 1024 have not ended, with the maps in the background), or the pool is being stopped.
    /// Try again later, or make a call that waits.
    QueueFull,
    /// The result is not there yet. It can be waited for again.
    NotReady,
    /// The result was taken before: it can be had once.
    ResultTaken,
    /// Workers die before they can take a task; the text tells how the last one ended.
    WorkersDie(String),
    /// What the pool shares could not be made where workers are born: the user's code for it
    /// (decoding, or the function that builds it) panicked, ended its process, took too long, or
    /// its archive is no valid value. The next call tries again; the pool can also be given
    /// something else to share.
    SharedFailed(Cause),
    /// Building what the pool shares left threads behind in the template, the process that workers
    /// are forked from. Let them end before the function returns, or use Spawn, where each worker
    /// builds its own.
    SharedLeftThreads {
        /// Their names.
        threads: Vec<String>,
    },
    /// A function that was to run at the start of every worker panicked or ended its process. The
    /// next call tries again.
    WorkerStartFailed(Cause),
    /// A worker's `worker_init` panicked, ended its process, or took too long. The next call tries
    /// again.
    WorkerInitFailed {
        /// The worker's id.
        worker: u32,
        /// Why.
        cause: Cause,
    },
    /// A worker's `worker_exit` panicked, ended its process, took too long, or its result could not
    /// be encoded or decoded; or the drop of its state panicked. Results of tasks that came before
    /// are right.
    WorkerExitFailed {
        /// The worker's id.
        worker: u32,
        /// Why.
        cause: Cause,
    },
    /// One encoded item is larger than the arena's limit. Raise `arena_limit` or send less.
    ItemTooLarge {
        /// Bytes of the encoded item.
        bytes: u64,
        /// Bytes an arena may hold.
        limit: u64,
    },
    /// The type's own serialization failed on an item, the item is nested more than 1000 deep in
    /// fields with `Recursive`, or something in it has an archive that is aligned to more than 32
    /// bytes.
    Encode {
        /// Which item of the input.
        index: u64,
    },
    /// A `Serde` or `SerdeDyn` in an item, or in the context, could not be encoded; the fault,
    /// which is the source, says why and what to take instead. Its `check` has the type's own
    /// words.
    Serde {
        /// Which item of the input has it; none if it is the context.
        index: Option<u64>,
        /// Why.
        fault: SerdeFault,
    },
    /// A handle to a shared object could not be sent; the fault, which is the source, says why.
    /// Drop handles that are not needed any more, or raise the limit of descriptors (`ulimit -n`).
    Handle {
        /// Which item of the input has it; none if it is the context.
        index: Option<u64>,
        /// Why.
        fault: SegmentFault,
    },
    /// The address space, descriptors, threads or memory that the pool needs cannot be had.
    Resources {
        /// What was tried.
        what: &'static str,
        /// What is known beside the system's answer, and what may help.
        reason: Option<String>,
        /// The system's answer: a [`std::io::Error`], or an error that has one as its source.
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
}

/// Every result of a call has room for an error.
const _: () = assert!(size_of::<Error>() <= 80);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => task.fmt(f),
            Self::Process(process) => process.fmt(f),
            Self::InvalidInput(text) | Self::CannotExecute(text) => f.write_str(text),
            Self::ForkWithThreads { threads } => write!(
                f,
                "start method fork needs a process with one thread, this one has {threads}: build \
                 the pool before threads start, or use forkserver or spawn"
            ),
            Self::ForkWhileBorrowed => f.write_str(
                "a fork would copy a reference into shared memory, but not the memory: drop the guard of the shared lock, or leave \
                 the task that has the slice, the callback or task that reads in place, or the value's own `Serialize` or \
                 `Deserialize`, before the pool is built, or before what it shares is made",
            ),
            Self::InitialiserThreads { threads } => write!(
                f,
                "initialisers of the program (a C++ library, LD_PRELOAD, a #[ctor]) have started threads before main in the \
                 process that workers would be forked from, which has {threads}: use start method spawn"
            ),
            Self::NotInitialised => f.write_str(
                "nothing proves that a fresh copy of this executable will be taken over before \
                 main: turn on the feature `takeover`, or call `init()` first in main",
            ),
            Self::OtherLogger => f.write_str(
                "capture_logs: workers of start method fork inherit the logger of this program, which does not capture: install it by \
                 `pool_api::logging::install` or inside a `CapturedLogger`, or use forkserver or spawn",
            ),
            Self::ForeignFunction => f.write_str(
                "the function is not part of the main executable, so a worker process would not find it",
            ),
            Self::NotSupported { method, what } => {
                write!(f, "start method {method} does not offer {what}")
            }
            Self::ForeignProcess => {
                f.write_str("the pool or handle belongs to the process that this one was forked from")
            }
            Self::NestedUse => f.write_str("the call could wait for itself: it is made inside a task or call of the same pool"),
            Self::NestedPool => f.write_str(
                "the worker or process is daemonic, so it can build no pool and start no process: make the outer one with daemon(false)",
            ),
            Self::PoolBroken => {
                f.write_str("the process that starts the pool's workers was killed: make a new pool")
            }
            Self::Cancelled => f.write_str("the call was cancelled, by its token or its handle"),
            Self::Terminated => f.write_str("the pool was stopped or terminated during the call"),
            Self::ResultsUnread { bytes, limit } => write!(
                f,
                "untaken results hold {bytes} bytes, max_result_bytes is {limit}"
            ),
            Self::QueueFull => f.write_str(
                "there is no room for the call now: 4096 calls wait to be begun (1024 with a \
                 cancel_token), or the pool is being stopped; try again later, or make a call that waits",
            ),
            Self::NotReady => f.write_str("the result is not there yet"),
            Self::ResultTaken => f.write_str("the result was taken before"),
            Self::WorkersDie(how) => {
                write!(f, "workers die before they can take a task; the last one {how}")
            }
            Self::SharedFailed(cause) => {
                f.write_str("what the pool shares could not be made: ")?;
                match cause {
                    Cause::Death(status) => write!(f, "the process that made it {status}"),
                    Cause::Undecodable => f.write_str("it was no valid value where it arrived"),
                    Cause::Timeout { limit } => write!(f, "it took longer than {limit:?}"),
                    cause => cause.fmt(f),
                }
            }
            Self::SharedLeftThreads { threads } => write!(
                f,
                "making what the pool shares left {} running in the process that workers are forked from ({}): end them \
                 before the function returns, or use start method spawn",
                if let [_] = &threads[..] { "a thread" } else { "threads" },
                threads.join(", "),
            ),
            Self::WorkerStartFailed(cause) => {
                write!(f, "a function for the start of every worker failed: {cause}")
            }
            Self::WorkerInitFailed { worker, cause } => {
                write!(f, "worker_init of worker {worker} failed: {cause}")
            }
            Self::WorkerExitFailed { worker, cause } => {
                write!(f, "worker_exit of worker {worker} failed: {cause}")
            }
            Self::ItemTooLarge { bytes, limit } => {
                write!(f, "an encoded item takes {bytes} bytes, the arena limit is {limit}")
            }
            Self::Encode { index } => write!(
                f,
                "item {index} could not be encoded: its own serialization failed, it is nested more than 1000 deep, or something in it is aligned to more than 32 bytes"
            ),
            Self::Serde { index: Some(index), .. } => {
                write!(f, "item {index} could not be encoded by serde")
            }
            Self::Serde { index: None, .. } => {
                f.write_str("the context could not be encoded by serde")
            }
            Self::Handle { index: Some(index), .. } => {
                write!(f, "a handle in item {index} could not be sent")
            }
            Self::Handle { index: None, .. } => {
                f.write_str("a handle in the context could not be sent")
            }
            Self::Resources { what, reason: None, .. } => write!(f, "{what} failed"),
            Self::Resources { what, reason: Some(reason), .. } => {
                write!(f, "{what} failed: {reason}")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&full_text(self))?;
        match self.backtrace() {
            Some(backtrace) => write!(f, "\n{}", backtrace.trim_end()),
            None => Ok(()),
        }
    }
}

impl Error {
    /// The error as the future with this number ends with it; `of_map`: it is that of a map.
    pub(crate) fn of_future(self, id: FutureId, of_map: bool) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.of_future(id, of_map)),
            other => other,
        }
    }

    /// What was tried failed with this error. One of the system's, or one that has a source,
    /// becomes the source; any other one is a text of our own and becomes the reason.
    pub(crate) fn resources(
        what: &'static str,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let error = match error.into().downcast::<Errno>() {
            Ok(errno) => io::Error::from(*errno).into(),
            Err(error) => error,
        };
        if error.is::<io::Error>() || error.source().is_some() {
            Self::Resources { what, reason: None, source: Some(Arc::from(error)) }
        } else {
            Self::Resources { what, reason: Some(error.to_string()), source: None }
        }
    }

    /// Of the panic that is the cause.
    fn backtrace(&self) -> Option<&str> {
        let cause = match self {
            Self::Task(task) => task.cause(),
            Self::Process(process) => process.cause(),
            Self::SharedFailed(cause) | Self::WorkerStartFailed(cause) => cause,
            Self::WorkerInitFailed { cause, .. } | Self::WorkerExitFailed { cause, .. } => cause,
            _ => return None,
        };
        match cause {
            Cause::Panic { backtrace, .. } => backtrace.as_deref(),
            _ => None,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Task(task) => task.source(),
            Self::Process(process) => process.source(),
            Self::Resources { source: Some(source), .. } => Some(&**source),
            Self::Handle { fault, .. } => Some(fault),
            Self::Serde { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

impl Error {
    /// Item `index` could not be encoded.
    pub(crate) fn unencodable(index: u64, fault: WireFault) -> Self {
        match fault {
            WireFault::Segment(fault) => Self::Handle { index: Some(index), fault },
            WireFault::Serde(fault) => Self::Serde { index: Some(index), fault },
            _ => Self::Encode { index },
        }
    }
}

impl From<pool_shm::Error> for Error {
    fn from(source: pool_shm::Error) -> Self {
        Self::Resources {
            what: "a call for shared memory",
            reason: None,
            source: Some(Arc::new(source)),
        }
    }
}

impl From<ProcessError> for Error {
    fn from(process: ProcessError) -> Self {
        Self::Process(process)
    }
}

impl From<TaskError> for Error {
    fn from(task: TaskError) -> Self {
        Self::Task(task)
    }
}

/// The texts of an error and of all its sources.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Names what was tried when the system refused.
pub(crate) trait OrResources<T> {
    fn or_resources(self, what: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> OrResources<T> for Result<T, E> {
    fn or_resources(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::resources(what, error))
    }
}

#[cfg(test)]
mod tests;
