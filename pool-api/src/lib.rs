//! A worker pool of processes or threads behind one small API.
//!
//! [`WorkerPool`] is what most programs need; [`WorkerPool::builder`] sets what they do not want as
//! it is, [`WorkerPool::tasks`] what one call does not want as it is.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
mod chunk_tasks;
mod direct;
mod imap;
mod options;
mod pool;
mod settings;
mod sharing;
mod slices;
#[cfg(feature = "async")]
mod stream;
mod task;
mod tasks;
mod tasks_async;
mod tasks_on_worker;
mod tasks_with;

pub use builder::Builder;
pub use chunk_tasks::{ChunkTasks, chunk_tasks};
pub use direct::Direct;
pub use imap::{Imap, ImapResults};
pub use options::ChunkSize;
#[doc(hidden)]
pub use options::{HasCallOptions, IntoCpuIds};
pub use pool::WorkerPool;
pub use pool_affinity::{CpuIds, CpuSet, Placement, Plan, Topology, cpu_count, usable_cpus};
pub use pool_core::{
    AsCompleted, AsyncResult, CancelToken, Cause, Chunks, Error, ExitStatus, ForkBesideThreads,
    ParseStartMethodError, Process, Refused, StartMethod, Starting, TaskError, TryError, WaitFor,
    Worker, as_completed, init, wait,
};
/// The name of a [`SharedObject`] where it is what a pool shares.
#[doc(no_inline)]
pub use pool_ipc::SharedObject as View;
pub use pool_ipc::{Recursive, SealError, SegmentFault, SharedObject, Wire, WireFault, rkyv, wire};
pub use pool_shm::{
    Bitwise, Element, Error as ShmError, LockError, Number, SharedArray, SharedBarrier,
    SharedBarrierWaitResult, SharedCondvar, SharedEvent, SharedMutex, SharedMutexGuard,
    SharedPermit, SharedReadGuard, SharedRwLock, SharedSemaphore, SharedValue, SharedWriteGuard,
    bytemuck,
};
#[cfg(feature = "async")]
pub use stream::ImapStream;
pub use task::Task;
pub use tasks::Tasks;
pub use tasks_with::TasksWith;

/// What a call of this crate answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What most programs import.
pub mod prelude {
    pub use crate::{
        AsyncResult, Error, StartMethod, TaskError, View, Wire, Worker, WorkerPool, wire,
    };
}

/// The examples of the whole project's README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../GUIDE.md")]
struct Guide;

/// The lines of the tables for those who know Python's pools, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../PYTHON.md")]
struct ComingFromPython;
