//! What the endpoints of one side share in a process.
//!
//! Invariant: a process has one `Endpoint` of a side, which its senders, or its receivers, count.
//! When the last of them goes, so does the process's descriptor of the side, unless a message
//! carries it, and then the other side is told to look.

use std::{
    num::NonZeroU64,
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, SeqCst},
        },
    },
};

use pool_shm::{ForkMark, ProcessIdentity, SegmentFault, SharedSegment};

use super::{
    encode::Allocated,
    error::{ChannelError, ProcessFault},
    known,
    layout::{Memory, Side},
    parties::Parties,
    payload::block_in,
    region::Regions,
    ring::Blocked,
    wait::{Look, Rarely},
    word::Ticket,
};

/// A channel as this process sees it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) memory: Memory,
    /// The ticket of this process. A forked child has none until it needs one.
    ticket: ForkMark,
    /// The namespaces in which the words of processes mean something.
    namespace: u64,
    regions: Regions,
}

impl Channel {
    fn new(memory: Memory) -> Result<Self, ChannelError> {
        let ticket = match parties_of(&memory).register() {
            Ok(ticket) => ticket,
            Err(ProcessFault::Unidentified(error)) => return Err(error.into()),
            Err(_) => unreachable!("a fresh table has a place"),
        };
        let (ticket, namespace) = (ForkMark::new(number(ticket))?, ProcessIdentity::namespace()?);
        // Relaxed: no other process has the channel yet.
        memory.header.facts.namespace.store(namespace, Relaxed);
        Ok(Self { memory, ticket, namespace, regions: Regions::new() })
    }

    /// A channel that another process has made.
    fn of_other(memory: Memory) -> Result<Self, pool_shm::Error> {
        // Relaxed: written before the handle was sent.
        let namespace = memory.header.facts.namespace.load(Relaxed);
        Ok(Self { memory, ticket: ForkMark::unset()?, namespace, regions: Regions::new() })
    }

    pub(super) fn parties(&self) -> Parties<'_> {
        parties_of(&self.memory)
    }

    /// The count of messages that the process with this ticket has in hand.
    pub(super) fn in_hand(&self, ticket: Ticket) -> &AtomicU64 {
        &self.memory.header.parties[ticket.place()].in_hand
    }

    /// Whether this process has the ticket: not a forked child of the one that has it.
    pub(super) fn has_ticket(&self, ticket: Ticket) -> bool {
        self.known_ticket() == Some(ticket)
    }

    /// Allocates room for a message in the region of this process, if there is any just now.
    pub(super) fn allocate(&self, ticket: Ticket, len: usize) -> Option<Allocated> {
        let Memory { blocks, region_bytes, .. } = self.memory;
        let (id, offset) = self.regions.allocate(ticket, blocks, region_bytes, len)?;
        let start = self.memory.range(ticket.place(), offset, len);
        let start = start.expect("what is allocated lies in the region");
        Some(Allocated { blocks, id, offset, start })
    }

    /// Frees the first slot in the ring if its message lies in a block that was taken. Its receiver
    /// may have ended before it has freed the slot. Returns whether a slot was freed.
    pub(super) fn free_if_taken(&self) -> bool {
        let Memory { ring, blocks, header, .. } = self.memory;
        let is_taken =
            |payload: &[AtomicU64]| block_in(payload).is_some_and(|id| !blocks.is_sent(id));
        let is_freed = blocks.each > 0 && ring.free_if_taken(is_taken);
        if is_freed {
            header.senders.events.wake_one();
        }
        is_freed
    }

    /// Whether this process can find out which processes have ended: only in the namespaces of the
    /// channel's maker the words of processes name them.
    pub(super) fn sees_processes(&self) -> bool {
        ProcessIdentity::namespace().is_ok_and(|namespace| namespace == self.namespace)
    }

    /// Whether no process has a message in hand. A thorough look passes over those that have ended.
    pub(super) fn have_nothing_in_hand(&self, look: Look) -> bool {
        let finds_the_dead = look == Look::Thorough && self.sees_processes();
        self.parties().have_nothing_in_hand(finds_the_dead)
    }

    /// Frees what receivers had in hand that have ended.
    pub(super) fn free_of_the_dead(&self, ticket: Ticket) {
        let in_use = self.regions.in_use(ticket);
        self.parties().free_of_the_dead(in_use.into_iter());
    }

    /// The ticket of this process.
    #[inline]
    pub(super) fn ticket(&self) -> Result<Ticket, ProcessFault> {
        self.known_ticket().map_or_else(|| self.register(), Ok)
    }

    /// The ticket of this process, if it has one.
    #[inline]
    pub(super) fn known_ticket(&self) -> Option<Ticket> {
        Ticket::from_number(self.ticket.get())
    }

    #[cold]
    fn register(&self) -> Result<Ticket, ProcessFault> {
        let namespace = ProcessIdentity::namespace().map_err(ProcessFault::Unidentified)?;
        if namespace != self.namespace {
            return Err(ProcessFault::ForeignNamespace);
        }
        let fresh = self.parties().register()?;
        let kept = Ticket::from_number(self.ticket.get_or_set(number(fresh))).unwrap_or(fresh);
        if kept != fresh {
            // Another thread was faster.
            self.parties().release(fresh, false);
        }
        Ok(kept)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(ticket) = self.known_ticket() {
            let has_messages = self.regions.has_in_use(ticket, self.memory.blocks);
            self.parties().release(ticket, has_messages);
            // What this process had in hand is over.
            self.memory.header.idle.wake_any_sleepers();
        }
    }
}

fn parties_of(memory: &Memory) -> Parties<'_> {
    let Memory { header, ring, blocks, counts_until_done, .. } = *memory;
    Parties { table: &header.parties, ring, blocks, counts_until_done }
}

fn number(ticket: Ticket) -> NonZeroU64 {
    NonZeroU64::new(ticket.number().into()).expect("tickets are not 0")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Sender,
    Receiver,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) channel: Arc<Channel>,
    role: Role,
    /// Tells of its presence; `None` while it is dropped.
    presence: Option<SharedSegment>,
    /// The departures from the other side after which this process has looked last.
    seen_departures: AtomicU32,
    /// When threads that do not wait look thoroughly.
    pub(super) rarely: Rarely,
}

impl Endpoint {
    /// Both sides of a fresh channel.
    pub(super) fn pair(memory: Memory) -> Result<(Arc<Self>, Arc<Self>), ChannelError> {
        let (one, other) = SharedSegment::presence_pair().map_err(ChannelError::Sockets)?;
        let id = memory.block.segment().id();
        let channel = known::channel(id, || Channel::new(memory))?;
        let sender = Self::known(Arc::clone(&channel), Role::Sender, one)?;
        Ok((sender, Self::known(channel, Role::Receiver, other)?))
    }

    /// The endpoint that a handle from another process leads to.
    pub(super) fn of_handle(
        memory: Memory,
        role: Role,
        presence: SharedSegment,
    ) -> Result<Arc<Self>, SegmentFault> {
        let (id, mut memory) = (memory.block.segment().id(), Some(memory));
        let make = || Channel::of_other(memory.take().expect("called once"));
        let channel = known::channel(id, make)?;
        // What this process knows already was not checked for this handle.
        if memory.is_some_and(|memory| memory != channel.memory) {
            return Err(SegmentFault::OtherElement);
        }
        let endpoint = Self::known(channel.clone(), role, presence)?;
        let is_its = endpoint.role == role && Arc::ptr_eq(&endpoint.channel, &channel);
        if is_its { Ok(endpoint) } else { Err(SegmentFault::OtherKind) }
    }

    fn known(
        channel: Arc<Channel>,
        role: Role,
        presence: SharedSegment,
    ) -> Result<Arc<Self>, pool_shm::Error> {
        known::endpoint(presence.id(), || Self::new(channel, role, presence))
    }

    fn new(channel: Arc<Channel>, role: Role, presence: SharedSegment) -> Self {
        let (seen_departures, rarely) = (AtomicU32::new(0), Rarely::default());
        Self { channel, role, presence: Some(presence), seen_departures, rarely }
    }

    /// The segment that tells of its presence.
    pub(super) fn presence(&self) -> Option<&SharedSegment> {
        self.presence.as_ref()
    }

    /// Whether it counts as one that this process has.
    pub(super) fn is_present(&self) -> bool {
        self.presence().is_some_and(SharedSegment::is_present)
    }

    #[inline]
    pub(super) fn own_side(&self) -> &'static Side {
        let header = self.channel.memory.header;
        match self.role {
            Role::Sender => &header.senders,
            Role::Receiver => &header.receivers,
        }
    }

    #[inline]
    pub(super) fn other_side(&self) -> &'static Side {
        let header = self.channel.memory.header;
        match self.role {
            Role::Sender => &header.receivers,
            Role::Receiver => &header.senders,
        }
    }

    /// Whether there is no endpoint of the other side any more, in any process. A quick look sees
    /// those that were dropped, a thorough one also those that went with their process.
    #[inline]
    pub(super) fn is_other_side_gone(&self, look: Look) -> bool {
        let other = self.other_side();
        let departures = other.departures.load(Acquire);
        // Relaxed: this process's own note, which carries nothing.
        let is_new = departures != self.seen_departures.load(Relaxed);
        if !is_new && look == Look::Quick { other.is_gone.load(Acquire) != 0 } else { self.ask() }
    }

    #[cold]
    fn ask(&self) -> bool {
        let other = self.other_side();
        // Before the kernel is asked: what departs afterwards is another change.
        self.seen_departures.store(other.departures.load(SeqCst), Relaxed);
        let is_peer_gone = || self.presence().is_some_and(SharedSegment::is_peer_gone);
        if other.is_gone.load(SeqCst) == 0 && !is_peer_gone() {
            return false;
        }
        other.is_gone.store(1, SeqCst);
        true
    }

    /// The descriptor that is readable when there is news of the other side. From now on all
    /// processes make it so.
    pub(super) fn watch(&self) -> BorrowedFd<'_> {
        // SeqCst: the first half of a pair; the second is the look at the ring that follows.
        self.own_side().watches.store(1, SeqCst);
        let readable = self.presence().and_then(SharedSegment::readable);
        readable.expect("an endpoint has it until it is dropped")
    }

    /// Makes the descriptors of the other side readable, if any was asked for.
    #[inline]
    pub(super) fn notify(&self) {
        // SeqCst: the second half of the pair; the first is the change of the ring.
        if self.other_side().watches.load(SeqCst) != 0 {
            self.notify_now();
        }
    }

    #[cold]
    fn notify_now(&self) {
        if let Some(presence) = self.presence() {
            presence.notify_peer();
        }
    }

    /// Takes one notice of the other side if its descriptor was asked for: `true`, then the caller
    /// looks at the ring once more, since it may have been of what came after its last look. One,
    /// since the others may be of what other consumers are to find. `left`: so many are left.
    #[cold]
    pub(super) fn take_notice(&self, left: usize) -> bool {
        let watches = self.own_side().watches.load(SeqCst) != 0;
        if let Some(presence) = self.presence().filter(|_| watches) {
            presence.take_notice(left);
        }
        watches
    }

    /// Whether there is no message in the channel, nor any on its way into a slot.
    pub(super) fn is_empty(&self) -> bool {
        self.channel.memory.ring.drained().is_ok()
    }

    /// Whether a receiver has a message to take, or there is no sender any more. A thorough look
    /// frees a message that lies behind one of a sender that has ended.
    pub(super) fn has_news(&self, look: Look) -> bool {
        let ring = self.channel.memory.ring;
        if look == Look::Thorough
            && !ring.has_message()
            && let Err(blocked) = ring.peek()
        {
            self.recover(blocked);
        }
        ring.has_message() || self.is_other_side_gone(look)
    }

    /// Whether this process can see whether those of the other endpoints have ended.
    pub(super) fn sees_processes(&self) -> bool {
        self.channel.sees_processes()
    }

    /// Recovers the slot in the way if its sender is seen to have ended.
    pub(super) fn recover(&self, blocked: Blocked) -> bool {
        let channel = &self.channel;
        // Most looks find a free slot: then nothing is asked.
        let recovered = blocked.writer().is_some()
            && self.sees_processes()
            && channel.parties().recover(blocked);
        if recovered {
            channel.memory.header.receivers.events.wake_all();
            if matches!(self.role, Role::Sender) {
                self.notify();
            }
        }
        recovered
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.presence = None;
        self.own_side().departures.fetch_add(1, SeqCst);
        self.other_side().events.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pool_shm::ElementType;

    use super::*;
    use crate::channel::{Receiver, RecvError, layout::Size};

    /// A channel of numbers, as a process sees it in its maker's namespaces or in others.
    fn seen_from(is_foreign: bool) -> Channel {
        let size = Size {
            capacity: 1,
            stride: 2,
            max_bytes: None,
            has_regions: false,
            counts_until_done: true,
        };
        let mut channel =
            Channel::new(Memory::new(size, ElementType::bytes_of::<u64>()).unwrap()).unwrap();
        channel.namespace ^= u64::from(is_foreign);
        channel
    }

    #[test]
    fn a_receiver_does_not_wait_for_a_slot_that_none_can_publish() {
        for is_foreign in [true, false] {
            let channel = seen_from(is_foreign);
            let _never_published = channel.memory.ring.claim(Ticket::new(9, 1)).unwrap();
            let (end, peer) = SharedSegment::presence_pair().unwrap();
            drop(peer);
            let endpoint = Endpoint::new(Arc::new(channel), Role::Receiver, end);
            let receiver = Receiver::<u64>::new(Arc::new(endpoint));
            let received = receiver.recv_timeout(Duration::from_secs(20));
            assert!(matches!(received, Err(RecvError::Disconnected)), "{received:?}");
        }
    }

    #[test]
    fn the_dead_are_found_in_the_namespaces_of_the_maker_only() {
        for is_foreign in [true, false] {
            let channel = seen_from(is_foreign);
            let (ring, other) = (channel.memory.ring, Ticket::new(9, 1));
            // No process of this namespace has the place.
            let _never_published = ring.claim(other).unwrap();
            channel.in_hand(other).fetch_add(1, SeqCst);
            let (end, _peer) = SharedSegment::presence_pair().unwrap();
            let endpoint = Endpoint::new(Arc::new(channel), Role::Receiver, end);
            let blocked = ring.peek().unwrap_err();
            assert_eq!(endpoint.recover(blocked), !is_foreign);
            assert_eq!(endpoint.channel.have_nothing_in_hand(Look::Thorough), !is_foreign);
            assert_eq!(endpoint.channel.memory.ring.lost(), u64::from(!is_foreign));
        }
    }
}
