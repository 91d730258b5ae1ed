//! Futures of a pool: calls whose results are waited for later.

use std::{borrow::Cow, sync::Arc};

use super::{Pool, slot::CrewDesk};
#[cfg(feature = "threads")]
use crate::futures::ThreadDesk;
use crate::{
    compact::Compact,
    engine::Pace,
    error::Error,
    futures::{AsyncResult, AsyncValues, ProcessDesk, Refused, Terms, Unaccepted},
    job::{Job, JobOptions, Lane},
    shared::SharedValue,
    start::{Crew, CrewClaim},
    start_method::StartMethod,
    task::{Portable, SharedType},
};

/// A handle on all values of a call, or its items back.
type Handed<A, R> = Result<AsyncResult<Vec<R>>, Refused<Vec<A>>>;

/// A desk, its crew, and under Threads what tasks share; and the word that its threads do not end
/// yet, which is not to be kept for long.
type Place = (CrewDesk, Crew, Option<SharedValue>, CrewClaim);

/// The refusal as the caller gets it.
#[cold]
fn give_back<A>(refused: Refused<Compact<A>>) -> Box<Refused<A>> {
    Box::new(Refused { item: refused.item.into_inner(), error: refused.error })
}

impl Pool {
    /// Hands a call to the workers and returns at once, or when there is room for it. Of the options those count that concern one item.
    ///
    /// # Errors
    ///
    /// A function that cannot cross, an item that cannot be encoded, a pool that cannot be used, [`Error::ResultsUnread`]; the
    /// item comes back.
    pub fn apply_async<F: Portable<Context = ()>>(
        &self,
        item: F::Item,
        function: F::Function,
        options: &JobOptions,
    ) -> Result<AsyncResult<F::Output>, Box<Refused<F::Item>>> {
        self.hand_in::<F>(Compact::new(item), function, options).map_err(give_back)
    }

    /// [`Pool::apply_async`] with an item that is cheap to move.
    fn hand_in<F: Portable<Context = ()>>(
        &self,
        item: Compact<F::Item>,
        function: F::Function,
        options: &JobOptions,
    ) -> Result<AsyncResult<F::Output>, Refused<Compact<F::Item>>> {
        let terms = match options.check() {
            Ok(()) => {
                let limit = options.task_timeout.or(self.settings.task_timeout());
                let grace = options.timeout_grace.unwrap_or(self.timeout_grace);
                Terms { limit, grace, retries: options.retries }
            }
            Err(error) => return Err(Refused { item, error }),
        };
        let mut item = item;
        loop {
            // A future that comes too late for its threads is handed in again.
            let place = self.place_for::<F>().map(|(desk, crew, shared, _)| (desk, crew, shared));
            let accepted = match place {
                Ok((CrewDesk::Processes(desk), ..)) => desk.submit::<F>(item, function, terms),
                #[cfg(feature = "threads")]
                Ok((CrewDesk::Threads(desk), Crew::Threads(crew), shared)) => {
                    desk.submit::<F>(&crew, shared, item, function, terms.limit)
                }
                #[cfg(feature = "threads")]
                Ok(_) => unreachable!("a desk is one of its crew"),
                Err(error) => return Err(Refused { item, error }),
            };
            match accepted {
                Ok(result) => return Ok(result.kill_running(options.kill_running)),
                Err(Unaccepted::Refused(refused)) => return Err(refused),
                // The pool was stopped at this very moment.
                Err(Unaccepted::Closed(back)) => item = back,
            }
        }
    }

    /// Hands a whole map to the workers and returns at once: the values in input order, or the first failure.
    ///
    /// # Errors
    ///
    /// As [`Pool::apply_async`], and options that mean nothing; the items come back.
    pub fn map_async<F: Portable>(
        &self,
        function: F::Function,
        context: F::Context,
        items: Vec<F::Item>,
        options: &JobOptions,
    ) -> Handed<F::Item, F::Output> {
        let (mut items, context) = (items, Arc::new(context));
        loop {
            let prepared = self.aside::<F>(function, &context, options, false);
            let (desk, lane, options) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return Err(Refused { item: items, error }),
            };
            let job = self.job_aside(lane, items.into_iter(), &options, Pace::Aside);
            let accepted = match desk {
                CrewDesk::Processes(desk) => desk.undertake(job),
                #[cfg(feature = "threads")]
                CrewDesk::Threads(desk) => desk.undertake(job),
            };
            match accepted {
                Ok(result) => return Ok(result.kill_running(options.kill_running)),
                // The pool was stopped at this very moment.
                Err(back) => items = back,
            }
        }
    }

    /// The values of a job for executors, in input order or as they come, up to the first failure. The input is pulled where the stream
    /// is polled; nothing runs before that.
    ///
    /// # Errors
    ///
    /// As [`Pool::job`].
    pub fn stream<F: Portable, I: Iterator<Item = F::Item>>(
        &self,
        function: F::Function,
        context: F::Context,
        items: I,
        options: &JobOptions,
        ordered: bool,
    ) -> Result<AsyncValues<F, I>, Error> {
        let (mut items, context) = (items, Arc::new(context));
        loop {
            let (desk, lane, options) = self.aside::<F>(function, &context, options, true)?;
            let job = self.job_aside(lane, items, &options, Pace::Lazy);
            let accepted = match desk {
                CrewDesk::Processes(desk) => desk.stream(job, ordered),
                #[cfg(feature = "threads")]
                CrewDesk::Threads(desk) => desk.stream(job, ordered),
            };
            match accepted {
                Ok(stream) => return Ok(stream),
                Err(back) => items = back,
            }
        }
    }

    /// The desk for a job that runs aside, and the way to the same crew.
    fn aside<'o, F: Portable>(
        &self,
        function: F::Function,
        context: &Arc<F::Context>,
        options: &'o JobOptions,
        lazy: bool,
    ) -> Result<(CrewDesk, Lane<F>, Cow<'o, JobOptions>), Error> {
        options.check()?;
        self.check_worker("on_worker", options)?;
        let options = self.with_turns(self.complete(options));
        let (desk, crew, shared, claim) = self.place_for::<F>()?;
        match &desk {
            CrewDesk::Processes(desk) => desk.admit()?,
            #[cfg(feature = "threads")]
            CrewDesk::Threads(desk) => desk.admit()?,
        }
        let lane = self.lane_of((crew, shared), function, context.clone(), &options, lazy)?;
        claim.release();
        Ok((desk, lane, options))
    }

    fn job_aside<F: Portable, I: Iterator<Item = F::Item>>(
        &self,
        lane: Lane<F>,
        items: I,
        options: &JobOptions,
        pace: Pace,
    ) -> Job<F, I> {
        let job = Job::new(lane, items, options, self.plan.n_jobs, pace);
        job.limit_chunks(self.settings.lifespan())
    }

    /// The desk of the present crew, for tasks of this form.
    fn place_for<F: Portable>(&self) -> Result<Place, Error> {
        self.refuse_if_foreign()?;
        self.plan.life.check_state(F::keeps())?;
        let threads = self.plan.method == StartMethod::Threads;
        let shared = if threads { self.value_here(F::shares())? } else { None };
        let (desk, crew, claim) = self.desk(F::shares())?;
        Ok((desk, crew, shared, claim))
    }

    /// The desk of the present crew; `wanted`: what that has to share.
    fn desk(&self, wanted: Option<SharedType>) -> Result<(CrewDesk, Crew, CrewClaim), Error> {
        loop {
            match self.try_desk(wanted)? {
                None => {} // the next ones are others
                Some((Some(desk), crew, claim)) => return Ok((desk, crew, claim)),
                Some((None, crew, claim)) => {
                    claim.release();
                    let desks = self.slot()?.desks.clone();
                    desks.iter().for_each(CrewDesk::resign);
                    crew.wait_until_stopped();
                }
            }
        }
    }

    /// The desk of the present crew, or no desk while the pool is being stopped; nothing where the
    /// threads have ended with a call, and were retired.
    fn try_desk(
        &self,
        wanted: Option<SharedType>,
    ) -> Result<Option<(Option<CrewDesk>, Crew, CrewClaim)>, Error> {
        let (past, _ended);
        let mut over = Vec::new(); // all dropped without the lock
        let (_paused, mut slot) = self.slot_for_crew()?;
        slot.sharing.check(wanted)?;
        // Threads that end with the call that they were made for are none for futures.
        let ends = self.plan.method == StartMethod::Threads && !self.settings.keep_alive();
        let present = slot.crew.as_ref();
        let serves = present.is_some_and(|crew| slot.desks.iter().any(|desk| desk.serves(crew)));
        past = if ends && slot.used && !serves { slot.retire() } else { None };
        self.open_crew(&mut slot)?;
        let crew = slot.crew.as_ref().map(Crew::share).expect("made just now");
        let Some(claim) = crew.claim_unless_over() else {
            _ended = slot.retire();
            return Ok(None);
        };
        let anew = !std::mem::replace(&mut slot.used, true);
        if anew || past.is_some() {
            self.plan.exits.clear();
        }
        if let Some(desk) = slot.desks.iter().find(|desk| desk.serves(&crew)) {
            if !self.settings.keep_alive()
                && let CrewDesk::Processes(desk) = desk
                && desk.begins_alone()
            {
                // Those of the call before.
                self.plan.exits.clear();
            }
            return Ok(Some((Some(desk.clone()), crew, claim)));
        }
        // One that is being drained stays, for others who stop the pool.
        let is_over = |desk: &mut CrewDesk| desk.is_over() && !desk.holds_up(&crew);
        over.extend(slot.desks.extract_if(.., is_over));
        // With the lock: whoever stops the pool finds the desk there, or none is opened.
        let budget = self.budget.clone();
        let desk = match &crew {
            Crew::Processes(session) => {
                let desk = ProcessDesk::open(session.clone(), self.plan.n_jobs, budget)?;
                desk.map(CrewDesk::Processes)
            }
            #[cfg(feature = "threads")]
            Crew::Threads(crew) => Some(CrewDesk::Threads(ThreadDesk::open(crew, budget))),
        };
        slot.desks.extend(desk.clone());
        Ok(Some((desk, crew, claim)))
    }
}
