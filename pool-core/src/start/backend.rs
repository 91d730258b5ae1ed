//! What a crew of workers is to be like, and what a start method makes of it.

use crate::session::Session;
#[cfg(feature = "threads")]
use crate::threads::{Claim, ThreadCrew};

/// What workers live in.
#[derive(Debug)]
pub(crate) enum Crew {
    Processes(std::sync::Arc<Session>),
    #[cfg(feature = "threads")]
    Threads(std::sync::Arc<ThreadCrew>),
}

/// While it lives threads do not end; see [`Crew::claim`]. A session may: it starts new workers for calls that come then.
#[derive(Debug, Default)]
pub(crate) struct CrewClaim {
    #[cfg(feature = "threads")]
    _threads: Option<Claim>,
}

impl CrewClaim {
    /// The crew knows the call.
    pub(crate) fn release(self) {}
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

    /// See [`crate::pool::Pool::stop_and_join`].
    pub(crate) fn stop(&self) {
        match self {
            Self::Processes(session) => session.stop(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.stop(),
        }
    }

    /// Another one takes its place: its workers end in order with the last of its calls.
    pub(crate) fn retire(&self) {
        match self {
            Self::Processes(session) => session.retire(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.retire(),
        }
    }

    /// Waits while it is being stopped.
    pub(crate) fn wait_until_stopped(&self) {
        match self {
            Self::Processes(session) => session.wait_until_stopped(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }

    /// See [`crate::pool::Pool::terminate`].
    pub(crate) fn terminate(&self) {
        match self {
            Self::Processes(session) => session.terminate(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.terminate(),
        }
    }

    /// Its pool is dropped: a job that outlives the pool finds its workers killed.
    pub(crate) fn abandon(&self) {
        match self {
            // Nobody else has it: it ends when it is dropped.
            Self::Processes(session) if std::sync::Arc::strong_count(session) == 1 => {}
            Self::Processes(session) => {
                session.terminate();
                session.end();
            }
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.terminate(),
        }
    }

    /// Whether no call uses it.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_idle(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.is_idle(),
        }
    }

    /// Whether its workers live on from call to call, from now on.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        match self {
            Self::Processes(session) => session.set_keep_alive(on),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.set_keep_alive(on),
        }
    }

    /// Waits until every worker that is at its exit has ended.
    pub(crate) fn wait_for_leavers(&self) {
        match self {
            Self::Processes(session) => session.wait_for_leavers(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.wait_for_leavers(),
        }
    }

    /// Whether those who start its workers are gone.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_broken(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => false,
        }
    }

    /// Whether it has ended before anything was started: the next call makes another one.
    pub(crate) fn is_renewable(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_renewable(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => false,
        }
    }

    /// Sees to it that threads do not end before the call that begins is known to them.
    pub(crate) fn claim(&self) -> CrewClaim {
        match self {
            Self::Processes(_) => CrewClaim::default(),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => CrewClaim { _threads: Some(crew.claim()) },
        }
    }

    /// Sees to it that threads do not end before the call that begins is known to them; none where
    /// they have ended with the call that they were made for.
    pub(crate) fn claim_unless_over(&self) -> Option<CrewClaim> {
        match self {
            Self::Processes(_) => Some(CrewClaim::default()),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => {
                crew.claim_unless_over().map(|claim| CrewClaim { _threads: Some(claim) })
            }
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
