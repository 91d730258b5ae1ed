//! The loop of a job: send while the window admits, wait, take what arrived.
//!
//! Invariant: items are pulled in the calling thread only, and no lock is held while the user's
//! iterator, `Serialize` or callback runs.

use std::{
    fmt,
    num::NonZeroU64,
    time::{Duration, Instant},
};

use super::{
    in_call::{InCall, Inside},
    input::Input,
    lane::{Arrival, Cut, Lane, Load, Sent},
    turn::Turn,
};
use crate::{
    cancel::CancelToken,
    engine::{JobId, Pace, Sizer, SizingRules, Window},
    error::{Error, TaskError},
    session::{Message, ResultBatch, Want},
    stack::with_room,
    task::Form,
};

/// How often a job without a caller asks for room that others may have given back.
const STARVES_FOR: Duration = Duration::from_millis(1);

/// What a call may set.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// Items per chunk, at least 1; fractions are carried over from chunk to chunk.
    pub chunk_size: Option<f64>,
    /// Chunks for the whole input, at least 1; chunks of 4 items if its length is not known.
    pub n_splits: Option<usize>,
    /// Most items that are under way, at least 1.
    pub max_tasks_active: Option<usize>,
    /// How many items of the input are used; a shorter input just ends.
    pub iterable_len: Option<usize>,
    /// How long one item may take, more than 0; `None`: what the pool says.
    pub task_timeout: Option<Duration>,
    /// How long an item that is over its limit may go on, told of that, before its worker is
    /// killed; `None`: what the pool says.
    pub timeout_grace: Option<Duration>,
    /// How often an item may be tried again whose worker died or was killed at the item's limit.
    pub retries: u32,
    /// Whether chunk k goes to worker k modulo their number, whether or not that one is free; `None`: what the pool says.
    pub order_tasks: Option<bool>,
    /// The one worker that all items go to; of no account for futures of one item.
    pub worker: Option<u32>,
    /// What may end the call from outside; a token that was pulled refuses it.
    pub cancel: Option<CancelToken>,
    /// After how long items are killed, with their workers, that run when the call is cancelled or
    /// dropped; `None`: never.
    pub kill_running: Option<Duration>,
}

impl JobOptions {
    /// Refuses values that mean nothing, and a call that is cancelled already.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::InvalidInput(text));
        match self.chunk_size {
            Some(size) if !(size >= 1.0 && size.is_finite()) => {
                return refuse(format!("chunk_size must be at least 1, got {size}"));
            }
            _ => {}
        }
        if self.n_splits == Some(0) {
            return refuse("n_splits must be at least 1, got 0".to_string());
        }
        if self.task_timeout.is_some_and(|limit| limit.is_zero()) {
            return refuse("task_timeout must be more than 0".to_string());
        }
        if self.max_tasks_active == Some(0) {
            return refuse("max_tasks_active must be at least 1, got 0".to_string());
        }
        heed(self.cancel.as_ref())
    }

    pub(super) fn sizing(&self) -> SizingRules {
        SizingRules { chunk_size: self.chunk_size, n_splits: self.n_splits }
    }

    /// Which of so many workers the chunks go to.
    pub(crate) fn turn(&self, workers: usize) -> Turn {
        match self.worker {
            Some(worker) => Turn::Only(worker),
            None if self.order_tasks == Some(true) => {
                Turn::Ordered { next: 0, workers: workers as u32 }
            }
            None => Turn::Anybody,
        }
    }

    /// How many items there are, if that is known.
    pub(super) fn len_of(&self, items: &impl Iterator) -> Option<u64> {
        let (low, high) = items.size_hint();
        let known = self.iterable_len.or_else(|| high.filter(|high| *high == low));
        known.map(|len| len as u64)
    }
}

/// A call that is cancelled goes no further.
#[inline]
fn heed(token: Option<&CancelToken>) -> Result<(), Error> {
    if token.is_some_and(CancelToken::is_cancelled) { Err(Error::Cancelled) } else { Ok(()) }
}

/// One call of the map family, before or while it runs.
pub struct Job<F: Form, I> {
    lane: Lane<F>,
    items: Input<I>,
    /// Items of the input that are still to be pulled, if the caller limited them.
    left: Option<usize>,
    exhausted: bool,
    sizer: Sizer,
    window: Window,
    cancel: Option<CancelToken>,
    lazy: bool,
    /// Arrivals to take at once.
    most_arrivals: usize,
    /// There is no room for its first chunk under way, and nothing of its own that could give some back.
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

/// What the loop hands on.
pub(super) trait Sink<F: Form> {
    /// Takes results; how many items the consumer has got with that.
    fn batch(&mut self, batch: &ResultBatch, lane: &mut Lane<F>) -> usize;
    fn values(&mut self, first: u64, values: Vec<F::Output>) -> usize;
    fn failed(&mut self, error: TaskError) -> Result<usize, Error>;
}

impl<F: Form, I: Iterator<Item = F::Item>> Job<F, I> {
    pub(crate) fn new(
        mut lane: Lane<F>,
        items: I,
        options: &JobOptions,
        workers: usize,
        pace: Pace,
    ) -> Self {
        let turn = options.turn(workers);
        lane.set_turn(turn);
        let window = Window::new(options.max_tasks_active, workers, turn.pace(pace));
        let inside = InCall::enter(lane.crew(), Inside::Call);
        let len = options.len_of(&items);
        drop(inside);
        let most = window.most_in_chunk();
        Self {
            lane,
            items: Input::new(items),
            left: options.iterable_len,
            exhausted: options.iterable_len == Some(0),
            sizer: Sizer::new(options.sizing(), workers, len, most),
            window,
            cancel: options.cancel.clone(),
            lazy: pace == Pace::Lazy,
            most_arrivals: usize::MAX,
            starves: false,
        }
    }

    /// Makes chunks of no more than `items`, but for sizes that the user has set.
    pub(crate) fn limit_chunks(mut self, items: Option<NonZeroU64>) -> Self {
        if let Some(items) = items {
            self.sizer.limit(usize::try_from(items.get()).unwrap_or(usize::MAX));
        }
        self
    }

    /// Sends the first chunks now, rather than when the first result is asked for.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        with_room::<F::Item, (), _>(|| self.fill())
    }

    /// See [`Lane::go_aside`].
    pub(crate) fn go_aside(
        &mut self,
        desk: Option<JobId>,
        heard: impl Fn(u64) + Send + Sync + 'static,
    ) -> u64 {
        self.lane.go_aside(desk, heard)
    }

    /// The input, of a job that has not begun.
    pub(crate) fn into_items(self) -> I {
        self.items.into_inner()
    }

    /// When somebody has to look at a job without a caller although nothing arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        let soon = self.starves.then(|| Instant::now() + STARVES_FOR);
        soon.into_iter().chain(self.lane.due()).min()
    }

    /// What may end it from outside.
    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.cancel.as_ref()
    }

    /// Whether anything has arrived, without waiting.
    pub(super) fn has_arrived(&mut self) -> bool {
        self.lane.has_arrived()
    }

    /// What tells the crew that runs this job from all others.
    pub(super) fn crew(&self) -> usize {
        self.lane.crew()
    }

    /// How many items there are, as far as the input says.
    pub(super) fn known_len(&self) -> Option<u64> {
        self.sizer.len()
    }

    /// Takes arrivals one at a time, since each may hold the consumer up for long.
    pub(super) fn one_at_a_time(&mut self) {
        self.most_arrivals = 1;
    }

    /// Whether every item has been pulled, sent, and handed on.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted && self.window.active() == 0
    }

    /// The call is over but for what its workers do at their ends, if they end with it.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.lane.finish()
    }

    /// The consumer has got `items` items.
    pub(super) fn yielded(&mut self, items: usize) {
        self.window.yielded(items);
    }

    /// Sends as many chunks as may be under way.
    pub(super) fn fill(&mut self) -> Result<(), Error> {
        heed(self.cancel.as_ref())?;
        self.starves = false;
        while !self.exhausted {
            let most = self.sizer.next().min(self.left.unwrap_or(usize::MAX));
            if !self.window.admits(most, self.sizer.nanos_of(most)) {
                break;
            }
            let cut = Cut { most, timed: self.sizer.wants_time(), idle: self.window.chunks() == 0 };
            match self.lane.send(&mut self.items, cut)? {
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
            heed(self.cancel.as_ref())?;
        }
        Ok(())
    }

    /// Sends what can be sent, waits, and hands to `sink` what arrived.
    pub(super) fn step(&mut self, sink: &mut impl Sink<F>) -> Result<(), Error> {
        self.fill()?;
        if self.is_over() {
            return Ok(());
        }
        let want = Want {
            // A consumer that takes results one by one wants the first as soon as it is there.
            chunks: if self.lazy { 1 } else { self.window.chunks().div_ceil(2) },
            hungry: !self.exhausted,
            most: self.most_arrivals,
        };
        self.lane.receive(want)?;
        self.hand_on(sink)
    }

    /// Hands to `sink` what has arrived, without waiting, and sends what can be sent then.
    pub(super) fn pass(&mut self, look: bool, sink: &mut impl Sink<F>) -> Result<(), Error> {
        self.lane.take(look)?;
        self.hand_on(sink)?;
        self.fill()
    }

    /// Hands to `sink` what had arrived when the call was cancelled; how many items of the input
    /// were read.
    pub(super) fn rest(&mut self, sink: &mut impl Sink<F>) -> Result<u64, Error> {
        self.lane.take_rest();
        self.hand_on(sink)?;
        Ok(self.lane.pulled())
    }

    fn hand_on(&mut self, sink: &mut impl Sink<F>) -> Result<(), Error> {
        while let Some(arrival) = self.lane.next_arrival() {
            match arrival {
                Arrival::Message(Message::Ended { bytes }) => self.window.ended(bytes as usize),
                Arrival::Message(Message::Failed(error)) => {
                    let got = sink.failed(error)?;
                    self.window.yielded(got);
                }
                Arrival::Values { first, nanos, values } => {
                    self.sizer.ran(values.len(), nanos);
                    let got = sink.values(first, values);
                    self.window.yielded(got);
                }
                Arrival::Message(Message::Results(batch)) => {
                    self.sizer.ran(batch.count, batch.nanos);
                    let got = sink.batch(&batch, &mut self.lane);
                    self.lane.release(batch);
                    self.lane.heed()?;
                    self.window.yielded(got);
                }
            }
        }
        // (A job that is over gives everything back as it is dropped.)
        if !self.is_over() {
            self.lane.flush();
        }
        Ok(())
    }
}
