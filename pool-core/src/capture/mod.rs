//! Log records of workers, brought to the logger of the process that has the pool (feature
//! `capture-log`).
//!
//! A worker encodes a record and hands it over in a ring of shared memory
//! (`pool_ipc::log_ring`), which lies behind the task board in the same segment. A thread of the
//! parent reads the rings and gives the records to the program's logger.
//!
//! Invariant: a worker never waits for the logger, but for a moment where its ring is full; the
//! thread that calls the logger holds no lock of the pool. What comes out of a ring is bytes of
//! another process: every length is checked, and texts are read lossily.
//!
//! * `options.rs`: which records are captured; `filter.rs`: the same for a worker.
//! * `record.rs`: a record as bytes; `value.rs`: its key-values.
//! * `start.rs`: the beginning of the capture in a worker; `origin.rs`: what it captures with;
//!   `encode.rs`: a record becomes bytes.
//! * `logger.rs`: the logger that captures in workers and forwards elsewhere; `stderr.rs`: a plain
//!   logger behind it.
//! * `trace/`: events and spans of `tracing`.
//! * `collector.rs`: the thread in the parent; `deliver.rs`: one record for the parent's logger.

mod collector;
mod deliver;
mod encode;
mod filter;
mod logger;
mod options;
mod origin;
mod record;
mod start;
mod stderr;
#[cfg(feature = "tracing")]
mod trace;
mod value;

pub(crate) use collector::{Capture, Collecting, Collector, Places};
pub use logger::{CapturedLogger, InstallError, install};
pub use options::LogCapture;
pub(crate) use start::{begin, settle};
pub use stderr::log_to_stderr;
