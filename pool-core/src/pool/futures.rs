//! Futures of a pool: calls whose results are waited for later.

use std::{borrow::Cow, sync::Arc};

use super::{Pool, slot::PoolQueue};
#[cfg(feature = "threads")]
use crate::futures::ThreadQueue;
use crate::{
    compact::Compact,
    engine::Pace,
    error::Error,
    futures::{AsyncResult, AsyncValues, ProcessQueue, Refused, Terms, Unaccepted},
    job::{Job, JobOptions, Transport},
    shared::SharedValue,
    start::{Backend, BackendClaim},
    start_method::StartMethod,
    task::{Portable, SharedType},
};

/// A handle on all values of a call, or the call's items.
type Handed<A, R> = Result<AsyncResult<Vec<R>>, Refused<Vec<A>>>;

/// A queue, its backend, under Threads the shared value, and a claim that keeps the threads from
/// ending, which must be released soon.
type Place = (PoolQueue, Backend, Option<SharedValue>, BackendClaim);

/// Converts the refusal for the caller.
#[cold]
fn give_back<A>(refused: Refused<Compact<A>>) -> Box<Refused<A>> {
    Box::new(Refused { item: refused.item.into_inner(), error: refused.error })
}

impl Pool {
    /// Hands a call to the workers and returns at once, or when there is room for the call. Only
    /// options that concern one item count.
    ///
    /// # Errors
    ///
    /// A function that cannot be sent to the workers, an item that cannot be encoded, a pool that
    /// cannot be used, [`Error::ResultsUnread`]; the item comes back.
    pub fn apply_async<F: Portable<Context = ()>>(
        &self,
        item: F::Item,
        function: F::Function,
        options: &JobOptions,
    ) -> Result<AsyncResult<F::Output>, Box<Refused<F::Item>>> {
        self.hand_in::<F>(Compact::new(item), function, options).map_err(give_back)
    }

    /// Makes the call of [`Pool::apply_async`] with an item that is cheap to move.
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
            // A call that comes too late for its threads is handed in again.
            let place =
                self.place_for::<F>().map(|(queue, backend, shared, _)| (queue, backend, shared));
            let accepted = match place {
                Ok((PoolQueue::Processes(queue), ..)) => queue.submit::<F>(item, function, terms),
                #[cfg(feature = "threads")]
                Ok((PoolQueue::Threads(queue), Backend::Threads(backend), shared)) => {
                    queue.submit::<F>(&backend, shared, item, function, terms.limit)
                }
                #[cfg(feature = "threads")]
                Ok(_) => unreachable!("a queue is one of its backend"),
                Err(error) => return Err(Refused { item, error }),
            };
            match accepted {
                Ok(result) => return Ok(result.kill_running(options.kill_running)),
                Err(Unaccepted::Refused(refused)) => return Err(refused),
                // The pool was stopped just now.
                Err(Unaccepted::Closed(back)) => item = back,
            }
        }
    }

    /// Hands a whole map to the workers and returns at once; the future holds the values in input
    /// order, or the first failure.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::apply_async`], and invalid options; the items come back.
    pub fn map_async<F: Portable>(
        &self,
        function: F::Function,
        context: F::Context,
        items: Vec<F::Item>,
        options: &JobOptions,
    ) -> Handed<F::Item, F::Output> {
        let (mut items, context) = (items, Arc::new(context));
        loop {
            let prepared = self.background::<F>(function, &context, options, false);
            let (queue, transport, options) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return Err(Refused { item: items, error }),
            };
            let job = self.background_job(transport, items.into_iter(), &options, Pace::Background);
            let accepted = match queue {
                PoolQueue::Processes(queue) => queue.submit_map(job),
                #[cfg(feature = "threads")]
                PoolQueue::Threads(queue) => queue.submit_map(job),
            };
            match accepted {
                Ok(result) => return Ok(result.kill_running(options.kill_running)),
                // The pool was stopped just now.
                Err(back) => items = back,
            }
        }
    }

    /// A stream over the values of a job for executors, in input order or in order of arrival, up
    /// to the first failure. Polling it pulls the input; nothing runs before the first poll.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`].
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
            let (queue, transport, options) =
                self.background::<F>(function, &context, options, true)?;
            let job = self.background_job(transport, items, &options, Pace::Lazy);
            let accepted = match queue {
                PoolQueue::Processes(queue) => queue.stream(job, ordered),
                #[cfg(feature = "threads")]
                PoolQueue::Threads(queue) => queue.stream(job, ordered),
            };
            match accepted {
                Ok(stream) => return Ok(stream),
                Err(back) => items = back,
            }
        }
    }

    /// Prepares a job that runs in the background: its queue, and the way to the backend of that
    /// queue.
    fn background<'o, F: Portable>(
        &self,
        function: F::Function,
        context: &Arc<F::Context>,
        options: &'o JobOptions,
        lazy: bool,
    ) -> Result<(PoolQueue, Transport<F>, Cow<'o, JobOptions>), Error> {
        options.check()?;
        self.check_worker("on_worker", options)?;
        let options = self.with_order_tasks(self.complete(options));
        let (queue, backend, shared, claim) = self.place_for::<F>()?;
        match &queue {
            PoolQueue::Processes(queue) => queue.admit()?,
            #[cfg(feature = "threads")]
            PoolQueue::Threads(queue) => queue.admit()?,
        }
        let transport =
            self.transport_of((backend, shared), function, context.clone(), &options, lazy)?;
        claim.release();
        Ok((queue, transport, options))
    }

    fn background_job<F: Portable, I: Iterator<Item = F::Item>>(
        &self,
        transport: Transport<F>,
        items: I,
        options: &JobOptions,
        pace: Pace,
    ) -> Job<F, I> {
        let job = Job::new(transport, items, options, self.plan.n_jobs, pace);
        job.limit_chunks(self.settings.lifespan())
    }

    /// The queue of the present backend, for tasks of this form.
    fn place_for<F: Portable>(&self) -> Result<Place, Error> {
        self.refuse_if_foreign()?;
        self.plan.life.check_state(F::keeps())?;
        let threads = self.plan.method == StartMethod::Threads;
        let shared = if threads { self.value_here(F::shares())? } else { None };
        let (queue, backend, claim) = self.queue(F::shares())?;
        Ok((queue, backend, shared, claim))
    }

    /// The queue of the present backend; `wanted`: the type that its shared value must have.
    fn queue(
        &self,
        wanted: Option<SharedType>,
    ) -> Result<(PoolQueue, Backend, BackendClaim), Error> {
        loop {
            match self.try_queue(wanted)? {
                None => {} // the next threads are new ones
                Some((Some(queue), backend, claim)) => return Ok((queue, backend, claim)),
                Some((None, backend, claim)) => {
                    claim.release();
                    let queues = self.slot()?.queues.clone();
                    queues.iter().for_each(PoolQueue::resign);
                    backend.wait_until_stopped();
                }
            }
        }
    }

    /// The queue of the present backend, or no queue while the pool is being stopped; `None` where
    /// the threads have ended with a call, and were retired.
    fn try_queue(
        &self,
        wanted: Option<SharedType>,
    ) -> Result<Option<(Option<PoolQueue>, Backend, BackendClaim)>, Error> {
        let (past, _ended);
        let mut over = Vec::new(); // all dropped without the lock
        let (_paused, mut slot) = self.slot_for_backend()?;
        slot.sharing.check(wanted)?;
        // Threads that end with the call that they were started for cannot be used for futures.
        let ends = self.plan.method == StartMethod::Threads && !self.settings.keep_alive();
        let present = slot.backend.as_ref();
        let serves =
            present.is_some_and(|backend| slot.queues.iter().any(|queue| queue.serves(backend)));
        past = if ends && slot.used && !serves { slot.retire() } else { None };
        self.open_backend(&mut slot)?;
        let backend = slot.backend.as_ref().map(Backend::share).expect("made just now");
        let Some(claim) = backend.claim_unless_over() else {
            _ended = slot.retire();
            return Ok(None);
        };
        let anew = !std::mem::replace(&mut slot.used, true);
        if anew || past.is_some() {
            self.plan.exits.clear();
        }
        if let Some(queue) = slot.queues.iter().find(|queue| queue.serves(&backend)) {
            if !self.settings.keep_alive()
                && let PoolQueue::Processes(queue) = queue
                && queue.begins_alone()
            {
                // Results of the call before.
                self.plan.exits.clear();
            }
            return Ok(Some((Some(queue.clone()), backend, claim)));
        }
        // A queue that is being drained stays, for other threads that stop the pool.
        let is_over = |queue: &mut PoolQueue| queue.is_over() && !queue.holds_up(&backend);
        over.extend(slot.queues.extract_if(.., is_over));
        // With the lock held: a thread that stops the pool finds the queue in the slot, or none is
        // opened.
        let budget = self.budget.clone();
        let queue = match &backend {
            Backend::Processes(session) => {
                let queue = ProcessQueue::open(session.clone(), self.plan.n_jobs, budget)?;
                queue.map(PoolQueue::Processes)
            }
            #[cfg(feature = "threads")]
            Backend::Threads(backend) => {
                Some(PoolQueue::Threads(ThreadQueue::open(backend, budget)))
            }
        };
        slot.queues.extend(queue.clone());
        Ok(Some((queue, backend, claim)))
    }
}
