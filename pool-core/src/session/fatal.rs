//! Why a call cannot go on.

use crate::{
    error::{Error, StartFailure},
    protocol::StartFault,
};

/// Why a job cannot go on.
#[derive(Debug, Clone)]
pub(crate) enum Fatal {
    Foreign,
    Broken,
    Terminated,
    Cancelled,
    WorkersDie(String),
    NotStarted(i32),
    /// The zygote could not begin. The next call tries again.
    NoZygote(StartFault),
    /// This worker failed before it could take chunks.
    Start(StartFailure, u32),
}

/// Why there is no block for items.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// Nothing is under way that could give room back.
    Never,
    Fatal(Fatal),
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Foreign => Self::ForeignProcess,
            Fatal::Broken => Self::PoolBroken,
            Fatal::Terminated => Self::Terminated,
            Fatal::Cancelled => Self::Cancelled,
            Fatal::WorkersDie(how) => Self::WorkersDie(how),
            Fatal::Start(failure, worker) => failure.into_error(worker),
            Fatal::NoZygote(StartFault::Threads(threads)) => {
                Self::InitialiserThreads { threads: threads as usize }
            }
            Fatal::NoZygote(StartFault::System(errno)) => Self::Resources {
                what: "setting up the process that starts the pool's workers",
                source: std::io::Error::from_raw_os_error(errno).into(),
            },
            Fatal::NotStarted(MEMORY_LOCKED) => Self::Resources {
                what: "mapping the memory of a worker",
                source: "the program locks what it maps (mlockall with MCL_FUTURE) and may lock no more: \
                         raise RLIMIT_MEMLOCK (ulimit -l), or lower arena_limit"
                    .into(),
            },
            Fatal::NotStarted(errno) => Self::Resources {
                what: "starting a worker process",
                source: std::io::Error::from_raw_os_error(errno).into(),
            },
        }
    }
}

/// In place of an error number: the program locks what it maps, and may lock no more.
pub(super) const MEMORY_LOCKED: i32 = -2;
