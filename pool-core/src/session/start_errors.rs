//! What callers are told of a process that does not start.

use std::io;

use crate::{error::Error, protocol::StartFault};

/// In place of an error number: the program locks what it maps, and may lock no more.
pub(super) const MEMORY_LOCKED: i32 = -2;

/// The zygote could not begin. The next call tries again.
pub(super) fn no_zygote(fault: StartFault) -> Error {
    match fault {
        StartFault::Threads(threads) => Error::InitialiserThreads { threads: threads as usize },
        StartFault::System(errno) => Error::resources(
            "setting up the process that starts the pool's workers",
            io::Error::from_raw_os_error(errno),
        ),
    }
}

/// A worker could not be started, with this error number or [`MEMORY_LOCKED`].
pub(super) fn not_started(errno: i32) -> Error {
    if errno == MEMORY_LOCKED {
        let why = "the program locks what it maps (mlockall with MCL_FUTURE) and may lock no more: \
                   raise RLIMIT_MEMLOCK (ulimit -l), or lower arena_limit";
        Error::resources("mapping the memory of a worker", why)
    } else {
        Error::resources("starting a worker process", io::Error::from_raw_os_error(errno))
    }
}
