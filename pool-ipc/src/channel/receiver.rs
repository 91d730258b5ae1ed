//! The receiving side.
//!
//! Invariant: a message is taken by one step, after the payload of its slot was copied and before
//! any code of the user runs. So a receiver never has a slot in hand, and one that dies holds up
//! nothing but the block of the message that it reads, which that message's sender finds.

use std::{
    fmt,
    marker::PhantomData,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use super::{
    endpoint::Endpoint,
    error::RecvError,
    held::{HeldBlock, Taking},
    payload::{Received, Room, is_plain},
    wait::{Limit, Look, wait_until},
};
use crate::Wire;

/// An end of a channel that messages are received by. Clones, copies in forked processes, and those
/// that were sent to others take messages of the same channel: each message is received once.
///
/// ```
/// let (sender, receiver) = pool_ipc::channel::channel::<u64>(10)?;
/// (0..3).try_for_each(|number| sender.send(number))?;
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<Result<Vec<_>, _>>()?, [0, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Receiver<T> {
    endpoint: Arc<Endpoint>,
    messages: PhantomData<fn() -> T>,
}

/// Tells the other side of news when it is dropped.
struct Notice<'a>(&'a Endpoint);

impl Drop for Notice<'_> {
    fn drop(&mut self) {
        self.0.notify();
    }
}

/// Whether a message counts as in hand after it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    No,
    UntilDone,
}

impl<T: Wire> Receiver<T> {
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, messages: PhantomData }
    }

    /// Receives the next message; waits while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Disconnected`] when there is no message, and no sender any more;
    /// [`RecvError::Decode`], [`RecvError::Process`].
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::ENDLESS, Counted::No)
    }

    /// Receives the next message; waits while there is none, but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`RecvError::TimedOut`], and the errors of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_until(Limit::after(timeout), Counted::No)
    }

    /// Receives the next message if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], and the errors of [`recv`](Self::recv). That the last sender went with
    /// its process is noticed by a try a millisecond later at the latest.
    #[inline]
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.recv_until(Limit::Now, Counted::No)
    }

    /// The messages, one after the other, until there is no sender any more. Waits for each.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// The messages that there are, one after the other, until there is none. Does not wait.
    #[must_use]
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Receives the next message in place: `read` is called with its archived form, which is not
    /// decoded. Waits while there is none.
    ///
    /// A large message lies where its sender has put it as long as `read` runs. Counts among the
    /// [`exclusive_borrows`](pool_shm::exclusive_borrows) of the thread meanwhile.
    ///
    /// ```
    /// let (sender, receiver) = pool_ipc::channel::channel::<Vec<u8>>(10)?;
    /// sender.send(vec![1; 100_000])?;
    /// assert_eq!(receiver.recv_view(|bytes| bytes.len())?, 100_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`recv`](Self::recv).
    pub fn recv_view<R>(&self, read: impl FnOnce(&T::Archived) -> R) -> Result<R, RecvError> {
        self.view_until(Limit::ENDLESS, read)
    }

    /// Receives in place like [`recv_view`](Self::recv_view), but does not wait longer than
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// The errors of [`recv_timeout`](Self::recv_timeout).
    pub fn recv_view_timeout<R>(
        &self,
        timeout: Duration,
        read: impl FnOnce(&T::Archived) -> R,
    ) -> Result<R, RecvError> {
        self.view_until(Limit::after(timeout), read)
    }

    /// Receives in place like [`recv_view`](Self::recv_view) if there is a message.
    ///
    /// # Errors
    ///
    /// The errors of [`try_recv`](Self::try_recv).
    pub fn try_recv_view<R>(&self, read: impl FnOnce(&T::Archived) -> R) -> Result<R, RecvError> {
        self.view_until(Limit::Now, read)
    }

    #[inline]
    pub(super) fn recv_until(&self, limit: Limit, counted: Counted) -> Result<T, RecvError> {
        let mut room = Room::new();
        let mut received = Received::new(&mut room);
        let block = self.take_until(limit, counted, &mut received)?;
        match block {
            None => received.decode(),
            Some(block) => self.then_notify(block, HeldBlock::decode),
        }
        .map_err(RecvError::Decode)
    }

    fn view_until<R>(
        &self,
        limit: Limit,
        read: impl FnOnce(&T::Archived) -> R,
    ) -> Result<R, RecvError> {
        let mut room = Room::new();
        let mut received = Received::new(&mut room);
        let block = self.take_until(limit, Counted::No, &mut received)?;
        match block {
            None => received.view::<T>().map(read),
            Some(block) => self.then_notify(block, |block| block.view::<T, R>(read)),
        }
        .map_err(RecvError::Decode)
    }

    /// Takes the next message: it is in `received`, or in the block that is returned.
    #[inline]
    fn take_until(
        &self,
        limit: Limit,
        counted: Counted,
        received: &mut Received<'_>,
    ) -> Result<Option<HeldBlock<'_>>, RecvError> {
        let channel = &*self.endpoint.channel;
        // Receivers of plain messages have nothing in hand, and need no place.
        let ticket = match counted {
            Counted::No if is_plain::<T>() => None,
            _ => Some(channel.ticket().map_err(RecvError::Process)?),
        };
        let in_hand = match counted {
            Counted::No => None,
            Counted::UntilDone => ticket.map(|ticket| channel.in_hand(ticket)),
        };
        let mut taking = Taking::<T> { received, channel, ticket, in_hand, messages: PhantomData };
        let (events, rarely) = (&self.endpoint.own_side().events, &self.endpoint.rarely);
        let taken = wait_until(events, limit, rarely, |look| self.attempt(&mut taking, look));
        let taken = match (taken, limit) {
            (None, Limit::Now) => self.attempt_after_notice(&mut taking),
            (taken, _) => taken,
        };
        match taken {
            Some(Ok(())) => {
                let block = taking.into_block();
                self.after_taking();
                Ok(block)
            }
            Some(Err(error)) => Err(error),
            None => Err(match limit {
                Limit::Now => RecvError::Empty,
                Limit::At(_) => RecvError::TimedOut,
            }),
        }
    }

    /// One more attempt for a receiver whose descriptor is watched.
    #[cold]
    fn attempt_after_notice(
        &self,
        taking: &mut Taking<'_, '_, '_, T>,
    ) -> Option<Result<(), RecvError>> {
        // A message that lies behind one of the dead is not there yet: a notice of it stays.
        let left = usize::from(!self.endpoint.is_empty());
        let taken = self.endpoint.take_notice(left);
        let found = taken.then(|| self.attempt(taking, Look::Quick).break_value()).flatten();
        if found.is_none() && self.endpoint.channel.memory.ring.has_room() {
            // It may have passed over a slot of the dead, which is room.
            self.endpoint.notify();
        }
        found
    }

    #[inline]
    fn attempt(
        &self,
        taking: &mut Taking<'_, '_, '_, T>,
        look: Look,
    ) -> ControlFlow<Result<(), RecvError>> {
        let blocked = match taking.take() {
            Ok(()) => return ControlFlow::Break(Ok(())),
            Err(blocked) => blocked,
        };
        if look == Look::Thorough && self.endpoint.recover(blocked) {
            return self.attempt(taking, Look::Quick);
        }
        if !self.endpoint.is_other_side_gone(look) {
            return ControlFlow::Continue(());
        }
        // The last sender may have sent something after the look at the ring.
        match taking.take() {
            Ok(()) => ControlFlow::Break(Ok(())),
            // Its process is about to end: then the slot is recovered. Outside the namespaces of
            // the channel's maker that is never seen, and what lies behind the slot is lost.
            Err(blocked) if blocked.writer().is_some() && self.endpoint.sees_processes() => {
                if self.endpoint.recover(blocked) {
                    self.attempt(taking, look)
                } else {
                    ControlFlow::Continue(())
                }
            }
            Err(_) => ControlFlow::Break(Err(RecvError::Disconnected)),
        }
    }

    /// Uses a block, gives it back, and tells senders that watch for room.
    fn then_notify<'a, R>(&self, block: HeldBlock<'a>, act: impl FnOnce(&HeldBlock<'a>) -> R) -> R {
        // Dropped in the reverse order, also if the user's code panics.
        let _notice = Notice(&self.endpoint);
        let block = block;
        act(&block)
    }

    /// Wakes a sender; and another receiver, for which a message lies behind the one that was
    /// taken.
    #[inline]
    fn after_taking(&self) {
        self.endpoint.other_side().events.wake_one();
        self.endpoint.notify();
        let own = &self.endpoint.own_side().events;
        if own.has_sleepers() && self.endpoint.channel.memory.ring.has_message() {
            own.wake_one();
        }
    }
}

impl<T> Receiver<T> {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How many messages are in the channel, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoint.channel.memory.ring.len()
    }

    /// Whether there is no message in the channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another message.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many messages the channel holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.endpoint.channel.memory.ring.capacity as usize
    }

    /// How many messages were lost with processes that were killed while they sent them, or had
    /// them in hand in the region of another.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.endpoint.channel.memory.ring.lost()
    }
}

/// What [`Receiver::iter`] returns.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T: Wire> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(self.receiver)
    }
}

/// The messages of a [`Receiver`] that it owns.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T: Wire> Iterator for IntoIter<T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(&self.receiver)
    }
}

/// Waits for the next message; `None`: there will be none.
fn next_of<T: Wire>(receiver: &Receiver<T>) -> Option<Result<T, RecvError>> {
    match receiver.recv() {
        Err(RecvError::Disconnected) => None,
        received => Some(received),
    }
}

/// What [`Receiver::try_iter`] returns.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T: Wire> Iterator for TryIter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.receiver.try_recv() {
            Err(RecvError::Empty | RecvError::Disconnected) => None,
            received => Some(received),
        }
    }
}

impl<'a, T: Wire> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Wire> IntoIterator for Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { endpoint: Arc::clone(&self.endpoint), messages: PhantomData }
    }
}

/// A descriptor that is readable when a message has come, or the last sender has gone, for `poll`,
/// `epoll`, and an executor's own (tokio's `AsyncFd`). It stays the receiver's and must not be read
/// from.
///
/// Ask for it first, and [`try_recv`](Receiver::try_recv) until that is [`RecvError::Empty`], and
/// so after each time that it was readable: from then on it is readable when a message comes. (It
/// may be readable without one: of many messages many notices are left, and each try that finds
/// none takes one.) All processes that have receivers share it. A sender that is killed between
/// sending and saying so leaves a message of which it says nothing until the next one, so look
/// once in a while, as [`Select`] does by itself. From the first time on, each message costs its
/// sender a system call or two.
///
/// [`Select`]: super::Select
///
/// ```
/// use std::{os::fd::AsFd, time::Duration};
///
/// use pool_ipc::channel::{RecvError, channel};
///
/// let (sender, receiver) = channel::<u64>(10)?;
/// let file = receiver.as_fd();
/// assert!(matches!(receiver.try_recv(), Err(RecvError::Empty)));
/// let moment = Duration::from_millis(1);
/// assert!(pool_shm::readable_within(&[file], moment)?.is_empty());
/// sender.send(7)?;
/// assert_eq!(pool_shm::readable_within(&[file], moment)?, [0]);
/// assert_eq!(receiver.try_recv()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T> AsFd for Receiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.endpoint.watch()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
