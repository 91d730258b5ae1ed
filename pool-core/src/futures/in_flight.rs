//! The calls of a queue for processes: those that wait to be sent, those under way, and how many
//! may be under way.

use std::{collections::VecDeque, sync::Arc};

use super::{
    MOST_WAITING,
    queued_call::{Receiver, Unsent},
};
use crate::{
    engine::{Pace, Window},
    error::Error,
    session::{Buffers, ResultBatch, Session},
};

/// One call in this many is timed.
const TIMED: u64 = 8;

/// Calls that wait to be sent, first come first.
pub(super) type Waiting = VecDeque<Box<dyn Unsent>>;

/// The answer to a call.
pub(super) enum Answer {
    Batch(ResultBatch),
    Failed(Error),
}

/// An answer, and its receiver, if there still is one.
pub(super) type Answered = (Option<Arc<dyn Receiver>>, Answer);

/// Calls that wait and calls under way, with their answers and the limits on them.
#[derive(Default)]
pub(super) struct InFlight {
    pub(super) waiting: Waiting,
    /// Receivers by key; keys are used again.
    sent: Vec<Option<Arc<dyn Receiver>>>,
    free: Vec<usize>,
    /// Answers that no thread has in hand: any thread may take the next one, also while another
    /// thread runs the user's code.
    pub(super) answered: VecDeque<Answered>,
    window: Window,
    nanos: Option<f64>,
    serial: u64,
    /// Buffers for the threads that work at the queue.
    #[expect(clippy::vec_box, reason = "they come and go boxed")]
    spare_buffers: Vec<Box<Buffers>>,
    /// Threads that read answers.
    pub(super) busy: usize,
    /// All calls are answered, for good: the session's job is closed once no thread reads.
    pub(super) over: bool,
    /// No call is taken in any more.
    pub(super) closed: bool,
}

impl InFlight {
    pub(super) fn new(workers: usize) -> Self {
        Self { window: Window::new(None, workers, Pace::Single), ..Self::default() }
    }

    /// Calls that were sent and have not been answered.
    pub(super) fn under_way(&self) -> usize {
        self.sent.len() - self.free.len()
    }

    /// Calls that have not been answered, and threads that are about to answer some.
    pub(super) fn outstanding(&self) -> usize {
        self.under_way() + self.waiting.len() + self.answered.len() + self.busy
    }

    /// Whether there is no room for another call.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING && !self.closed
    }

    /// Whether another call may be sent.
    pub(super) fn admits(&self) -> bool {
        self.window.admits(1, self.nanos)
    }

    /// Notes that a call is sent now; returns its key, and whether it is timed.
    pub(super) fn begin(&mut self, receiver: Arc<dyn Receiver>) -> (u64, bool) {
        self.serial += 1;
        let key = self.free.pop().unwrap_or_else(|| {
            self.sent.push(None);
            self.sent.len() - 1
        });
        self.sent[key] = Some(receiver);
        self.window.took(0, 1, 0);
        (key as u64, self.nanos.is_none() || self.serial.is_multiple_of(TIMED))
    }

    pub(super) fn took(&mut self, bytes: u64) {
        self.window.took(1, 0, bytes as usize);
    }

    pub(super) fn ended(&mut self, bytes: u64) {
        self.window.ended(bytes as usize);
    }

    /// Frees the key of a call that was answered, or was not sent after all.
    pub(super) fn end(&mut self, key: u64) -> Option<Arc<dyn Receiver>> {
        let key = usize::try_from(key).ok()?;
        let receiver = self.sent.get_mut(key)?.take()?;
        self.free.push(key);
        self.window.yielded(1);
        Some(receiver)
    }

    /// Notes that a call ran for `nanos` nanoseconds; 0: it was not timed.
    pub(super) fn ran(&mut self, nanos: u64) {
        if nanos > 0 {
            let seen = nanos as f64;
            self.nanos = Some(self.nanos.map_or(seen, |before| before * 0.75 + seen * 0.25));
        }
    }

    /// The key of a call that was sent.
    pub(super) fn key_of(&self, entry: *const ()) -> Option<u64> {
        let is_it =
            |r: &Option<Arc<dyn Receiver>>| r.as_ref().is_some_and(|r| r.address() == entry);
        self.sent.iter().position(is_it).map(|key| key as u64)
    }

    /// Answers every call that has no answer; returns the calls that were not sent.
    pub(super) fn give_up(&mut self, why: &Error) -> Waiting {
        self.free.clear();
        let unsent = std::mem::take(&mut self.waiting);
        let receivers = self.sent.drain(..).flatten();
        let receivers = receivers.chain(unsent.iter().map(|unsent| unsent.receiver()));
        self.answered
            .extend(receivers.map(|receiver| (Some(receiver), Answer::Failed(why.clone()))));
        unsent
    }

    pub(super) fn buffers(&mut self, session: &Session) -> Box<Buffers> {
        self.spare_buffers.pop().unwrap_or_else(|| session.take_buffers())
    }

    pub(super) fn put_buffers(&mut self, mut buffers: Box<Buffers>) {
        buffers.clear();
        self.spare_buffers.push(buffers);
    }

    /// One set of buffers, if there is any; the others are dropped.
    pub(super) fn last_buffers(&mut self) -> Option<Box<Buffers>> {
        std::mem::take(&mut self.spare_buffers).pop()
    }
}
