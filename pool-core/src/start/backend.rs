//! What a start method makes: the workers of a pool, processes or threads.

use crate::session::Session;
#[cfg(feature = "threads")]
use crate::threads::{Claim, ThreadBackend};

/// What workers live in.
#[derive(Debug)]
pub(crate) enum Backend {
    Processes(std::sync::Arc<Session>),
    #[cfg(feature = "threads")]
    Threads(std::sync::Arc<ThreadBackend>),
}

/// While it lives threads do not end; see [`Backend::claim`]. A session may: it starts new workers
/// for calls that come then.
#[derive(Debug, Default)]
pub(crate) struct BackendClaim {
    #[cfg(feature = "threads")]
    _threads: Option<Claim>,
}

impl BackendClaim {
    /// The backend knows the call.
    pub(crate) fn release(self) {}
}

impl Backend {
    /// What tells this backend from all others.
    pub(crate) fn id(&self) -> usize {
        match self {
            Self::Processes(session) => std::sync::Arc::as_ptr(session).addr(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => std::sync::Arc::as_ptr(backend).addr(),
        }
    }

    /// Whether the calling thread is one of its workers.
    pub(crate) fn is_mine(&self) -> bool {
        match self {
            Self::Processes(_) => false,
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.is_mine(),
        }
    }

    /// See [`crate::pool::Pool::stop_and_join`].
    pub(crate) fn stop(&self) {
        match self {
            Self::Processes(session) => session.stop(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.stop(),
        }
    }

    /// Another one takes its place: its workers end in order with the last of its calls.
    pub(crate) fn retire(&self) {
        match self {
            Self::Processes(session) => session.retire(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.retire(),
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
            Self::Threads(backend) => backend.terminate(),
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
            Self::Threads(backend) => backend.terminate(),
        }
    }

    /// Whether no call uses it.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_idle(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.is_idle(),
        }
    }

    /// Whether its workers live on from call to call, from now on.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        match self {
            Self::Processes(session) => session.set_keep_alive(on),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.set_keep_alive(on),
        }
    }

    /// Waits until every worker that is at its exit has ended.
    pub(crate) fn wait_for_exiting(&self) {
        match self {
            Self::Processes(session) => session.wait_for_exiting(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.wait_for_exiting(),
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
    pub(crate) fn claim(&self) -> BackendClaim {
        match self {
            Self::Processes(_) => BackendClaim::default(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => BackendClaim { _threads: Some(backend.claim()) },
        }
    }

    /// Sees to it that threads do not end before the call that begins is known to them; none where
    /// they have ended with the call that they were made for.
    pub(crate) fn claim_unless_over(&self) -> Option<BackendClaim> {
        match self {
            Self::Processes(_) => Some(BackendClaim::default()),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => {
                backend.claim_unless_over().map(|claim| BackendClaim { _threads: Some(claim) })
            }
        }
    }

    /// The same backend once more.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::Processes(session) => Self::Processes(session.clone()),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => Self::Threads(backend.clone()),
        }
    }
}
