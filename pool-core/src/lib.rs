//! Start methods, supervised worker processes and the scheduling engine.
//!
//! [`Process`] runs one function in one process; [`Pool`] keeps a set of workers and runs [`Job`]s
//! on them. The workspace's `docs/architecture.md` describes the layers.
#![doc = include_str!("../README.md")]
// Code that only one start method uses is unused where that method is compiled out.
#![cfg_attr(
    not(all(feature = "fork", feature = "forkserver", feature = "spawn", feature = "threads")),
    allow(dead_code, unused_imports, unused_variables, irrefutable_let_patterns)
)]

// The modules by floors, the uppermost first; each may need those that stand below it here
// (`cargo xtask floors` checks it against `xtask/floors.txt`).
//
// * `process/`: one function in one process.
// * `pool.rs`, `pool/`: a pool, its options, its calls.
// * `futures/`: calls whose results are waited for later.
// * `job/`: one call of the map family, in the thread that made the call.
// * `start/`: the start methods.
// * `roles.rs`: the roles of a fresh copy of the executable.
// * `session/`: the parent's side of a set of worker processes.
// * `threads/`: a set of worker threads.
// * `zygote/`: the process that starts, watches and reaps workers.
// * `child/`: a process of one function, without the function's types.
// * `worker/`: what runs inside a worker process.
// * `segments/`: how the descriptors of shared segments get from process to process.
// * `config.rs`: what workers are to be like, checked.
// * `environment.rs`: what a new process finds around it.
// * `output/`: what becomes of the standard output and error of workers.
// * `shared/`: the value that a pool shares with every worker.
// * `hooks/`: what a pool calls at the beginning and the end of each worker.
// * `engine/`: the scheduling engine, without I/O and without a clock.
// * `capture/`: log records of workers, brought to the parent's logger.
// * `progress/`: shows how far calls are.
// * `calls/`: which calls go on and went on, where that is recorded.
// * `insights/`: what workers spend their time with.
// * `cancel.rs`: ends a call from outside.
// * `service.rs`: a thread of another crate that serves something beside the pools.
// * `driver.rs`: the thread that works for futures while no thread waits for them.
// * `task/`: what a task is, and what it has access to while it runs.
// * `deferred_log.rs`: what a pool logs.
// * `bootstrap/`: starts fresh copies of this executable, and takes them over before their `main`.
// * `panic/`: catches, reports and silences panics.
// * `stack.rs`, `stack/`: how large stacks are, and stacks that the pool maps.
// * `error.rs`, `error/`: what can go wrong.
// * `protocol/`: what the processes of a pool send each other.
// * `os/`: what the operating system gives.
// * `compact.rs`: a value that is cheap to move, however large its type is.
// * `mutex.rs`: locks mutexes whose data stays valid when a thread panics.
// * `start_method.rs`: the names of the start methods.
// * `reentrancy.rs`: what the calling thread is inside of.
// * `ids.rs`: the numbers of workers and futures.
// * `text.rs`: which characters do more than stand in their line.
//
// Threads differ from processes in `start/backend.rs` (the workers), `job/transport.rs` (the way of
// a map to them) and `futures/backend_queue.rs` (the way of a call of one item).

mod awaited_endpoint;
mod bootstrap;
mod calls;
mod cancel;
#[cfg(feature = "capture-log")]
mod capture;
mod child;
mod compact;
mod config;
mod deferred_log;
mod driver;
mod engine;
mod environment;
mod error;
mod futures;
mod hooks;
mod ids;
mod insights;
mod job;
mod mutex;
mod os;
mod output;
mod panic;
mod pool;
mod process;
mod progress;
mod protocol;
mod reentrancy;
mod roles;
mod segments;
mod service;
mod session;
mod shared;
mod stack;
mod start;
mod start_method;
mod task;
mod text;
#[cfg(feature = "threads")]
mod threads;
mod watcher;
mod worker;
mod zygote;

#[doc(hidden)]
pub use awaited_endpoint::AwaitedEndpoint;
pub use calls::{
    CallSnapshot, Outcome, WatchAll, WatchedPool, WorkerSteps, closed_pools, watch_all,
    watched_pools,
};
pub use cancel::CancelToken;
#[cfg(feature = "capture-log")]
pub use capture::{
    CapturedLogger, InstallError, LogCapture, install as install_logger, log_to_stderr,
};
#[doc(hidden)]
pub use compact::Compact;
pub use error::{Cause, Error, ExitStatus, ProcessError, TaskError, TaskOutput};
pub use futures::{
    AsCompleted, AsCompletedTimeout, AsyncResult, AsyncResults, Refused, Unread, UnreadCounts,
    WaitFor, as_completed, as_completed_timeout, wait,
};
pub use hooks::WorkerLife;
pub use insights::{Activity, Insights, InsightsOptions, LongTask, TaskTimes, WorkerActivity};
pub use job::{Chunks, Job, JobOptions, ResultStream, TryError};
pub use output::{Output, OutputEvent, OutputOptions, Stream};
pub use pool::{ForkWithThreads, Pool, PoolOptions, Submit};
pub use process::{
    ActiveChild, CurrentProcess, ParentProcess, Process, ProcessBuilder, ProcessStatus, Runnable,
    active_children, current_process, parent_process,
};
#[cfg(feature = "progress")]
pub use progress::{Bar, bars};
pub use progress::{
    IntoProgress, LogLines, Progress, ProgressOption, Stderr, println, stderr, suspend,
};
pub use roles::init;
#[doc(hidden)]
pub use service::{PrivateFd, Serve, Service};
pub use shared::Shared;
#[doc(hidden)]
pub use stack::{is_large, with_room};
pub use start_method::{ParseStartMethodError, StartMethod};
pub use task::{
    Argument, Carried, Form, FromItem, FromPair, FromPart, InPlace, NoItem, OnWorker, Owned, Part,
    PartMut, Plain, PlainForm, Portable, Shape, ShapeOfOne, Shaped, Starting, With, WithOnWorker,
    Worker,
};
