//! Futures of a pool.

use pool_ipc::Wire;

use super::{Pool, slot::CrewDesk};
#[cfg(feature = "threads")]
use crate::futures::ThreadDesk;
use crate::{
    error::Error,
    futures::{AsyncResult, ProcessDesk, Refused, Unaccepted},
    start::Crew,
};

impl Pool {
    /// Hands a call to the workers and returns at once, or when there is room for it.
    ///
    /// # Errors
    ///
    /// A function that cannot cross, an item that cannot be encoded, a pool that cannot be used, [`Error::ResultsUnread`]; the
    /// item comes back.
    pub fn apply_async<A: Wire, R: Wire>(
        &self,
        item: A,
        function: fn(A) -> R,
    ) -> Result<AsyncResult<R>, Refused<A>> {
        let mut item = item;
        loop {
            let accepted = match self.desk() {
                Ok((CrewDesk::Processes(desk), _)) => desk.submit(item, function),
                #[cfg(feature = "threads")]
                Ok((CrewDesk::Threads(desk), Crew::Threads(crew))) => match self.value_here(None) {
                    Ok(shared) => desk.submit(&crew, shared, item, function),
                    Err(error) => return Err(Refused { item, error }),
                },
                #[cfg(feature = "threads")]
                Ok(_) => unreachable!("a desk is one of its crew"),
                Err(error) => return Err(Refused { item, error }),
            };
            match accepted {
                Ok(result) => return Ok(result),
                Err(Unaccepted::Refused(refused)) => return Err(refused),
                // The pool was stopped at this very moment.
                Err(Unaccepted::Closed(back)) => item = back,
            }
        }
    }

    /// The desk of the present crew.
    fn desk(&self) -> Result<(CrewDesk, Crew), Error> {
        self.refuse_if_foreign()?;
        let mut slot = self.slot()?;
        self.open_crew(&mut slot)?;
        let crew = slot.crew.as_ref().map(Crew::share).expect("made just now");
        slot.used = true;
        if let Some(desk) = slot.desks.iter().find(|desk| desk.serves(&crew)) {
            return Ok((desk.clone(), crew));
        }
        slot.desks.retain(|desk| !desk.is_over());
        drop(slot);
        // Without the lock, since a pool that is being stopped is waited for here.
        let desk = match &crew {
            Crew::Processes(session) => {
                let (workers, limit) = (self.plan.n_jobs, self.settings.task_timeout());
                let budget = self.budget.clone();
                CrewDesk::Processes(ProcessDesk::open(session.clone(), workers, limit, budget)?)
            }
            #[cfg(feature = "threads")]
            Crew::Threads(crew) => {
                let budget = self.budget.clone();
                CrewDesk::Threads(ThreadDesk::open(crew, self.settings.task_timeout(), budget))
            }
        };
        let mut slot = self.slot()?;
        // Another thread may have been faster, or the crew may be another one by now.
        let is_present = slot.crew.as_ref().is_some_and(|now| now.id() == crew.id());
        let other = slot.desks.iter().find(|other| other.serves(&crew)).cloned();
        if let (true, None) = (is_present, &other) {
            slot.desks.push(desk.clone());
            return Ok((desk, crew));
        }
        drop(slot);
        desk.end();
        match other {
            Some(other) => Ok((other, crew)),
            None => self.desk(),
        }
    }
}
