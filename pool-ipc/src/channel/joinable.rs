//! A queue whose messages count until they are done.
//!
//! Invariant: at every moment a message that was put in is in the ring, or counted by the process
//! that has taken it, until that says that it is done. A thread that waits looks at the ring first
//! and at the counts then. What a process had in hand that has ended is lost, and no join waits for
//! it.

use std::{error, fmt, ops::ControlFlow, sync::Arc, time::Duration};

use pool_shm::SegmentFault;

use super::{
    ChannelBuilder, ChannelError, Receiver, RecvError, SendError, Sender,
    receiver::Counted,
    wait::{Limit, Look, wait_until},
};
use crate::Wire;

/// A queue that several processes put messages in and take them from, and that can be waited for
/// until all are done. Python's `multiprocessing.JoinableQueue`, but typed and bounded.
///
/// ```
/// use pool_ipc::channel::JoinableQueue;
///
/// let queue = JoinableQueue::<u32>::new(10)?; // its clones may be sent to other processes
/// queue.send(7)?;
/// assert_eq!(queue.recv()?, 7);
/// queue.task_done()?;
/// queue.join();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Each copy sends and receives, so none sees an end: tell those that only take messages out when
/// they are to stop, by a message for example.
///
/// What a process has received and not done when it ends, or drops its last copy of the queue, is
/// lost and counted ([`lost`](Self::lost)), and no [`join`](Self::join) waits for it. (One that is
/// killed in the very moment of an attempt to receive may count for one too many.) A process that
/// becomes another program (`exec`) has not ended: what it had in hand counts until that program
/// ends, and a `join` waits as long.
pub struct JoinableQueue<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
}

/// [`JoinableQueue::task_done`] was called more often than this process has received a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NothingInHand;

impl fmt::Display for NothingInHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this process has no message in hand that it could have done")
    }
}

impl error::Error for NothingInHand {}

impl ChannelBuilder {
    /// Makes a queue that can be joined.
    ///
    /// # Errors
    ///
    /// The errors of [`build`](Self::build).
    pub fn joinable_queue<T: Wire>(self) -> Result<JoinableQueue<T>, ChannelError> {
        let (sender, receiver) = self.build_counted(Counted::UntilDone)?;
        Ok(JoinableQueue { sender, receiver })
    }
}

impl<T: Wire> JoinableQueue<T> {
    /// A queue that holds at most `capacity` messages.
    ///
    /// # Errors
    ///
    /// The errors of [`channel`](super::channel()).
    pub fn new(capacity: usize) -> Result<Self, ChannelError> {
        ChannelBuilder::new(capacity).joinable_queue()
    }

    /// Puts a message in; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// The errors of [`Sender::send`], but `Disconnected`: this copy receives, too.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.sender.send(message)
    }

    /// Puts a message in like [`send`](Self::send), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::TimedOut`], and the errors of [`send`](Self::send).
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendError<T>> {
        self.sender.send_timeout(message, timeout)
    }

    /// Puts a message in if there is room at once.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], and the errors of [`send`](Self::send).
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.sender.try_send(message)
    }

    /// Takes the next message out; waits while there is none. This process has it in hand until
    /// [`task_done`](Self::task_done).
    ///
    /// # Errors
    ///
    /// [`RecvError::Process`]; [`RecvError::Decode`], whose message counts as done.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::ENDLESS)
    }

    /// Takes a message out like [`recv`](Self::recv), but waits no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`], and the errors of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_until(Limit::after(timeout))
    }

    /// Takes the next message out if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], and the errors of [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::Now)
    }

    fn recv_until(&self, limit: Limit) -> Result<T, RecvError> {
        let received = self.receiver.recv_until(limit, Counted::UntilDone);
        if matches!(received, Err(RecvError::Decode(_))) {
            // If another thread has said so too often, this one is done as well.
            let _ = self.task_done();
        }
        received
    }
}

impl<T> JoinableQueue<T> {
    /// The queue that both ends are of.
    pub(super) fn of(sender: Sender<T>, receiver: Receiver<T>) -> Result<Self, SegmentFault> {
        let [one, other] = [sender.endpoint(), receiver.endpoint()];
        let is_one = Arc::ptr_eq(&one.channel, &other.channel);
        if !is_one || !one.channel.memory.counts_until_done {
            return Err(SegmentFault::OtherKind);
        }
        Ok(Self { sender, receiver })
    }

    pub(super) fn sender(&self) -> &Sender<T> {
        &self.sender
    }

    pub(super) fn receiver(&self) -> &Receiver<T> {
        &self.receiver
    }

    /// Says that a message which this process has received is done.
    ///
    /// # Errors
    ///
    /// [`NothingInHand`] if it has done all that it has received.
    pub fn task_done(&self) -> Result<(), NothingInHand> {
        let channel = &self.receiver.endpoint().channel;
        let ticket = channel.known_ticket().ok_or(NothingInHand)?;
        let left = channel.parties().done(ticket).ok_or(NothingInHand)?;
        if left == 0 {
            channel.memory.header.idle.wake_any_sleepers();
        }
        Ok(())
    }

    /// Waits until all messages that were put in are done, those too that are put in meanwhile.
    pub fn join(&self) {
        let is_done = self.join_until(Limit::ENDLESS);
        debug_assert!(is_done, "without a limit it is over only then");
    }

    /// Waits like [`join`](Self::join), but not longer than `timeout`; `false` if that is over.
    #[must_use]
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.join_until(Limit::after(timeout))
    }

    fn join_until(&self, limit: Limit) -> bool {
        let endpoint = self.receiver.endpoint();
        let channel = &endpoint.channel;
        let all_done = wait_until(&channel.memory.header.idle, limit, &endpoint.rarely, |look| {
            let mut drained = channel.memory.ring.drained();
            if look == Look::Thorough {
                // Slots that the dead hold up are freed, or passed over, one after the other.
                while match drained {
                    Ok(()) => false,
                    Err(Some(slot)) => endpoint.recover(slot),
                    Err(None) => channel.free_if_taken(),
                } {
                    drained = channel.memory.ring.drained();
                }
            }
            if drained.is_ok() && channel.have_nothing_in_hand(look) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        all_done.is_some()
    }

    /// How many messages are in the queue, about; those in hand are not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Whether there is no message in the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// Whether there is no room for another message.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.receiver.is_full()
    }

    /// How many messages the queue holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.receiver.capacity()
    }

    /// How many messages were lost in the hands of processes that ended.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.receiver.lost()
    }
}

impl<T> Clone for JoinableQueue<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), receiver: self.receiver.clone() }
    }
}

impl<T> fmt::Debug for JoinableQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinableQueue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::*;
    use crate::{
        channel::{
            held::Taking,
            payload::{Received, Room, block_in},
            ring::{Taker, one_less},
            word::Ticket,
        },
        primitive::{AtomicU64, Ordering::SeqCst},
    };

    const LONG: Duration = Duration::from_secs(20);

    /// A region holds one large message.
    fn queue<T: Wire>() -> JoinableQueue<T> {
        ChannelBuilder::new(2).max_bytes(64 * 4096).joinable_queue().unwrap()
    }

    fn large() -> Vec<u64> {
        vec![7; 300]
    }

    /// The ticket of a party whose place has no process any more.
    fn dead() -> Ticket {
        Ticket::new(9, 1)
    }

    /// Looks that what the dead had in hand is lost once, and room again.
    fn goes_on(queue: &JoinableQueue<Vec<u64>>) {
        assert!(queue.join_timeout(LONG) && queue.lost() == 1);
        for _ in 0..3 {
            queue.send_timeout(large(), LONG).unwrap();
            assert_eq!(queue.recv().unwrap(), large());
            queue.task_done().unwrap();
        }
        assert!(queue.join_timeout(LONG));
        assert_eq!(queue.lost(), 1);
    }

    #[test]
    fn a_slot_whose_sender_has_ended_is_joined() {
        let queue = queue();
        let ring = queue.receiver.endpoint().channel.memory.ring;
        let _never_published = ring.claim(dead()).unwrap();
        goes_on(&queue);
    }

    #[test]
    fn a_slot_whose_receiver_has_ended_is_joined() {
        let queue = queue();
        queue.send(large()).unwrap();
        let channel = &queue.receiver.endpoint().channel;
        // The receiver has counted and taken the block, and not freed the slot.
        channel.in_hand(dead()).fetch_add(1, SeqCst);
        let id = channel.memory.ring.payloads().find_map(block_in).unwrap();
        assert!(channel.memory.blocks.hold(id, dead()));
        goes_on(&queue);
    }

    #[test]
    fn a_large_message_is_lost_once() {
        let queue = queue();
        queue.send(large()).unwrap();
        let channel = &*queue.receiver.endpoint().channel;
        let mut room = Room::new();
        let mut received = Received::new(&mut room);
        let mut taking = Taking::<Vec<u64>> {
            received: &mut received,
            channel,
            ticket: Some(dead()),
            in_hand: Some(channel.in_hand(dead())),
            messages: PhantomData,
        };
        // The receiver ends before it has given the block back.
        taking.take().unwrap();
        goes_on(&queue);
    }

    /// A receiver that is too slow, while another thread says too often that it is done.
    struct TooSlow<'a>(&'a AtomicU64);

    impl Taker for TooSlow<'_> {
        fn copy(&mut self, _: &'static [AtomicU64]) -> bool {
            self.0.fetch_update(SeqCst, SeqCst, one_less).unwrap();
            true
        }

        fn hold(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn what_is_in_hand_is_never_less_than_nothing() {
        let queue = queue::<u64>();
        queue.send(1).unwrap();
        let channel = &queue.receiver.endpoint().channel;
        let in_hand = channel.in_hand(channel.ticket().unwrap());
        let before = in_hand.load(SeqCst);
        assert!(channel.memory.ring.take_counted(&mut TooSlow(in_hand), in_hand).is_err());
        assert_eq!(in_hand.load(SeqCst), before);
        assert_eq!(queue.task_done(), Err(NothingInHand));
    }
}
