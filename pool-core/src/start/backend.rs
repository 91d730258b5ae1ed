//! The workers that a start method starts: processes or threads.

use std::sync::Arc;

use crate::session::Session;
#[cfg(feature = "threads")]
use crate::threads::{Claim, ThreadBackend};

/// Returns a backend as long as something else keeps it alive.
pub(crate) type WeakBackend = Box<dyn Fn() -> Option<Backend> + Send>;

/// The workers of a pool.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Processes(Arc<Session>),
    #[cfg(feature = "threads")]
    Threads(Arc<ThreadBackend>),
}

/// Evaluates the expression with the session or the set of threads of the backend.
macro_rules! either {
    ($backend:expr, $workers:ident => $value:expr) => {
        match $backend {
            Backend::Processes($workers) => $value,
            #[cfg(feature = "threads")]
            Backend::Threads($workers) => $value,
        }
    };
}

/// Keeps threads from ending while it lives; see [`Backend::claim`]. A session needs none: it
/// starts new workers for new calls.
#[derive(Debug, Default)]
pub(crate) struct BackendClaim {
    #[cfg(feature = "threads")]
    _threads: Option<Claim>,
}

impl BackendClaim {
    /// Releases the claim: the call is among the backend's jobs.
    pub(crate) fn release(self) {}
}

impl Backend {
    /// The backend's identity.
    pub(crate) fn id(&self) -> usize {
        either!(self, workers => Arc::as_ptr(workers).addr())
    }

    /// Whether the calling thread is one of its workers.
    pub(crate) fn is_mine(&self) -> bool {
        match self {
            Self::Processes(_) => false,
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.is_mine(),
        }
    }

    /// Waits for blocking calls and ends the workers in order: see
    /// [`crate::pool::Pool::stop_and_join`].
    pub(crate) fn stop(&self) {
        either!(self, workers => workers.stop())
    }

    /// Notes that another backend replaces this one: its workers end in order with the last of its
    /// calls.
    pub(crate) fn retire(&self) {
        either!(self, workers => workers.retire())
    }

    /// Waits while another thread stops it.
    pub(crate) fn wait_until_stopped(&self) {
        match self {
            Self::Processes(session) => session.wait_until_stopped(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }

    /// Kills the workers and ends all calls: see [`crate::pool::Pool::terminate`].
    pub(crate) fn terminate(&self) {
        either!(self, workers => workers.terminate())
    }

    /// Ends the backend with its pool: a job that outlives the pool finds its workers killed.
    pub(crate) fn abandon(&self) {
        match self {
            // This is the last reference: dropping it ends the session.
            Self::Processes(session) if Arc::strong_count(session) == 1 => {}
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
        either!(self, workers => workers.is_idle())
    }

    /// Sets whether its workers live on from call to call.
    pub(crate) fn set_keep_alive(&self, on: bool) {
        either!(self, workers => workers.set_keep_alive(on))
    }

    /// Waits until every worker that is at its exit has ended.
    pub(crate) fn wait_for_exiting(&self) {
        either!(self, workers => workers.wait_for_exiting())
    }

    /// Whether the processes that start its workers are gone.
    pub(crate) fn is_broken(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_broken(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => false,
        }
    }

    /// Whether it has ended before any worker was started: the next call opens another one.
    pub(crate) fn is_renewable(&self) -> bool {
        match self {
            Self::Processes(session) => session.is_renewable(),
            #[cfg(feature = "threads")]
            Self::Threads(_) => false,
        }
    }

    /// Keeps threads from ending until the call that begins is among their jobs.
    pub(crate) fn claim(&self) -> BackendClaim {
        match self {
            Self::Processes(_) => BackendClaim::default(),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => BackendClaim { _threads: Some(backend.claim()) },
        }
    }

    /// Whether threads have ended with the call that they were started for, or are about to.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Processes(_) => false,
            #[cfg(feature = "threads")]
            Self::Threads(backend) => backend.is_over(),
        }
    }

    /// Keeps threads from ending until the call that begins is among their jobs; `None` where they
    /// have ended with the call that they were started for.
    pub(crate) fn claim_unless_over(&self) -> Option<BackendClaim> {
        match self {
            Self::Processes(_) => Some(BackendClaim::default()),
            #[cfg(feature = "threads")]
            Self::Threads(backend) => {
                backend.claim_unless_over().map(|claim| BackendClaim { _threads: Some(claim) })
            }
        }
    }

    /// A function that returns the backend while it has unfinished calls or other references.
    pub(crate) fn downgrade(&self) -> WeakBackend {
        match self {
            Self::Processes(session) => {
                let session = Arc::downgrade(session);
                Box::new(move || session.upgrade().map(Self::Processes))
            }
            #[cfg(feature = "threads")]
            Self::Threads(backend) => {
                let backend = Arc::downgrade(backend);
                Box::new(move || backend.upgrade().map(Self::Threads))
            }
        }
    }
}
