//! Typed, bounded channels between processes that are relatives: many senders, many receivers.
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
//! Any number of threads in at most 64 processes send, any number receive; each message is received
//! once, and those of one sender in their order.
//!
//! # Which processes have a channel
//!
//! The one that made it, and those that are forked from it while it has endpoints: the child has
//! copies of them, as of the descriptors of a pipe. A copy counts from the fork on, whether it is
//! used or not, until it is dropped, or its process ends or becomes another program (`exec`). So
//! drop in each process the endpoints that it does not use; and a child that leaves without
//! destructors, by `_exit`, drops all of its own. Each side takes one descriptor of each process
//! that has endpoints of it. A program that closes all descriptors closes these, too: its copies
//! count no more, and it does not see the end of the other side.
//!
//! # Processes that are killed
//!
//! A process that is killed, at whatever instruction, holds up the others for about 10 ms at most.
//! The message that it was sending is lost, and counted by [`Sender::lost`]; those that it has sent
//! are received. Each message that it has received is gone with it. A process that is *stopped*
//! (SIGSTOP) in the middle of the copy of a message holds up the messages behind that one until it
//! goes on.
//!
//! # Memory
//!
//! All memory is one segment, made with the channel; nothing is mapped later. Types whose encoded
//! form is the value itself, up to 256 bytes, take their size and 8 bytes for each of `capacity`
//! messages, all others 128 bytes.

// * `sender.rs`, `receiver.rs`: the two ends; `error.rs`: their errors.
// * `endpoint.rs`: what the ends of one side share in a process.
// * `ring.rs`: the ring of slots; `word.rs`: the word of a slot; `payload.rs`: how a message lies
//   in it.
// * `parties.rs`: the processes that send, and which of them have ended.
// * `ends.rs`: how a side learns that the other one is gone.
// * `events.rs`: sleeping until the other side does something; `wait.rs`: how long at once.
// * `layout.rs`: the memory.
// * `model.rs`: a ring of the model checker's atomics.

#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod ends;
#[cfg(not(loom))]
mod error;
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod events;
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
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod ring;
#[cfg(not(loom))]
mod sender;
#[cfg(not(loom))]
mod wait;
#[cfg_attr(not(loom), allow(unreachable_pub, reason = "the model checks use it"))]
mod word;

#[cfg(not(loom))]
pub use {
    error::{ChannelError, ProcessFault, RecvError, SendError},
    receiver::{Iter, Receiver, TryIter},
    sender::Sender,
};
#[cfg(loom)]
pub use {
    events::{EventCount, EventTicket},
    ring::{Blocked, Claim, Ring},
    word::Ticket,
};

/// A channel that holds at most `capacity` messages, from 1 to 2^24.
///
/// # Errors
///
/// [`ChannelError::NoCapacity`] for 0, [`ChannelError::TooManySlots`]; [`ChannelError::Memory`] and
/// [`ChannelError::Sockets`] when descriptors or address space are used up.
#[cfg(not(loom))]
pub fn channel<T: crate::Wire>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), ChannelError> {
    let memory = layout::Memory::new(capacity, payload::stride::<T>())?;
    let (sender, receiver) = endpoint::Endpoint::pair(memory)?;
    Ok((Sender::new(sender), Receiver::new(receiver)))
}
