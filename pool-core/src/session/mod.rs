//! The parent's side of a set of worker processes.
//!
//! Invariant: one thread drives at a time: it collects results, reads reports and sleeps on the
//! descriptors; the others wait for it. No code of the user runs while the lock is held.
//!
//! * `state.rs`: what the lock guards.
//! * `open.rs`, `end.rs`: the beginning and the end.
//! * `jobs.rs`: opens, feeds and closes jobs; `inboxes.rs`: what has arrived for them;
//!   `reserve.rs`: room for their items.
//! * `wait.rs`: which thread drives, and how the others wait; `sleepers.rs`: those others;
//!   `standby.rs`: a thread that drives only while no other thread does.
//! * `actions.rs`: carries out the engine's actions; `collect.rs`: tells the engine what happened;
//!   `worker_death.rs`: with which errors the items of a dead worker fail.
//! * `worker_exit.rs`: what follows from a worker's end; `restart_pauses.rs`: when the next one is
//!   started; `start_errors.rs`: what callers are told of a process that does not start.
//! * `arenas.rs`: the arenas of workers, and the segments of blocks; `results.rs`: results until
//!   their job reads them; `segments.rs`: what handles keep alive; `buffers.rs`: buffers that jobs
//!   leave to each other.
//! * `insights_area.rs`: the memory of the times of workers.
//! * `log_area.rs`: the memory of captured logs.
//! * `cancel.rs`: cancel tokens; `kill.rs`: the workers of cancelled calls; `watch.rs`: stopped
//!   processes; `drain.rs`: the end of a job whose tasks borrow.
//! * `idle.rs`: reads reports while no call is under way; `idle_watch.rs`: what has it do so.
//! * `futures.rs`: what async queues need.

mod actions;
mod arenas;
mod buffers;
mod cancel;
mod collect;
mod drain;
mod end;
mod futures;
mod idle;
mod idle_watch;
mod inboxes;
mod insights_area;
mod jobs;
mod kill;
mod log_area;
mod open;
mod outputs;
mod reserve;
mod restart_pauses;
mod results;
mod segments;
mod sleepers;
mod standby;
mod start_errors;
mod state;
mod wait;
mod watch;
mod worker_death;
mod worker_exit;

pub(crate) use arenas::Carried;
pub(crate) use arenas::reservation;
pub(crate) use buffers::Buffers;
pub(crate) use jobs::NewJob;
pub(crate) use open::ZygoteMaker;
pub(crate) use reserve::NoRoom;
pub(crate) use results::Message;
pub(crate) use results::ResultBatch;
pub(crate) use state::Session;
