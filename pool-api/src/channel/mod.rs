//! Typed, bounded channels between threads and processes.
//!
//! Messages are values that are [`Wire`](crate::Wire). Each is received once, and those of one
//! sender in their order. A process that is killed holds up no other one: see [`Sender`] and
//! [`Sender::lost`].
//!
//! | Python | here | what it is |
//! | --- | --- | --- |
//! | `Queue(100)`, `SimpleQueue()` | [`channel`] | a side that sends and a side that receives, each with any number of copies |
//! | `JoinableQueue(100)` | [`JoinableQueue`] | a queue that can be waited for until all is done |
//! | `Pipe()` | [`duplex`] | two ends that talk to each other |
//! | `connection.wait([a, b])` | [`Select`] | waits for any of several receivers, processes, sockets |
//!
//! Endpoints are `Wire` themselves: they are arguments of a [`Process`](crate::Process), items,
//! results and parts of what is shared, under all start methods.
//!
//! ```
//! use pool_api::{Process, channel::{Sender, channel}};
//!
//! let (sender, numbers) = channel::<u64>(10)?;
//! let process = Process::builder().spawn(
//!     |sender: Sender<u64>| (0..100).try_for_each(|number| sender.send(number)).is_ok(),
//!     sender,
//! )?;
//! // This process has no sender any more: the messages end with that of the other one.
//! assert_eq!(numbers.iter().sum::<Result<u64, _>>()?, 4950);
//! assert!(process.join()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The end of a channel
//!
//! A side is gone when its last endpoint is, in all processes and on the way to them: then
//! [`recv`](Receiver::recv) answers [`RecvError::Disconnected`] after the last message, and
//! [`send`](Sender::send) gives its message back in [`SendError::Disconnected`]. So give away or
//! drop what a process does not use, and in the loop over a receiver have no sender of the same
//! channel.
//!
//! A process that is started with a function and its argument has the endpoints that it was given,
//! and no others; so has a worker. Under Fork a process of a *closure*
//! ([`spawn_closure`](crate::ProcessBuilder::spawn_closure)), and a worker of a pool that shares a
//! value, has copies of all endpoints that there are at the fork, also of those that were not
//! captured. These count until the process ends.
//!
//! # What to know
//!
//! * A channel is bounded: tasks that send more than it holds wait for a reader. Read beside the
//!   call, in another thread or with [`map_async`](crate::Call::map_async): after a `map` that
//!   waits for them no reader comes.
//! * A sender in a [shared value](crate::Builder::shared) counts as long as the workers live, one
//!   in an item until the item has ended, and one behind `with` until its call has.
//! * At most 64 processes take part at a time: those that send, or receive messages that are no
//!   plain numbers. A further one gets [`ProcessFault::TooMany`].
//! * Messages carry no endpoints and no handles of shared objects: [`SendError::Encode`].
//! * Each copy of a [`JoinableQueue`] sends and receives, so its readers see no end: tell them.
//!
//! `cargo run --example pipeline` is a program of three processes in a row, one of which is killed.

#[cfg(feature = "async")]
mod streams;

pub use pool_ipc::channel::{
    ChannelBuilder, ChannelError, Duplex, DuplexPair, IntoIter, Iter, JoinableQueue, NothingInHand,
    ProcessFault, Receiver, RecvError, Select, SendError, Sender, TryIter, channel, duplex,
};
#[cfg(feature = "async")]
pub use streams::{RecvStream, SendSink};
