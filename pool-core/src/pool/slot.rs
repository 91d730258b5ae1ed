//! What a pool has at the moment: its crew, and what that shares.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    config::CrewPlan,
    error::Error,
    futures::ProcessDesk,
    session::Session,
    shared::{Shared, Source},
    start::Crew,
    start_method::StartMethod,
    task::SharedType,
};

/// See the module.
#[derive(Debug)]
pub(super) struct CrewSlot {
    pub(super) crew: Option<Crew>,
    /// Whether a call has used the present workers.
    pub(super) used: bool,
    pub(super) sharing: Sharing,
    /// Desks for the futures of this crew and of retired ones that have not ended.
    pub(super) desks: Vec<CrewDesk>,
    /// Crews that newer ones have replaced; their unfinished calls keep them.
    retired: Vec<Retired>,
}

/// What the workers of a crew share.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) kind: SharedType,
    pub(super) source: Source,
}

/// Where the futures of a crew are.
#[derive(Debug, Clone)]
pub(super) enum CrewDesk {
    Processes(Arc<ProcessDesk>),
    #[cfg(feature = "threads")]
    Threads(Arc<crate::futures::ThreadDesk>),
}

#[derive(Debug)]
enum Retired {
    Processes(Weak<Session>),
    #[cfg(feature = "threads")]
    Threads(Weak<crate::threads::ThreadCrew>),
}

impl Sharing {
    pub(super) fn new(shared: Shared, plan: &CrewPlan) -> Result<Self, Error> {
        let kind = shared.kind();
        plan.life.check_shared(kind)?;
        let source = shared.prepare(plan.method)?;
        if plan.method != StartMethod::Threads {
            source.papers(None)?; // a function that no process would find is refused here
        }
        Ok(Self { kind, source })
    }

    /// Refuses a function that takes something else.
    pub(super) fn check(&self, wanted: Option<SharedType>) -> Result<(), Error> {
        match wanted {
            Some(wanted) if wanted.id != self.kind.id => Err(Error::InvalidInput(format!(
                "the function takes a worker that shares `{}`, but this pool shares `{}`",
                wanted.name, self.kind.name
            ))),
            _ => Ok(()),
        }
    }
}

impl CrewSlot {
    pub(super) fn new(crew: Option<Crew>, sharing: Sharing) -> Self {
        Self { crew, used: false, sharing, desks: Vec::new(), retired: Vec::new() }
    }

    /// Lets the next call begin with a fresh crew. What the old one still runs it finishes; dropping it may wait for that.
    pub(super) fn retire(&mut self) -> Option<Crew> {
        let crew = self.crew.take()?;
        crew.retire();
        self.used = false;
        self.desks.iter().for_each(CrewDesk::close);
        self.retired.retain(|crew| crew.upgrade().is_some());
        self.retired.push(match &crew {
            Crew::Processes(session) => Retired::Processes(Arc::downgrade(session)),
            #[cfg(feature = "threads")]
            Crew::Threads(crew) => Retired::Threads(Arc::downgrade(crew)),
        });
        Some(crew)
    }

    /// The crews that were retired and have unfinished calls.
    pub(super) fn retired(&self) -> Vec<Crew> {
        self.retired.iter().filter_map(Retired::upgrade).collect()
    }
}

impl Retired {
    fn upgrade(&self) -> Option<Crew> {
        match self {
            Self::Processes(session) => session.upgrade().map(Crew::Processes),
            #[cfg(feature = "threads")]
            Self::Threads(crew) => crew.upgrade().map(Crew::Threads),
        }
    }
}

impl CrewDesk {
    /// Whether it takes in calls for the crew.
    pub(super) fn serves(&self, crew: &Crew) -> bool {
        match (self, crew) {
            (Self::Processes(desk), Crew::Processes(session)) => {
                desk.is_of(session) && desk.is_open()
            }
            #[cfg(feature = "threads")]
            (Self::Threads(desk), Crew::Threads(crew)) => desk.is_of(crew) && desk.is_open(),
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Whether every call that it took in has ended.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Processes(desk) => desk.is_over(),
            #[cfg(feature = "threads")]
            Self::Threads(desk) => desk.is_over(),
        }
    }

    /// Whether whoever stops the crew has to find it.
    pub(super) fn holds_up(&self, crew: &Crew) -> bool {
        match (self, crew) {
            (Self::Processes(desk), Crew::Processes(session)) => {
                desk.is_of(session) && desk.has_job()
            }
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Whether it is the same one.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Processes(one), Self::Processes(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "threads")]
            (Self::Threads(one), Self::Threads(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "threads")]
            _ => false,
        }
    }

    /// Takes nothing in any more.
    fn close(&self) {
        match self {
            Self::Processes(desk) => desk.close(),
            #[cfg(feature = "threads")]
            Self::Threads(desk) => desk.close(),
        }
    }

    /// As `close`, and waits until all is answered.
    pub(super) fn drain(&self) {
        match self {
            Self::Processes(desk) => desk.drain(),
            #[cfg(feature = "threads")]
            Self::Threads(desk) => desk.drain(),
        }
    }

    /// The calling thread waits for the end of a stop: if it runs a callback, that stop does not wait for it.
    pub(super) fn resign(&self) {
        match self {
            Self::Processes(desk) => desk.resign(),
            // They wait for no stop: calls get fresh threads.
            #[cfg(feature = "threads")]
            Self::Threads(_) => {}
        }
    }

    /// Takes nothing in any more; what is not answered is told that the pool was terminated.
    pub(super) fn terminate(&self) {
        match self {
            Self::Processes(desk) => desk.terminate(),
            #[cfg(feature = "threads")]
            Self::Threads(desk) => desk.terminate(),
        }
    }

    /// Terminates, and waits for the thread of the desk, at most for `limit`.
    pub(super) fn end(&self, limit: Option<Duration>) {
        match self {
            Self::Processes(desk) => desk.end(limit),
            #[cfg(feature = "threads")]
            Self::Threads(desk) => desk.end(limit),
        }
    }
}
