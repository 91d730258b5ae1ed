//! What a crew of workers is to be like, and what a start method makes of it.

use pool_affinity::Plan;

use super::StartMethod;
use crate::session::Session;
#[cfg(feature = "threads")]
use crate::threads::ThreadCrew;

/// What was asked for; checked.
#[derive(Debug, Clone)]
pub(crate) struct CrewPlan {
    pub(crate) method: StartMethod,
    pub(crate) n_jobs: usize,
    pub(crate) cpus: Plan,
    /// Bytes that one arena may hold.
    pub(crate) arena_limit: u64,
    /// The caller answers for forking beside other threads.
    pub(crate) fork_beside_threads: bool,
}

/// What workers live in.
#[derive(Debug)]
pub(crate) enum Crew {
    Processes(std::sync::Arc<Session>),
    #[cfg(feature = "threads")]
    Threads(std::sync::Arc<ThreadCrew>),
}

impl Crew {
    /// What tells this crew from all others.
    pub(crate) fn id(&self) -> usize {
        match self {
            Self::Processes(session) => std::sync::Arc::as_ptr(session).addr(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => std::sync::Arc::as_ptr(crew).addr(),
        }
    }

    /// Whether the calling thread is one of its workers.
    pub(crate) fn is_mine(&self) -> bool {
        match self {
            Self::Processes(_) => false,
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.is_mine(),
        }
    }

    /// The same crew once more.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Processes(session) => Self::Processes(session.clone()),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => Self::Threads(crew.clone()),
        }
    }
}
