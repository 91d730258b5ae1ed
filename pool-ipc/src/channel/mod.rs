//! Typed, bounded channels between threads and processes: many senders, many receivers.
//!
//! ```
//! use pool_ipc::channel::channel;
//!
//! let (sender, receiver) = channel::<(u32, String)>(100)?;
//! // A process that is forked from here on has both ends, too.
//! sender.send((1, "a".into()))?;
//! assert_eq!(receiver.recv()?, (1, "a".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Any number of threads send, any number receive, in at most 64 processes; each message is
//! received once, and those of one sender in their order. (Processes that only receive messages
//! which lie in slots, see below, are not counted.)
//!
//! # Which processes have a channel
//!
//! The one that made it, and those that were given an endpoint. Endpoints are
//! [`Wire`](crate::Wire): one that is encoded is a clone that counts until its message is dropped,
//! and then where it was decoded. What passes segments of shared objects on
//! ([`SegmentBroker`](crate::SegmentBroker)) passes these on, too. Messages of channels carry no
//! endpoints and no other handles.
//!
//! A process that is forked has copies of all endpoints, as of the descriptors of a pipe. A copy
//! counts from the fork on, whether it is used or not, until it is dropped, or its process ends or
//! becomes another program (`exec`). So drop in each process the endpoints that it does not use;
//! and a child that leaves without destructors, by `_exit`, drops all of its own.
//! [`SharedSegment::abandon`](pool_shm::SharedSegment::abandon) makes those of
//! [`SharedSegment::presences`](pool_shm::SharedSegment::presences) count no more that a child does
//! not know of. Each side takes one descriptor of each process that has endpoints of it, and the
//! channel one more. A program that closes all descriptors closes these, too: its copies count no
//! more, it does not see the end of the other side, and they cannot be sent.
//!
//! # Processes that are killed
//!
//! A process that is killed, at whatever instruction, holds up the others for about 10 ms at most.
//! The message that it was sending is lost, and so is one that it reads in the region of another
//! process: both are counted by [`Sender::lost`]. Those that it has sent are received; those that
//! it has received are gone with it. A process that is *stopped* (SIGSTOP) in the middle of the
//! copy of a message holds up the messages behind that one until it goes on.
//!
//! A process that becomes another program (`exec`) has not ended in this sense: until that program
//! ends, a message that one of its threads was sending holds up those behind it, and what it had in
//! hand stays so.
//!
//! Processes in the PID and time namespaces of the channel's maker find out which others have
//! ended. A child that was put into others cannot: it sends nothing
//! ([`ProcessFault::ForeignNamespace`]), and behind a slot of the dead it waits until one of those
//! has looked, or until there is no sender any more: then it receives nothing further.
//!
//! # Memory
//!
//! All memory is one segment, made with the channel; nothing is mapped later. Types whose encoded
//! form is the value itself, up to 256 bytes, take their size and 8 bytes for each of `capacity`
//! messages, all others 128 bytes. What is larger than that, encoded, lies in the region of its
//! sender: each process has one, 256 MiB by default, from which messages take memory when they are
//! first sent. [`ChannelBuilder::max_bytes`] sets the size of all regions together. A message that
//! is larger than a region is refused, one for which there is no room waits until receivers have
//! read others. Memory that was taken once stays with the channel until its end.
//!
//! [`Receiver::recv_view`] reads a large message where it lies.

// * `builder.rs`: makes a channel.
// * `sender.rs`, `receiver.rs`: the two ends; `error.rs`: their errors.
// * `select.rs`: waits for any of several receivers.
// * `duplex.rs`: two ends that talk to each other; `joinable.rs`: a queue that can be waited for.
// * `endpoint.rs`: what the ends of one side share in a process.
// * `ring.rs`: the ring of slots; `word.rs`: the word of a slot; `payload.rs`: how a message lies
//   in it; `encode.rs`: how it is encoded before.
// * `blocks.rs`: the words of blocks, which large messages lie in; `region.rs`: where a process
//   places them; `held.rs`: one in the hands of a receiver.
// * `parties.rs`: the processes that send, and which of them have ended.
// * `known.rs`: the channels and endpoints that this process has; `wire.rs`: endpoints as parts of
//   a message.
// * `events.rs`: sleeping until the other side does something; `wait.rs`: how long at once.
// * `layout.rs`: the memory.
// * `model.rs`: a ring of the model checker's atomics.

#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod blocks;
#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod duplex;
#[cfg(not(loom))]
mod encode;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod error;
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod events;
#[cfg(not(loom))]
mod held;
#[cfg(not(loom))]
mod joinable;
#[cfg(not(loom))]
mod known;
#[cfg(not(loom))]
mod layout;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod parties;
#[cfg(not(loom))]
mod payload;
#[cfg(not(loom))]
mod receiver;
#[cfg(not(loom))]
mod region;
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod ring;
#[cfg(not(loom))]
mod select;
#[cfg(not(loom))]
mod sender;
#[cfg(not(loom))]
mod wait;
#[cfg(not(loom))]
mod wire;
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod word;

#[cfg(loom)]
pub use {
    blocks::{BlockId, Blocks},
    events::{EventCount, EventTicket},
    model::InHand,
    ring::{Blocked, Claim, Ring, Taker},
    word::Ticket,
};
#[cfg(not(loom))]
pub use {
    builder::{ChannelBuilder, channel},
    duplex::{Duplex, DuplexPair, duplex},
    error::{ChannelError, ProcessFault, RecvError, SendError},
    joinable::{JoinableQueue, NothingInHand},
    receiver::{IntoIter, Iter, Receiver, TryIter},
    select::Select,
    sender::Sender,
    wire::{ArchivedEndpoint, ArchivedEnds, EndpointResolver},
};
