//! The calls of a queue for processes: those that wait to be sent, those under way, and how many
//! may be under way.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use pool_ipc::prefetch_for_reading;

use super::{
    MOST_WAITING,
    queued_call::{Receiver, Unsent},
};
use crate::{
    engine::{Pace, Window},
    error::Error,
    ids::{ItemIndex, WorkerId},
    os::coarse_now,
    session::{Buffers, ResultBatch, Session},
};

/// One call in this many is timed.
const TIMED: u64 = 8;
/// How long other calls stay behind the one that a thread sends from the line: its encoding is the
/// user's code, which may wait for them. (Several ticks of the coarse clock.)
const LINE_HELD_FOR: Duration = Duration::from_millis(25);

/// The memory of the call that stands so far behind the one that is sent is fetched: thousands may
/// have been handed in since that one was.
const SENT_SOON: usize = 3;

/// Calls that wait to be sent, first come first.
pub(super) type Waiting = VecDeque<Box<dyn Unsent>>;

/// The answer to a call.
pub(super) enum Answer {
    Batch(ResultBatch),
    Failed(Error),
}

/// An answer, and its receiver, if there still is one.
pub(super) type Answered = (Option<Arc<dyn Receiver>>, Answer);

/// A call under way.
struct Sent {
    receiver: Arc<dyn Receiver>,
    /// It is for one worker alone, which may be busy for long.
    is_targeted: bool,
    /// Its encoded bytes, once they are handed over.
    bytes: Option<usize>,
    /// It was taken back before it was handed over, and its sender has yet to see that.
    withdrawn: bool,
}

/// Calls that wait and calls under way, with their answers and the limits on them.
#[derive(Default)]
pub(super) struct InFlight {
    pub(super) waiting: Waiting,
    /// Since when a thread has had a call from the line that it has not handed over yet.
    line_held_since: Option<Duration>,
    /// Calls by index; indices are used again.
    sent: Vec<Option<Sent>>,
    free: Vec<usize>,
    /// Answers that no thread has in hand: any thread may take the next one, also while another
    /// thread runs the user's code.
    pub(super) answered: VecDeque<Answered>,
    window: Window,
    /// The window of calls that are for one worker alone.
    targeted: Window,
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
        Self {
            window: Window::new(None, workers, Pace::Single),
            targeted: Window::new(Some(MOST_WAITING), workers, Pace::Single),
            ..Self::default()
        }
    }

    /// Calls that were sent and have not been answered.
    #[inline]
    pub(super) fn under_way(&self) -> usize {
        self.sent.len() - self.free.len()
    }

    /// Calls that have not been answered, and threads that are about to answer some.
    #[inline]
    pub(super) fn outstanding(&self) -> usize {
        self.under_way() + self.waiting.len() + self.answered.len() + self.busy
    }

    /// Whether there is no room for another call.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_WAITING && !self.closed
    }

    /// Whether a call for this worker, or for any, may be sent.
    ///
    /// Calls for one worker do not count for the others: their worker may be busy for long. The
    /// session has a line for each worker.
    #[inline]
    pub(super) fn admits(&self, worker: Option<WorkerId>) -> bool {
        match worker {
            Some(_) => self.targeted.admits(1, None),
            None => self.window.admits(1, self.nanos),
        }
    }

    /// Whether the first call that waits may be sent.
    #[inline]
    pub(super) fn admits_first(&self) -> bool {
        self.waiting.front().is_some_and(|unsent| self.admits(unsent.worker()))
    }

    /// Takes the first call out of the line if it may be sent, and plainly so that the table stays
    /// locked: see [`Unsent::is_plain`].
    #[inline]
    pub(super) fn take_plain(&mut self) -> Option<Box<dyn Unsent>> {
        let is_plain = self.waiting.front().is_some_and(|unsent| unsent.is_plain());
        if !is_plain || self.is_line_held() || !self.admits_first() {
            return None;
        }
        if let Some(unsent) = self.waiting.get(SENT_SOON) {
            prefetch_for_reading(std::ptr::from_ref(&**unsent).cast::<u8>());
        }
        self.waiting.pop_front()
    }

    /// Takes the first call out of the line, for the calling thread to send, if it may be sent.
    /// Other threads send nothing until [`InFlight::let_go_of_line`], so that calls begin in the
    /// order in which they were made; but not for long.
    pub(super) fn hold_line(&mut self) -> Option<Box<dyn Unsent>> {
        if self.is_line_held() || !self.admits_first() {
            return None;
        }
        self.line_held_since = Some(coarse_now());
        self.waiting.pop_front()
    }

    /// The call from the line was handed over, or stays.
    pub(super) fn let_go_of_line(&mut self) {
        self.line_held_since = None;
    }

    /// Whether another thread has a call from the line that it has not handed over yet.
    #[inline]
    pub(super) fn is_line_held(&self) -> bool {
        self.line_held_since.is_some_and(|since| coarse_now().saturating_sub(since) < LINE_HELD_FOR)
    }

    /// Notes that a call for this worker, or any, is sent now; returns its index, and whether it
    /// is timed.
    #[inline]
    pub(super) fn begin(
        &mut self,
        receiver: Arc<dyn Receiver>,
        worker: Option<WorkerId>,
    ) -> (ItemIndex, bool) {
        self.serial += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.sent.push(None);
            self.sent.len() - 1
        });
        let is_targeted = worker.is_some();
        self.sent[index] = Some(Sent { receiver, is_targeted, bytes: None, withdrawn: false });
        self.window_of(is_targeted).took(0, 1, 0);
        (ItemIndex::new(index as u64), self.nanos.is_none() || self.serial.is_multiple_of(TIMED))
    }

    #[inline]
    fn window_of(&mut self, is_targeted: bool) -> &mut Window {
        if is_targeted { &mut self.targeted } else { &mut self.window }
    }

    #[inline]
    fn sent_at(&mut self, index: ItemIndex) -> Option<&mut Sent> {
        self.sent.get_mut(usize::try_from(index.number()).ok()?)?.as_mut()
    }

    /// Notes that a call is handed over now, with so many bytes; `false`: it was taken back, and is
    /// not to run.
    pub(super) fn hand_over(&mut self, index: ItemIndex, bytes: u64) -> bool {
        // A call that was answered meanwhile counts no more.
        let Some(sent) = self.sent_at(index) else { return true };
        if sent.withdrawn {
            self.end(index);
            return false;
        }
        let (bytes, is_targeted) = (bytes as usize, sent.is_targeted);
        sent.bytes = Some(bytes);
        self.window_of(is_targeted).took(1, 0, bytes);
        true
    }

    /// Takes a call back that a thread is about to hand over; `false`: there is none at `index`, or
    /// it was handed over or taken back.
    pub(super) fn withdraw_unsent(&mut self, index: ItemIndex) -> bool {
        let unsent = |sent: &&mut Sent| sent.bytes.is_none() && !sent.withdrawn;
        let Some(sent) = self.sent_at(index).filter(unsent) else { return false };
        sent.withdrawn = true;
        true
    }

    /// Frees the index of a call for which there was no room; `false`: it was answered or taken
    /// back meanwhile, and is not to be sent again.
    pub(super) fn stays(&mut self, index: ItemIndex) -> bool {
        let withdrawn = self.sent_at(index).is_none_or(|sent| sent.withdrawn);
        self.end(index);
        !withdrawn
    }

    /// Frees the index of a call that was answered, or was not sent after all.
    #[inline]
    pub(super) fn end(&mut self, index: ItemIndex) -> Option<Arc<dyn Receiver>> {
        let index = usize::try_from(index.number()).ok()?;
        let Sent { receiver, is_targeted, bytes, .. } = self.sent.get_mut(index)?.take()?;
        self.free.push(index);
        let window = self.window_of(is_targeted);
        window.yielded(1);
        if let Some(bytes) = bytes {
            window.ended(bytes);
        }
        Some(receiver)
    }

    /// Notes that a call ran for `nanos` nanoseconds; 0: it was not timed.
    #[inline]
    pub(super) fn ran(&mut self, nanos: u64) {
        if nanos > 0 {
            let seen = nanos as f64;
            self.nanos = Some(self.nanos.map_or(seen, |before| before * 0.75 + seen * 0.25));
        }
    }

    /// The index of a call that was sent.
    pub(super) fn index_of(&self, entry: *const ()) -> Option<ItemIndex> {
        let is_it = |s: &Option<Sent>| s.as_ref().is_some_and(|s| s.receiver.address() == entry);
        self.sent.iter().position(is_it).map(|index| ItemIndex::new(index as u64))
    }

    /// Answers every call that has no answer; returns the calls that were not sent.
    pub(super) fn give_up(&mut self, why: &Error) -> Waiting {
        self.free.clear();
        let unsent = std::mem::take(&mut self.waiting);
        let receivers = self.sent.drain(..).flatten().map(|sent| sent.receiver);
        let receivers = receivers.chain(unsent.iter().map(|unsent| unsent.receiver()));
        self.answered
            .extend(receivers.map(|receiver| (Some(receiver), Answer::Failed(why.clone()))));
        unsent
    }

    #[inline]
    pub(super) fn buffers(&mut self, session: &Session) -> Box<Buffers> {
        self.spare_buffers.pop().unwrap_or_else(|| session.take_buffers())
    }

    #[inline]
    pub(super) fn put_buffers(&mut self, mut buffers: Box<Buffers>) {
        buffers.clear();
        self.spare_buffers.push(buffers);
    }

    /// One set of buffers, if there is any; the others are dropped.
    pub(super) fn last_buffers(&mut self) -> Option<Box<Buffers>> {
        std::mem::take(&mut self.spare_buffers).pop()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::queue::Terms, *};
    use crate::{
        engine::MeasureResults,
        job::{EncodedItems, ItemAllocator},
        reentrancy::{Brought, InCall},
        task::Call,
    };

    struct Stub;

    impl Receiver for Stub {
        fn receive(&self, _: &ResultBatch, _: &ItemAllocator, _: &mut Buffers) {}
        fn receive_plain(&self, _: &ResultBatch, _: &mut Buffers) -> bool {
            false
        }
        fn fail(&self, _: Error) {}
        fn enter_delivery(&self) -> (Brought, InCall) {
            unreachable!("nothing is delivered")
        }
        fn address(&self) -> *const () {
            std::ptr::from_ref(self).cast()
        }
    }

    impl Unsent for Stub {
        fn receiver(&self) -> Arc<dyn Receiver> {
            Arc::new(Stub)
        }
        fn into_receiver(self: Box<Self>) -> Arc<dyn Receiver> {
            Arc::new(*self)
        }
        fn is_plain(&self) -> bool {
            false
        }
        fn worker(&self) -> Option<WorkerId> {
            None
        }
        fn call(&self) -> (Call, &Terms, MeasureResults) {
            unreachable!("nothing is sent")
        }
        fn encode(
            &self,
            _: &ItemAllocator,
            _: &mut Buffers,
            _: bool,
        ) -> Result<Option<EncodedItems>, Error> {
            Ok(None)
        }
    }

    #[test]
    fn one_thread_at_a_time_sends_from_the_line_but_not_for_long() {
        let mut in_flight = InFlight::new(1);
        (0..3).for_each(|_| in_flight.waiting.push_back(Box::new(Stub)));
        assert!(!in_flight.is_line_held() && in_flight.hold_line().is_some());
        assert!(in_flight.is_line_held() && in_flight.hold_line().is_none());
        in_flight.let_go_of_line();
        assert!(in_flight.hold_line().is_some());
        in_flight.line_held_since = coarse_now().checked_sub(LINE_HELD_FOR);
        assert!(!in_flight.is_line_held() && in_flight.hold_line().is_some());
    }

    #[test]
    fn a_call_is_taken_back_before_it_is_handed_over_or_not_at_all() {
        let mut in_flight = InFlight::new(1);
        let begin = |in_flight: &mut InFlight| in_flight.begin(Arc::new(Stub), None).0;
        let (one, other, none) =
            (begin(&mut in_flight), begin(&mut in_flight), begin(&mut in_flight));
        assert!(in_flight.withdraw_unsent(one) && !in_flight.withdraw_unsent(one));
        assert!(in_flight.hand_over(other, 8) && !in_flight.withdraw_unsent(other));
        assert!(in_flight.withdraw_unsent(none));
        // The index is used again only once the sender has seen it.
        assert_ne!(begin(&mut in_flight), one);
        assert!(!in_flight.hand_over(one, 8) && !in_flight.stays(none));
        assert_eq!(in_flight.under_way(), 2);
    }
}
