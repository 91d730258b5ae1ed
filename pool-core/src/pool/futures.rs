//! Futures of a pool: calls whose results are waited for later.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Pool, portable_transport};
use crate::{
    calls::Function,
    compact::Compact,
    engine::Pace,
    error::Error,
    futures::{AsyncResult, AsyncResults, BackendQueue, Refused, Room, Terms, Unaccepted},
    ids::WorkerId,
    job::{Job, JobOptions, Opening, ResultStream, Transport},
    shared::SharedValue,
    start::Backend,
    start_method::StartMethod,
    task::{Portable, SharedType},
};

/// A handle on all values of a call, or the call's items.
type Handed<A, R> = Result<AsyncResult<Vec<R>>, Refused<Vec<A>>>;

/// What a look for the queue of the present backend found.
enum Found {
    /// With the shared value, under Threads.
    Queue(BackendQueue, Option<SharedValue>),
    /// Nothing yet: the value that threads share was not made.
    NoValue,
    /// The pool is being stopped.
    Stopping(Backend),
    /// The threads have ended with a call, and were retired.
    Ended,
}

/// Converts the refusal for the caller.
#[cold]
#[inline]
pub(super) fn give_back<A>(refused: Refused<Compact<A>>) -> Box<Refused<A>> {
    Box::new(Refused { item: refused.item.into_inner(), error: refused.error })
}

/// Hands a call in until a queue takes it: one that refuses it as closed was stopped just now, and
/// the pool has another one, or makes it. `offer` offers the item to the present queue.
#[inline]
fn hand_over<A, R>(
    item: A,
    kill_running: Option<Duration>,
    mut offer: impl FnMut(A) -> Result<AsyncResult<R>, Unaccepted<A>>,
) -> Result<AsyncResult<R>, Refused<A>> {
    let mut item = item;
    loop {
        match offer(item) {
            Ok(result) => return Ok(result.kill_running(kill_running)),
            Err(Unaccepted::Closed(back)) => item = back,
            Err(Unaccepted::Full(item)) => return Err(Refused { item, error: Error::QueueFull }),
            Err(Unaccepted::Refused(refused)) => return Err(refused),
        }
    }
}

impl Pool {
    /// Hands a call to the workers and returns at once, or when there is room for the call. Options
    /// that concern chunks do not count.
    ///
    /// # Errors
    ///
    /// A function that cannot be sent to the workers, an item that cannot be encoded, a pool that
    /// cannot be used, [`Error::ResultsUnread`]; the item comes back.
    pub fn apply_async<F: Portable<Context = ()>>(
        &self,
        item: impl Into<Compact<F::Item>>,
        function: F::Function,
        options: &JobOptions,
    ) -> Result<AsyncResult<F::Output>, Box<Refused<F::Item>>> {
        self.hand_in::<F>(item.into(), function, options, Room::Wait).map_err(give_back)
    }

    /// Hands a call to the workers like [`Pool::apply_async`] if there is room for it, and returns
    /// at once. The first call of a pool may start the workers, and makes what they share.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::apply_async`]; [`Error::QueueFull`] while 4 096 calls wait to be begun, or
    /// 1 024 maps and calls that a token may end have not ended if this is one of the latter, and
    /// while another thread stops the pool. The item comes back.
    pub fn try_apply_async<F: Portable<Context = ()>>(
        &self,
        item: impl Into<Compact<F::Item>>,
        function: F::Function,
        options: &JobOptions,
    ) -> Result<AsyncResult<F::Output>, Box<Refused<F::Item>>> {
        self.hand_in::<F>(item.into(), function, options, Room::Refuse).map_err(give_back)
    }

    /// Hands in a call with an item that is cheap to move.
    #[inline]
    pub(super) fn hand_in<F: Portable<Context = ()>>(
        &self,
        item: Compact<F::Item>,
        function: F::Function,
        options: &JobOptions,
        room: Room,
    ) -> Result<AsyncResult<F::Output>, Refused<Compact<F::Item>>> {
        if options.cancel.is_some() || options.progress.is_some() {
            return self.hand_in_with_token::<F>(item, function, options, room);
        }
        let options = match self.checked(options) {
            Ok(options) => options,
            Err(error) => return Err(Refused { item, error }),
        };
        let terms = Terms {
            limit: options.task_timeout,
            grace: options.timeout_grace.unwrap_or_default(),
            retries: options.retries,
            worker: options.worker.map(WorkerId::new),
        };
        hand_over(item, options.kill_running, |item| {
            // A call that comes too late for its threads is handed in again.
            match self.queue_for::<F>(room == Room::Wait) {
                Ok((queue, shared)) => queue.submit::<F>(item, function, shared, terms, room),
                Err(error) => Err(Unaccepted::Refused(Refused { item, error })),
            }
        })
    }

    /// Hands in a call that a token may end: as a job of its own, since the session, or the queue
    /// of threads, watches the tokens of jobs.
    fn hand_in_with_token<F: Portable<Context = ()>>(
        &self,
        item: Compact<F::Item>,
        function: F::Function,
        options: &JobOptions,
        room: Room,
    ) -> Result<AsyncResult<F::Output>, Refused<Compact<F::Item>>> {
        // It is a single call: the turn of the workers does not begin with it.
        let options = JobOptions { order_tasks: Some(false), ..options.clone() };
        let opening = if room == Room::Wait { Opening::Waits } else { Opening::AtOnce };
        let context = Arc::new(());
        hand_over(item, options.kill_running, |item| {
            let prepared = self.background::<F>(function, &context, &options, opening);
            let (queue, transport, options) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return Err(Unaccepted::Refused(Refused { item, error })),
            };
            let items = vec![item.into_inner()].into_iter();
            let mut job = self.background_job(transport, items, &options, Pace::Background);
            job.call_it("apply_async");
            queue.submit_one(job, room)
        })
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
        let context = Arc::new(context);
        hand_over(items, options.kill_running, |item| {
            let prepared = self.background::<F>(function, &context, options, Opening::Waits);
            let (queue, transport, options) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => return Err(Unaccepted::Refused(Refused { item, error })),
            };
            let items = item.into_iter();
            let mut job = self.background_job(transport, items, &options, Pace::Background);
            job.call_it("map_async");
            queue.submit_map(job).map_err(Unaccepted::Closed)
        })
    }

    /// A stream over the results of a job for executors, as `take` yields them. Polling it pulls
    /// the input; nothing runs before the first poll.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::job`].
    pub fn stream<F: Portable, I: Iterator<Item = F::Item>, V>(
        &self,
        function: F::Function,
        context: F::Context,
        items: I,
        options: &JobOptions,
        take: fn(Job<F, I>) -> ResultStream<F, I, V>,
    ) -> Result<AsyncResults<F, I, V>, Error> {
        let (mut items, context) = (items, Arc::new(context));
        loop {
            let (queue, transport, options) =
                self.background::<F>(function, &context, options, Opening::Lazy)?;
            let mut job = self.background_job(transport, items, &options, Pace::Lazy);
            job.call_it("imap_stream");
            match queue.stream(job, take) {
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
        opening: Opening,
    ) -> Result<(BackendQueue, Transport<F>, Cow<'o, JobOptions>), Error> {
        let options = self.watched(self.checked(options)?, || Function::portable::<F>(function));
        let (queue, shared, backend, claim) = loop {
            let (queue, shared) = self.queue_for::<F>(opening != Opening::AtOnce)?;
            if let Some((backend, claim)) = queue.claim() {
                break (queue, shared, backend, claim);
            }
        };
        queue.admit()?;
        let transport =
            portable_transport((backend, shared), function, context.clone(), &options, opening)?;
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
        Job::new(transport, items, options, self.plan.n_jobs, pace)
    }

    /// The queue of the present backend, for tasks of this form, and under Threads the shared
    /// value.
    fn queue_for<F: Portable>(
        &self,
        waits: bool,
    ) -> Result<(BackendQueue, Option<SharedValue>), Error> {
        self.refuse_if_foreign()?;
        self.plan.life.check_state(F::keeps())?;
        self.queue(F::shares(), waits)
    }

    /// The queue of the present backend, and under Threads the shared value; `wanted`: the type
    /// that this value must have. `waits`: also while the pool is being stopped.
    #[inline]
    fn queue(
        &self,
        wanted: Option<SharedType>,
        waits: bool,
    ) -> Result<(BackendQueue, Option<SharedValue>), Error> {
        loop {
            match self.find_queue(wanted)? {
                Found::Queue(queue, shared) => return Ok((queue, shared)),
                Found::NoValue => drop(self.value_here(wanted)?),
                Found::Ended => {} // the next threads are new ones
                Found::Stopping(backend) => {
                    let queues = self.slot()?.queues.clone();
                    queues.iter().for_each(|queue| queue.resign());
                    if !waits {
                        return Err(Error::QueueFull);
                    }
                    backend.wait_until_stopped();
                }
            }
        }
    }

    /// Looks for the queue of the present backend; opens either where there is none.
    #[inline]
    fn find_queue(&self, wanted: Option<SharedType>) -> Result<Found, Error> {
        let (past, _ended);
        let mut over = Vec::new(); // all dropped without the lock
        let (_paused, mut slot) = self.slot_for_backend()?;
        slot.sharing.check(wanted)?;
        let shared = match self.plan.method {
            StartMethod::Threads => match slot.sharing.source.value_if_made() {
                Some(shared) => shared,
                None => return Ok(Found::NoValue),
            },
            _ => None,
        };
        slot.queues.iter().for_each(|queue| queue.close_if_failed());
        // Threads that end with the call that they were started for cannot be used for futures.
        let ends = self.plan.method == StartMethod::Threads && !self.settings.keep_alive();
        let present = slot.backend.as_ref();
        let serves = || present.is_some_and(|backend| slot.queue_of(backend).is_some());
        past = if ends && slot.used && !serves() { slot.retire() } else { None };
        self.open_backend(&mut slot)?;
        if slot.backend.as_ref().is_some_and(Backend::is_over) {
            _ended = slot.retire();
            return Ok(Found::Ended);
        }
        let anew = !std::mem::replace(&mut slot.used, true);
        if anew || past.is_some() {
            self.plan.exits.clear();
        }
        let backend = slot.backend.as_ref().expect("made just now");
        if let Some(queue) = slot.queue_of(backend) {
            if !self.settings.keep_alive() && queue.begin_future() {
                // Results of the call before.
                self.plan.exits.clear();
            }
            return Ok(Found::Queue(queue.clone(), shared));
        }
        let backend = backend.clone();
        // A queue that is being drained stays, for other threads that stop the pool.
        let is_over = |queue: &mut BackendQueue| {
            queue.is_over() && !(queue.is_of(&backend) && queue.holds_up())
        };
        over.extend(slot.queues.extract_if(.., is_over));
        // With the lock held: a thread that stops the pool finds the queue in the slot, or none is
        // opened.
        let budget = self.budget.clone();
        let queue = BackendQueue::open(&backend, self.plan.n_jobs, budget)?;
        slot.queues.extend(queue.clone());
        Ok(queue.map_or(Found::Stopping(backend), |queue| Found::Queue(queue, shared)))
    }
}
