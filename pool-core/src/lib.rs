//! Start methods, supervised worker processes and the scheduling engine.
//!
//! [`Process`] runs one function in one process; [`Pool`] keeps a crew of workers and runs [`Job`]s
//! on it. What the layers are and why stands in the workspace's `docs/architecture.md`.
#![doc = include_str!("../README.md")]
// What only one start method uses is idle where that method is compiled out.
#![cfg_attr(
    not(all(feature = "fork", feature = "forkserver", feature = "spawn", feature = "threads")),
    allow(dead_code, unused_imports, irrefutable_let_patterns)
)]

mod birth;
mod broker;
mod cancel;
mod compact;
mod engine;
mod error;
mod futures;
mod job;
mod journal;
mod life;
mod mutex;
mod packets;
mod pool;
mod process;
mod session;
mod shared;
mod stack;
mod start;
mod sys;
mod task;
mod template;
#[cfg(feature = "threads")]
mod threads;
mod worker;
mod zygote;

pub use birth::init;
pub use cancel::CancelToken;
pub use error::{Cause, Error, ExitStatus, TaskError};
pub use futures::{AsCompleted, AsyncResult, AsyncValues, Refused, WaitFor, as_completed, wait};
pub use job::{Chunks, Job, JobOptions, ResultStream, TryError, ValueStream};
pub use life::WorkerLife;
pub use pool::{ForkBesideThreads, Pool, PoolOptions};
pub use process::Process;
pub use shared::Shared;
#[doc(hidden)]
pub use stack::{is_large, with_room};
pub use start::{ParseStartMethodError, StartMethod};
pub use task::{Form, OnEvery, OnWorker, Plain, Portable, Starting, Viewing, WithContext, Worker};

/// Where a fresh copy of the executable begins, instead of in `main`.
pub(crate) fn birth_entry(birth: birth::Birth) -> ! {
    match birth.role {
        role @ (start::ROLE_ZYGOTE | start::ROLE_GUARDED_ZYGOTE) => {
            let papers = zygote::ZygotePapers::from_words(&birth.words);
            let fds = zygote::ZygoteFds::from_vec(birth.fds);
            let parent = nix::unistd::getppid();
            match (papers, fds) {
                (Some(papers), Some(fds)) if role == start::ROLE_ZYGOTE => {
                    zygote::reign_fresh(papers, fds, parent)
                }
                (Some(papers), Some(fds)) => zygote::reign_below(papers, fds, parent),
                _ => {}
            }
        }
        start::ROLE_WORKER => {
            let papers = worker::WorkerPapers::from_words(&birth.words);
            if let Some(papers) = papers {
                worker::live(&papers, || worker::from_descriptors(birth.fds))
            }
        }
        _ => {}
    }
    worker::end_quietly()
}
