//! The loop of a job: sends while the window admits, waits, and takes what has arrived.
//!
//! Invariant: items are pulled in the calling thread only, and no lock is held while the user's
//! iterator, `Serialize` or callback runs.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    input::Input,
    options::{JobOptions, check_cancelled},
    transfer::{Arrival, Cut, Load, Sent},
    transport::Transport,
};
use crate::{
    cancel::CancelToken,
    engine::{Awaited, JobId, Pace, Sizer, Window},
    error::{Error, TaskError},
    ids::ItemIndex,
    reentrancy::{InCall, Inside},
    session::{Message, ResultBatch},
    task::Form,
};

/// How often a job without a caller tries again to allocate, since other jobs may have freed
/// memory.
const STARVES_FOR: Duration = Duration::from_millis(1);

/// One call of the map family, before or while it runs.
pub struct Job<F: Form, I> {
    transport: Transport<F>,
    items: Input<I>,
    /// Items of the input that are still to be pulled, if the caller limited them.
    left: Option<usize>,
    exhausted: bool,
    sizer: Sizer,
    window: Window,
    cancel: Option<CancelToken>,
    lazy: bool,
    /// Whether the consumer takes results one by one: items count as under way until then.
    by_one: bool,
    /// The most arrivals to take at once.
    most_arrivals: usize,
    /// The arena is full and no chunk of this job is in flight: only other jobs can free space.
    starves: bool,
}

impl<F: Form, I> fmt::Debug for Job<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("exhausted", &self.exhausted)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// The receiver of the loop's results.
pub(super) trait Sink<F: Form> {
    /// Why the job ends before its last item.
    type Stop;
    fn batch(&mut self, batch: &ResultBatch, transport: &mut Transport<F>);
    fn values(&mut self, first: ItemIndex, values: Vec<F::Output>);
    fn failed(&mut self, error: TaskError);
    /// Takes the first reason why the job ends, if there is one.
    fn take_stop(&mut self) -> Option<Self::Stop>;
}

impl<F: Form, I: Iterator<Item = F::Item>> Job<F, I> {
    pub(crate) fn new(
        mut transport: Transport<F>,
        items: I,
        options: &JobOptions,
        workers: usize,
        pace: Pace,
    ) -> Self {
        let target = options.target(workers);
        transport.set_target(target);
        let window = Window::new(options.max_tasks_active, workers, target.pace(pace));
        let inside = InCall::enter(transport.backend(), Inside::Call);
        let len = options.len_of(&items);
        drop(inside);
        let mut sizer = Sizer::new(options.sizing(), workers, len, window.most_in_chunk());
        // That of the very workers: the pool's setting may have changed since they were claimed.
        if let Some(tasks) = transport.lifespan() {
            sizer.limit(usize::try_from(tasks.get()).unwrap_or(usize::MAX));
        }
        Self {
            transport,
            items: Input::new(items),
            left: options.iterable_len,
            exhausted: options.iterable_len == Some(0),
            sizer,
            window,
            cancel: options.cancel.clone(),
            lazy: pace == Pace::Lazy,
            by_one: false,
            most_arrivals: usize::MAX,
            starves: false,
        }
    }

    /// Makes it a background job: see [`Transport::go_to_background`].
    pub(crate) fn go_to_background(
        &mut self,
        queue: Option<JobId>,
        on_progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> u64 {
        self.transport.go_to_background(queue, on_progress)
    }

    /// The input of a job that has not begun.
    pub(crate) fn into_items(self) -> I {
        self.items.into_inner()
    }

    /// When a thread has to look at a job without a caller although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        let soon = self.starves.then(|| Instant::now() + STARVES_FOR);
        soon.into_iter().chain(self.transport.due()).min()
    }

    /// The token that may end it.
    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.cancel.as_ref()
    }

    /// The identity of the backend that runs this job.
    pub(super) fn backend(&self) -> usize {
        self.transport.backend()
    }

    /// The number of items, if the input tells it.
    pub(super) fn known_len(&self) -> Option<u64> {
        self.sizer.len()
    }

    /// Takes arrivals one at a time, since each may hold the consumer up for long.
    pub(super) fn one_at_a_time(&mut self) {
        self.most_arrivals = 1;
    }

    /// Lets items count as under way until [`Job::yielded`] says that the consumer has them.
    pub(super) fn yield_one_by_one(&mut self) {
        self.by_one = true;
    }

    /// Whether every item has been pulled, sent, and handed on.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted && self.window.active() == 0
    }

    /// Ends the call: where workers end with their call, waits for them.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.transport.finish()
    }

    /// Notes that `items` items have reached the consumer.
    pub(super) fn yielded(&mut self, items: usize) {
        self.window.yielded(items);
    }

    /// Sends as many chunks as may be under way. If there is no room for any, waits for it, but not
    /// longer than `until`.
    pub(super) fn fill(&mut self, until: Option<Instant>) -> Result<(), Error> {
        check_cancelled(self.cancel.as_ref())?;
        self.starves = false;
        while !self.exhausted {
            let most = self.sizer.next().min(self.left.unwrap_or(usize::MAX));
            if !self.window.admits(most, self.sizer.nanos_of(most)) {
                break;
            }
            let (timed, idle) = (self.sizer.wants_time(), self.window.chunks() == 0);
            let cut = Cut { most, timed, idle, until };
            match self.transport.send(&mut self.items, cut)? {
                Sent::Load(Load { chunks, items, bytes, room }) => {
                    self.sizer.took(items, bytes);
                    self.window.took(chunks, items, room);
                    if let Some(left) = &mut self.left {
                        *left -= items.min(*left);
                        self.exhausted = *left == 0;
                    }
                }
                Sent::NoRoom => {
                    self.starves = self.window.chunks() == 0;
                    break;
                }
                Sent::Exhausted => self.exhausted = true,
            }
            check_cancelled(self.cancel.as_ref())?;
        }
        Ok(())
    }

    /// Sends what can be sent, waits, but not longer than `until`, and hands to `sink` what has
    /// arrived.
    pub(super) fn step(
        &mut self,
        until: Option<Instant>,
        sink: &mut impl Sink<F>,
    ) -> Result<(), Error> {
        self.fill(until)?;
        if self.is_over() {
            return Ok(());
        }
        let awaited = Awaited {
            // A consumer that takes results one by one wants the first one at once.
            chunks: if self.lazy { 1 } else { self.window.chunks().div_ceil(2) },
            has_items: !self.exhausted,
            most: self.most_arrivals,
            until,
        };
        self.transport.receive(awaited)?;
        self.hand_on(sink)
    }

    /// Hands to `sink` what has arrived, without waiting, and then sends what can be sent.
    pub(super) fn pass(&mut self, poll: bool, sink: &mut impl Sink<F>) -> Result<(), Error> {
        self.transport.take(poll)?;
        self.hand_on(sink)?;
        self.fill(Some(Instant::now()))
    }

    /// Hands to `sink` what had arrived when the call was cancelled; returns how many items of the
    /// input were read.
    pub(super) fn rest(&mut self, sink: &mut impl Sink<F>) -> Result<u64, Error> {
        self.transport.take_rest();
        self.hand_on(sink)?;
        Ok(self.transport.pulled())
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    ///
    /// The reason that the sink has, or the failure of the pool.
    pub(super) fn run_to_end<S: Sink<F>>(&mut self, sink: &mut S) -> Result<(), S::Stop>
    where
        S::Stop: From<Error>,
    {
        while !self.is_over() {
            let step = self.step(None, sink);
            // A reason that arrived before a failure of the pool comes first.
            if let Some(stop) = sink.take_stop() {
                return Err(stop);
            }
            step?;
        }
        Ok(self.finish()?)
    }

    fn hand_on(&mut self, sink: &mut impl Sink<F>) -> Result<(), Error> {
        while let Some(arrival) = self.transport.next_arrival() {
            match arrival {
                Arrival::Message(Message::Ended { bytes }) => self.window.ended(bytes as usize),
                Arrival::Message(Message::Failed(error)) => {
                    sink.failed(error);
                    self.arrived(1);
                }
                Arrival::Values { first, nanos, values } => {
                    let items = values.len();
                    self.sizer.ran(items, nanos);
                    sink.values(first, values);
                    self.arrived(items);
                }
                Arrival::Message(Message::Results(batch)) => {
                    let items = batch.count;
                    self.sizer.ran(items, batch.nanos);
                    sink.batch(&batch, &mut self.transport);
                    self.transport.release(batch);
                    self.transport.check_cancelled()?;
                    self.arrived(items);
                }
            }
        }
        // (A job that is over releases everything when it is dropped.)
        if !self.is_over() {
            self.transport.flush();
        }
        Ok(())
    }

    /// Notes that outcomes of `items` items were handed on.
    fn arrived(&mut self, items: usize) {
        if !self.by_one {
            self.window.yielded(items);
        }
    }
}
