//! Futures: calls whose results are waited for later, in any thread.
//!
//! Invariant: every future is completed exactly once, whether or not a thread is in a call, and
//! none of the user's code (encoding, decoding, drops, callbacks) runs under a lock.
//!
//! The queue that took a call of one item in completes it: a worker thread does so itself; for
//! processes the thread that waits does, or the driver thread when none waits. Maps and streams are
//! jobs like those of `crate::job`, but run in the background.
//!
//! * `handle.rs`: the handle of a call.
//! * `shared_state.rs`: what the handle shares with the side that completes it.
//! * `unread.rs`: handles to which more are added while threads wait for them.
//! * `wait.rs`: waits for several futures; `notices.rs`: which of them have ended.
//! * `callbacks.rs`: runs callbacks, one after the other.
//! * `queue.rs`: the interface of the queues for calls; `backend_queue.rs`: that of one backend, of
//!   processes or of threads; `submit.rs`: how a call of one item is taken in.
//! * `processes.rs`: the queue for processes; `sending.rs`: how its calls go to the workers;
//!   `receiving.rs`: how answers get to their futures; `process_driver.rs`: its driver thread;
//!   `in_flight.rs`: what waits and what is under way; `queued_call.rs`: one call and its answer,
//!   whose result it decodes.
//! * `threads.rs`: the queue for threads; `thread_calls.rs`: how its calls go to the workers;
//!   `call_counts.rs`: how many of them there are; `thread_work.rs`: one call in its thread;
//!   `thread_driver.rs`: its driver thread.
//! * `background.rs`: jobs that go on without a caller; `map.rs`, `stream.rs`: their two kinds.
//! * `submitters.rs`: calls that wait for room without a thread.
//! * `refused.rs`: a call that was not accepted, with its item.

mod backend_queue;
mod background;
#[cfg(feature = "threads")]
mod call_counts;
mod callbacks;
mod handle;
mod in_flight;
mod map;
mod notices;
mod process_driver;
mod processes;
mod queue;
mod queued_call;
mod receiving;
mod refused;
mod sending;
mod shared_state;
mod stream;
mod submit;
mod submitters;
#[cfg(feature = "threads")]
mod thread_calls;
#[cfg(feature = "threads")]
mod thread_driver;
#[cfg(feature = "threads")]
mod thread_work;
#[cfg(feature = "threads")]
mod threads;
mod unread;
mod wait;

pub(crate) use backend_queue::BackendQueue;
pub use handle::AsyncResult;
#[cfg(test)]
pub(crate) use processes::ProcessQueue;
pub(crate) use queue::{Budget, Room, Terms, Unaccepted};
pub use refused::Refused;
pub use stream::AsyncResults;
pub(crate) use submitters::Submitters;
pub use unread::{Unread, UnreadCounts};
pub use wait::{
    AsCompleted, AsCompletedTimeout, WaitFor, as_completed, as_completed_timeout, wait,
};

/// The most futures of a pool that wait to be sent; beyond them there is no room (see [`Room`]).
pub(crate) const MOST_WAITING: usize = 4096;
/// The most maps of a pool that have not ended; beyond them `map_async` waits.
pub(crate) const MOST_MAPS: usize = 1024;
