//! What becomes of the standard output and standard error of workers.
//!
//! A worker whose streams are captured makes a pipe for each, has its standard output and error
//! lead there, and sends the reading ends to the parent. Around each item it writes a marker into
//! the pipes: a random number of its own that no other program knows, and which item it is. So the
//! bytes in the pipe say to which item they belong, whether Rust code, the C library or a child
//! program wrote them; what is left in the pipe of a dead worker belongs to the item that it had
//! begun.
//!
//! Invariant: one thread of the parent reads (`capture.rs`). It waits for no task, no call and no
//! lock that is held while a task or code of the user runs; code of the user is called by another
//! thread (`delivery.rs`), for which it waits with a limit. So a task that writes is never held up
//! for good. A pool that captures nothing has no such thread, pipe or marker.
//!
//! * `options.rs`: what the user asks for, checked.
//! * `config.rs`: what a zygote and its workers are told, and their descriptors.
//! * `marker.rs`: the markers, and how they are found among other bytes.
//! * `worker.rs`: the side of a worker.
//! * `last_line.rs`: what a worker that aborts does for the line that it has begun.
//! * `stream.rs`: one pipe as the reader sees it: items, and the last bytes of each.
//! * `capture.rs`: the reader.
//! * `records.rs`: outputs of failed items, on their way to their errors.
//! * `event.rs`: what the user's function is told.
//! * `delivery.rs`: calls the user's function, and the logger.

mod capture;
mod config;
mod delivery;
mod event;
mod last_line;
mod marker;
mod options;
mod records;
mod stream;
mod worker;

pub(crate) use capture::{Capture, ONLY_PROCESS};
#[cfg(test)]
pub(crate) use config::Target;
pub(crate) use config::{OutputConfig, OutputFds};
pub use event::{OutputEvent, Stream};
pub(crate) use last_line::flush_last_line;
pub(crate) use options::OutputPlan;
pub use options::{Output, OutputOptions};
pub(crate) use records::{Failed, Position};
pub(crate) use worker::WorkerOutput;
