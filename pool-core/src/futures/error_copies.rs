//! An error once more, for those who are told of it beside the one who gets it.

use crate::error::Error;

impl Error {
    /// A copy of the error; a source of the system becomes text.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.clone()),
            Self::InvalidInput(text) => Self::InvalidInput(text.clone()),
            Self::ForkWithThreads { threads } => Self::ForkWithThreads { threads: *threads },
            Self::ForkWhileBorrowed => Self::ForkWhileBorrowed,
            Self::NotInitialised => Self::NotInitialised,
            Self::CannotExecute(text) => Self::CannotExecute(text.clone()),
            Self::ForeignFunction => Self::ForeignFunction,
            Self::NotSupported { method, what } => Self::NotSupported { method: *method, what },
            Self::ForeignProcess => Self::ForeignProcess,
            Self::NestedUse => Self::NestedUse,
            Self::NestedPool => Self::NestedPool,
            Self::InitialiserThreads { threads } => Self::InitialiserThreads { threads: *threads },
            Self::PoolBroken => Self::PoolBroken,
            Self::Terminated => Self::Terminated,
            Self::Cancelled => Self::Cancelled,
            Self::ResultsUnread { bytes, limit } => {
                Self::ResultsUnread { bytes: *bytes, limit: *limit }
            }
            Self::QueueFull => Self::QueueFull,
            Self::NotReady => Self::NotReady,
            Self::ResultTaken => Self::ResultTaken,
            Self::WorkersDie(how) => Self::WorkersDie(how.clone()),
            Self::SharedFailed(cause) => Self::SharedFailed(cause.clone()),
            Self::SharedLeftThreads { threads } => {
                Self::SharedLeftThreads { threads: threads.clone() }
            }
            Self::WorkerStartFailed(cause) => Self::WorkerStartFailed(cause.clone()),
            Self::WorkerInitFailed { worker, cause } => {
                Self::WorkerInitFailed { worker: *worker, cause: cause.clone() }
            }
            Self::WorkerExitFailed { worker, cause } => {
                Self::WorkerExitFailed { worker: *worker, cause: cause.clone() }
            }
            Self::ItemTooLarge { bytes, limit } => {
                Self::ItemTooLarge { bytes: *bytes, limit: *limit }
            }
            Self::Encode { index } => Self::Encode { index: *index },
            Self::Handle { index, fault } => Self::Handle { index: *index, fault: *fault },
            Self::Resources { what, source } => {
                Self::Resources { what, source: source.to_string().into() }
            }
        }
    }
}
