//! Start methods, supervised worker processes and the scheduling engine.
//!
//! [`Process`] runs one function in one process; [`Pool`] keeps a set of workers and runs [`Job`]s
//! on them. The workspace's `docs/architecture.md` describes the layers.
#![doc = include_str!("../README.md")]
// Code that only one start method uses is unused where that method is compiled out.
#![cfg_attr(
    not(all(feature = "fork", feature = "forkserver", feature = "spawn", feature = "threads")),
    allow(dead_code, unused_imports, irrefutable_let_patterns)
)]

mod bootstrap;
mod cancel;
mod compact;
mod config;
mod deferred_log;
mod driver;
mod engine;
mod error;
mod futures;
mod hooks;
mod ids;
mod job;
mod mutex;
mod os;
mod panic;
mod pool;
mod process;
mod protocol;
mod reentrancy;
mod roles;
mod segments;
mod session;
mod shared;
mod stack;
mod start;
mod start_method;
mod task;
#[cfg(feature = "threads")]
mod threads;
mod worker;
mod zygote;

pub use cancel::CancelToken;
#[doc(hidden)]
pub use compact::Compact;
pub use error::{Cause, Error, ExitStatus, TaskError};
pub use futures::{
    AsCompleted, AsCompletedTimeout, AsyncResult, AsyncResults, Refused, WaitFor, as_completed,
    as_completed_timeout, wait,
};
pub use hooks::WorkerLife;
pub use job::{Chunks, Job, JobOptions, ResultStream, TryError};
pub use pool::{ForkWithThreads, Pool, PoolOptions, Submit};
pub use process::Process;
pub use roles::init;
pub use shared::Shared;
#[doc(hidden)]
pub use stack::{is_large, with_room};
pub use start_method::{ParseStartMethodError, StartMethod};
pub use task::{
    Argument, Carried, Form, FromItem, FromPart, InPlace, NoItem, OnWorker, Owned, Part, PartMut,
    Plain, PlainForm, Portable, Shape, ShapeOfOne, Shaped, Starting, With, WithOnWorker, Worker,
};
