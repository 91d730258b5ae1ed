//! Typed, bounded channels: between threads, and between processes that are relatives.
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
//!
//! A channel belongs to the process that made it and to those that are forked from it while it has
//! endpoints, so a [`Process`](crate::Process) has them under Fork, where
//! [`spawn_closure`](crate::ProcessBuilder::spawn_closure) takes them along, and under Threads.
//!
//! ```
//! use pool_api::{Process, StartMethod, channel::channel};
//!
//! let (sender, numbers) = channel::<u64>(10)?;
//! let builder = Process::builder().start_method(StartMethod::Fork);
//! let process = builder.spawn_closure(move || {
//!     (0..100).try_for_each(|number| sender.send(number)).is_ok()
//! })?;
//! // The closure's sender was the only one: the messages end with it.
//! assert_eq!(numbers.iter().sum::<Result<u64, _>>()?, 4950);
//! assert!(process.join()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The end of a channel
//!
//! A side is gone when its last endpoint is, in all processes: then
//! [`recv`](Receiver::recv) answers [`RecvError::Disconnected`] after the last message, and
//! [`send`](Sender::send) gives its message back in [`SendError::Disconnected`].
//!
//! Under Fork a process has copies of *all* endpoints that there are at the fork, also of those
//! that its closure has not captured. These count until the process ends. In the example above the
//! process has a copy of `numbers`, so its `send` would not see that the program has dropped its
//! own. Where that matters, keep the endpoints where the closure finds those that it is to drop:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use pool_api::{Process, StartMethod, channel::{SendError, channel}};
//!
//! let (sender, numbers) = channel::<u64>(10)?;
//! let numbers = Arc::new(Mutex::new(Some(numbers)));
//! let theirs = Arc::clone(&numbers);
//! let builder = Process::builder().start_method(StartMethod::Fork);
//! let process = builder.spawn_closure(move || {
//!     drop(theirs.lock().expect("no panic").take()); // the copy that this process has
//!     match (0..).try_for_each(|number| sender.send(number)) {
//!         Err(SendError::Disconnected(number)) => number,
//!         _ => 0,
//!     }
//! })?;
//! let ours = numbers.lock().expect("no panic").take().ok_or("taken")?;
//! assert_eq!(ours.recv()?, 0);
//! drop(ours);
//! assert!(process.join()? > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `cargo run --example pipeline` is a program of three processes that does so, one of which is
//! killed.

#[cfg(feature = "async")]
mod streams;

pub use pool_ipc::channel::{
    ChannelBuilder, ChannelError, Duplex, DuplexPair, Iter, JoinableQueue, NothingInHand,
    ProcessFault, Receiver, RecvError, Select, SendError, Sender, TryIter, channel, duplex,
};
#[cfg(feature = "async")]
pub use streams::{RecvStream, SendSink};
