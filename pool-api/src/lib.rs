//! A pool of worker processes (or threads) behind one small API.
//!
//! [`WorkerPool`] runs a function over many items in copies of your own executable, over shared
//! memory. A task may crash, leak, hang or be killed: the call gets the right answer or a typed
//! error that names the item, the worker is replaced, and the pool goes on. Nothing has to be set
//! up in `main`.
//!
//! ```
//! use pool_api::{Error, WorkerPool};
//!
//! fn main() -> Result<(), Error> {
//!     let pool = WorkerPool::new(4)?;
//!     let squares = pool.map(0..1000u64, |x| x * x)?;
//!     assert_eq!(squares[30], 900);
//!     Ok(())
//! }
//! ```
//!
//! Code that needs no isolation is better served by threads: [rayon](https://docs.rs/rayon).
//!
//! # A tour
//!
//! **A task is a `fn`**, a function or a closure without captures, and its item and result are
//! owned values that are [`Wire`]: numbers, strings, collections, and own types inside of
//! [`wire!`]. What a closure would capture goes beside the items.
//!
//! ```
//! use pool_api::{WorkerPool, wire};
//!
//! wire! {
//!     struct Order { product: String, count: u64 }
//! }
//!
//! let pool = WorkerPool::new(2)?;
//! let orders = [2, 3].map(|count| Order { product: "tea".into(), count });
//! let sums = pool.tasks(orders).with(5).map(|price, order: Order| price * order.count)?;
//! assert_eq!(sums, [10, 15]);
//! # Ok::<(), pool_api::Error>(())
//! ```
//!
//! **A call** is prepared by [`WorkerPool::tasks`]; then come what the function takes and the
//! options, in any order, and the function last:
//! [`chunk_size`](Call::chunk_size), [`task_timeout`](Call::task_timeout),
//! [`retry`](Call::retry) … [`WorkerPool::map`] and its sisters are the short forms without
//! options. Chunks adapt to the time that tasks take, results come in the order of the input unless
//! the form says `unordered`, and [`imap`](WorkerPool::imap) reads an endless input only a little
//! ahead. The chapter [calls](guide::calls) has the table of all forms.
//!
//! ```
//! # let pool = pool_api::WorkerPool::new(2)?;
//! let firsts = pool.imap(0u64.., |x| x * 2).take(3).collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(firsts, [0, 2, 4]);
//! # Ok::<(), pool_api::Error>(())
//! ```
//!
//! **A failure** is a value: [`Error::Task`] has a [`TaskError`] with the item's index, the worker
//! and the [`Cause`]. With [`map_results`](Call#method.map_results) each item has a `Result` of its
//! own. See [errors](guide::errors), and for a message the [FAQ](guide::faq).
//!
//! ```
//! # let pool = pool_api::WorkerPool::new(2)?;
//! let results = pool.tasks(0..4).map_results(|n| if n == 2 { std::process::abort() } else { n })?;
//! assert_eq!(results[3], Ok(3));
//! assert_eq!(results[2].as_ref().unwrap_err().index(), 2);
//! # Ok::<(), pool_api::Error>(())
//! ```
//!
//! **Later**: [`apply_async`](WorkerPool::apply_async) and [`map_async`](WorkerPool::map_async)
//! return an [`AsyncResult`], which is a `Future` and can also be waited for, asked, or told by
//! callbacks; see [results that come later](guide::futures), and [results as they
//! come](guide::results) for channels, streams and tokio.
//!
//! **What workers have**: [`shared`](Builder::shared) data that is decoded once and inherited,
//! [`worker_init`](Builder::worker_init) for the state of each worker, and handles to shared memory
//! ([`SharedArray`], [`SharedValue`], [`SharedMutex`] …) that may be items, results or parts of
//! them. See [shared data](guide::shared_data), [worker state](guide::worker_state), [shared
//! memory](guide::shared_memory).
//!
//! ```
//! # use pool_api::WorkerPool;
//! let words = vec![String::from("tea"), String::from("cake")];
//! let pool = WorkerPool::builder().n_jobs(2).shared(words).build()?;
//! let lens = pool.tasks(0..2usize).with_worker().map(|w, index| w.shared[index].len())?;
//! assert_eq!(lens, [3, 4]);
//! # Ok::<(), pool_api::Error>(())
//! ```
//!
//! **Limits for tasks**: time ([`task_timeout`](Builder::task_timeout)), memory
//! ([`memory_limit`](Builder::memory_limit)), stack ([`stack_size`](Builder::stack_size)), life
//! ([`worker_lifespan`](Builder::worker_lifespan)). A [`CancelToken`] ends one call, from a signal
//! handler too: see [ending early](guide::ending).
//!
//! **One function in one process**, without a pool, is [`Process`]: with a name, an environment, a
//! status that says how it ended, and a future for its value. See [its chapter](guide::process).
//!
//! ```
//! use pool_api::Process;
//!
//! let process = Process::builder().name("sum").daemon(true);
//! let process = process.spawn(|n: u64| (0..n).sum::<u64>(), 5)?;
//! assert_eq!(process.join()?, 10);
//! # Ok::<(), pool_api::Error>(())
//! ```
//!
//! # Start methods
//!
//! | [`StartMethod`] | workers are | use it |
//! | --- | --- | --- |
//! | `ForkServer` (default) | forked from a small fresh copy of the executable | always, if nothing speaks against it |
//! | `Spawn` | fresh copies of the executable, each | when nothing may be shared |
//! | `Fork` | forked from the process as it is in `build()` | to inherit data; before threads start |
//! | `Threads` | threads | for debugging, or without need of isolation |
//!
//! What returns or panics has the same results, order and errors under all of them; a crash ends
//! the program under `Threads`. What a worker sees of the program is in
//! [start methods](guide::start_methods).
//!
//! # Contents
//!
//! | you look for | it is |
//! | --- | --- |
//! | the pool, its options | [`WorkerPool`], [`Builder`] |
//! | one call: what its function takes, its options | [`Call`] |
//! | what a task sees of its worker | [`Worker`], in `worker_init` [`Starting`] |
//! | iterators and streams of results | [`Imap`], [`ImapResults`], [`ImapUnorderedResults`], `ImapStream` |
//! | single items in, single results out | [`PoolManager`], [`PoolProcess`], [`ManagerError`] |
//! | handles of results that come later | [`AsyncResult`], [`as_completed`], [`as_completed_timeout`], [`wait`] |
//! | one function in one process | [`Process`], [`ProcessBuilder`], [`ProcessStatus`], [`Runnable`], [`active_children`], [`current_process`], [`parent_process`] |
//! | what workers print | [`Output`], [`OutputEvent`], [`Stream`], [`TaskOutput`] |
//! | errors | [`Error`], [`TaskError`], [`ProcessError`], [`Cause`], [`TryError`], [`Refused`] |
//! | what can cross | [`Wire`], [`wire!`], [`Recursive`], [`rkyv`]; with the feature `serde` `Serde`, `SerdeDyn` |
//! | shared memory | [`SharedArray`], [`SharedValue`], [`SharedObject`], [`SharedMutex`], [`SharedReentrantMutex`], [`SharedRwLock`], [`SharedCondvar`], [`SharedSemaphore`], [`SharedBarrier`], [`SharedEvent`] |
//! | messages between processes or threads | [`channel`] |
//! | objects at a server, for programs that are no relatives too | `managers` |
//! | a page that shows what pools are doing | `dashboard` |
//! | logs of workers | `logging`, with the feature `capture-log` |
//! | what workers spend their time with | [`Insights`], [`InsightsOptions`], [`WorkerActivity`], [`TaskTimes`]; see [insights](guide::insights) |
//! | how far a call is, and which calls go on | [`progress`], [`WorkerPool::calls`], [`CallSnapshot`], [`watched_pools`] |
//! | CPUs | [`CpuIds`], [`Placement`], [`Plan`], [`Topology`], [`usable_cpus`] |
//! | the guide | [`guide`] |
//!
//! # Features
//!
//! | feature | default | what it does |
//! | --- | --- | --- |
//! | `takeover` | on | a fresh copy of the executable is taken over before `main`; without it call [`init`] as the first line of `main` |
//! | `fork`, `forkserver`, `spawn`, `threads` | on | the start methods; without `forkserver` the default is the first of `spawn`, `fork`, `threads` that is there |
//! | `log` | off | what the pool itself says, as records of the `log` crate: a line for each worker that dies, is killed at a limit or starts anew; [`Output`] gets `Log` |
//! | `capture-log` | off | `capture_logs`: what workers log comes to the logger of the program; see [logging and output](guide::logging) |
//! | `tracing` | off | the same for events and spans of `tracing` |
//! | `progress` | off | `Call::progress(true)`: bars in the terminal; see [its chapter](guide::progress) |
//! | `async` | off | `Call::imap_stream` and its sisters: results as a `futures_core::Stream`, for any executor; `RecvStream` and `SendSink` for channels |
//! | `dashboard` | off | `dashboard`: a page in the browser that shows what pools are doing. See [its chapter](guide::dashboard) |
//! | `ndarray` | off | `SharedNdArray`: an array of the `ndarray` crate in shared memory, `rows` and `rows_mut` for its parts along axis 0; `WireArray`: an array as item or result. See [shared memory](guide::shared_memory) |
//! | `serde` | off | `Serde` and `SerdeDyn`: a type with serde's traits crosses, see [own types](guide::own_types); [`Insights`] can be serialised |
//! | `manager` | off | `managers`: a server for shared objects, with typed proxies; typed messages over sockets. See [its chapter](guide::manager) |
//!
//! # Limits
//!
//! * Linux with glibc on x86-64 and aarch64; Rust 1.88.
//! * Functions of shared libraries (plugins, Python extension modules) run under `Threads` only;
//!   set-uid programs under `Fork` and `Threads` only.
//! * `Fork` needs a process with one thread when the pool is built.
//! * A thread cannot be killed: under `Threads` a task that is over its time, or cancelled, is
//!   told.
//! * [`Call::view`] and [`Call::for_each_view`] trust the memory safety of the tasks; all else is
//!   checked or copied first.
//! * Collections and boxes nested more than 1000 deep do not cross.
//! * At most 4096 workers per pool.
#![forbid(unsafe_code)]

// * `pool.rs`: the pool; `builder.rs`, `builder/`: its options.
// * `settings.rs`: the options that may change between two calls; `sharing.rs`: the calls that
//   change the value that a pool shares.
// * `call/`: a call, set up step by step before it runs.
// * `imap.rs`: the lazy iterators.
// * `managers.rs`: the names of servers for shared objects; `dashboard.rs`: those of a dashboard.
// * `manager/`: a pool that is fed with single items and asked for single results.
// * `channel/`: the names of channels, and their ends for executors.
// * `logging.rs`, `builder/logging.rs`: what brings logs of workers to the program.
// * `progress.rs`: what shows how far calls are.
// * `chunk_tasks.rs`: cuts an input into chunks, without a pool; `cutting.rs`: its options.
// * `options.rs`: the types that options accept.
// * `guide.rs`: the guide, one chapter a module.

mod builder;
mod call;
pub mod channel;
mod chunk_tasks;
mod cutting;
#[cfg(feature = "dashboard")]
pub mod dashboard;
pub mod guide;
mod imap;
#[cfg(feature = "capture-log")]
pub mod logging;
mod manager;
#[cfg(feature = "manager")]
pub mod managers;
mod options;
mod pool;
pub mod progress;
mod settings;
mod sharing;

pub use builder::Builder;
#[cfg(feature = "async")]
pub use call::ImapStream;
pub use call::{Call, EveryWorker, OneItem, Parts};
#[doc(hidden)]
pub use call::{Chunked, Iterated, Located};
pub use chunk_tasks::{ChunkTasks, chunk_tasks};
pub use imap::{Imap, ImapResults, ImapUnorderedResults};
pub use manager::{ManagerBuilder, ManagerError, PoolManager, PoolProcess};
pub use options::ChunkSize;
#[doc(hidden)]
pub use options::{HasCallOptions, IntoCpuIds};
pub use pool::WorkerPool;
pub use pool_affinity::{CpuIds, CpuSet, Placement, Plan, Topology, cpu_count, usable_cpus};
pub use pool_core::{
    ActiveChild, Activity, AsCompleted, AsCompletedTimeout, AsyncResult, CallSnapshot, CancelToken,
    Cause, Chunks, CurrentProcess, Error, ExitStatus, ForkWithThreads, Form, InPlace, Insights,
    InsightsOptions, LongTask, NoItem, OnWorker, Outcome, Output, OutputEvent, Owned,
    ParentProcess, ParseStartMethodError, Part, PartMut, Plain, PlainForm, Process, ProcessBuilder,
    ProcessError, ProcessStatus, Refused, Runnable, Shaped, StartMethod, Starting, Stream,
    TaskError, TaskOutput, TaskTimes, TryError, WaitFor, WatchAll, WatchedPool, With, WithOnWorker,
    Worker, WorkerActivity, WorkerSteps, active_children, as_completed, as_completed_timeout,
    current_process, init, parent_process, wait, watch_all, watched_pools,
};
/// The name of a [`SharedObject`] where it is what a pool shares.
#[doc(no_inline)]
pub use pool_ipc::SharedObject as View;
#[cfg(feature = "ndarray")]
pub use pool_ipc::{
    ArchivedNdArray, ArchivedWireArray, ArrayError, Rows, SharedNdArray, SharedView, WireArray,
};
#[cfg(feature = "serde")]
pub use pool_ipc::{ArchivedSerde, ArchivedSerdeDyn, Serde, SerdeDyn, SerdeError};
pub use pool_ipc::{
    Recursive, SealError, SegmentFault, SerdeFault, SharedObject, Wire, WireFault, rkyv, wire,
};
pub use pool_shm::{
    Bitwise, Element, Error as ShmError, ExclusiveElements, LockError, Number, SharedArray,
    SharedBarrier, SharedBarrierWaitResult, SharedCondvar, SharedEvent, SharedMutex,
    SharedMutexGuard, SharedPermit, SharedReadGuard, SharedReentrantMutex,
    SharedReentrantMutexGuard, SharedRwLock, SharedSemaphore, SharedValue, SharedWriteGuard,
    bytemuck,
};

/// What a call of this crate answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What most programs import.
pub mod prelude {
    pub use crate::{
        AsyncResult, Error, StartMethod, TaskError, View, Wire, Worker, WorkerPool, wire,
    };
}

/// The examples of the README, as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
