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
    options::JobOptions,
    process_transport::RawTransport,
    progress::Progress,
    transfer::Arrival,
    transport::{Arrived, Transport},
    watch::Explained,
};
use crate::{
    cancel::CancelToken,
    engine::{JobId, Pace},
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
    progress: Progress,
}

impl<F: Form, I> fmt::Debug for Job<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// The receiver of the loop's results.
pub(super) trait Sink<R> {
    /// Why the job ends before its last item.
    type Stop;
    fn batch(&mut self, batch: &ResultBatch, raw: &mut RawTransport);
    fn values(&mut self, first: ItemIndex, values: Vec<R>);
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
        let inside = InCall::enter(transport.backend(), Inside::Call);
        let len = options.len_of(&items);
        drop(inside);
        let lifespan = transport.lifespan();
        let progress = Progress::new(options, (target, workers), lifespan, len, pace);
        Self { transport, items: Input::new(items), progress }
    }

    /// Names the method that runs it, unless it was named before.
    pub(crate) fn call_it(&mut self, form: &'static str) {
        self.progress.watch().name(form);
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
        let soon = self.progress.starves().then(|| Instant::now() + STARVES_FOR);
        soon.into_iter().chain(self.transport.due()).min()
    }

    /// The token that may end it.
    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.progress.token()
    }

    /// The identity of the backend that runs this job.
    pub(super) fn backend(&self) -> usize {
        self.transport.backend()
    }

    /// How far it is.
    pub(super) fn progress(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// The number of items, if the input tells it.
    pub(super) fn known_len(&self) -> Option<u64> {
        self.progress.known_len()
    }

    /// Whether every item has been pulled, sent, and handed on.
    pub(super) fn is_over(&self) -> bool {
        self.progress.is_over()
    }

    /// Ends the call: where workers end with their call, waits for them.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.transport.finish()
    }

    /// Sends as many chunks as may be under way. If there is no room for any, waits for it, but not
    /// longer than `until`.
    pub(super) fn fill(&mut self, until: Option<Instant>) -> Result<(), Error> {
        let filled = self.fill_here(until);
        self.note(filled)
    }

    fn fill_here(&mut self, until: Option<Instant>) -> Result<(), Error> {
        if let Some(call) = self.progress.watch().begin() {
            call.set_look(self.transport.look());
        }
        self.progress.begin_fill()?;
        while let Some(cut) = self.progress.next_cut(until) {
            let sent = self.transport.send(&mut self.items, cut)?;
            if !self.progress.sent(sent)? {
                break;
            }
        }
        Ok(())
    }

    /// Sends what can be sent, waits, but not longer than `until`, and hands to `sink` what has
    /// arrived.
    pub(super) fn step(
        &mut self,
        until: Option<Instant>,
        sink: &mut impl Sink<F::Output>,
    ) -> Result<(), Error> {
        self.fill(until)?;
        if self.is_over() {
            return Ok(());
        }
        let received = self.transport.receive(self.progress.awaited(until));
        self.note(received)?;
        self.hand_on(sink)
    }

    /// Hands to `sink` what has arrived, without waiting, and then sends what can be sent.
    pub(super) fn pass(
        &mut self,
        poll: bool,
        sink: &mut impl Sink<F::Output>,
    ) -> Result<(), Error> {
        let taken = self.transport.take(poll);
        self.note(taken)?;
        self.hand_on(sink)?;
        self.fill(Some(Instant::now()))
    }

    /// Hands to `sink` what had arrived when the call was cancelled; returns how many items of the
    /// input were read.
    pub(super) fn rest(&mut self, sink: &mut impl Sink<F::Output>) -> Result<u64, Error> {
        self.transport.take_rest();
        self.hand_on(sink)?;
        Ok(self.transport.pulled())
    }

    /// Runs the job to its end.
    ///
    /// # Errors
    ///
    /// The reason that the sink has, or the failure of the pool.
    pub(super) fn run_to_end<S: Sink<F::Output>>(&mut self, sink: &mut S) -> Result<(), S::Stop>
    where
        S::Stop: From<Error> + Explained,
    {
        while !self.is_over() {
            let step = self.step(None, sink);
            // A reason that arrived before a failure of the pool comes first.
            if let Some(stop) = sink.take_stop() {
                self.progress.watch().stopped(&stop);
                return Err(stop);
            }
            step?;
        }
        let finished = self.finish();
        Ok(self.note(finished)?)
    }

    /// Notes the error that ends the call, for those who watch it.
    #[inline]
    fn note(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &result {
            self.progress.watch().stopped(error);
        }
        result
    }

    fn hand_on(&mut self, sink: &mut impl Sink<F::Output>) -> Result<(), Error> {
        let handed_on = hand_on(self.transport.arrived(), &mut self.progress, sink);
        self.note(handed_on)?;
        // (A job that is over releases everything when it is dropped.)
        if !self.is_over() {
            self.transport.flush();
        }
        Ok(())
    }
}

/// Hands to `sink` what has arrived.
fn hand_on<R>(
    mut arrived: Arrived<'_, R>,
    progress: &mut Progress,
    sink: &mut impl Sink<R>,
) -> Result<(), Error> {
    while let Some(arrival) = arrived.next() {
        match arrival {
            Arrival::Message(Message::Ended { bytes }) => progress.ended(bytes),
            Arrival::Message(Message::Failed(error)) => {
                progress.failed(&error);
                sink.failed(error);
                progress.handed_on(1);
            }
            Arrival::Values { first, nanos, values } => {
                let items = values.len();
                progress.ran(items, nanos);
                sink.values(first, values);
                progress.handed_on(items);
            }
            Arrival::Message(Message::Results(batch)) => {
                let items = batch.count;
                progress.ran(items, batch.nanos);
                arrived.read(batch, |batch, raw| sink.batch(batch, raw))?;
                progress.handed_on(items);
            }
        }
    }
    Ok(())
}
