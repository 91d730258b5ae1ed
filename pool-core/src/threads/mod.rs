//! A set of worker threads: tasks move by value through a channel, nothing is encoded.
//!
//! Invariant: exactly one thread runs a chunk that is not cancelled, item by item; every chunk is
//! counted when it ends, also a chunk that never ran; no panic of a task or of a value's `Drop`
//! ends a thread. In a forked child, which has none of the threads, every call is refused.
//!
//! * `backend.rs`: the threads, and the calls that use them; `start.rs`: their start, and what each
//!   does until its end; `end.rs`: their end.
//! * `worker.rs`: the state of one worker thread.
//! * `work_queue.rs`: how work reaches the threads.
//! * `job.rs`: one call, for its caller and its chunks; `control.rs`: its part without types;
//!   `arrivals.rs`: counts its chunks, waits for what arrives, and fails items that are overdue.
//! * `chunk.rs`: the items of one chunk, with their types; `run.rs`: runs them, whatever those are.
//! * `time_limits.rs`: the deadlines of what runs; `exiting.rs`: which exits are overdue.
//! * `claims.rs`: counts calls that begin; `busy.rs`: counts calls that have something under way.

mod arrivals;
mod backend;
mod busy;
mod chunk;
mod claims;
mod control;
mod end;
mod exiting;
mod job;
mod run;
mod start;
mod time_limits;
mod work_queue;
mod worker;

pub(crate) use backend::{Claim, ThreadBackend, ThreadMark, starts_for};
pub(crate) use chunk::send;
pub(crate) use control::Control;
pub(crate) use job::{CallValues, Lends, Part, ThreadJob};
pub(crate) use time_limits::{Deadlines, SHORTEST_SLEEP};
pub(crate) use worker::ThreadWorker;
