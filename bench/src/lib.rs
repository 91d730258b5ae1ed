//! What programs of benchmarks share: every row beside its baselines in the same run, interleaved.
//!
//! A program starts a fresh copy of itself for every part of a row, since a pool of forked
//! processes has to be built before the first thread exists, and gathers the lines that the copies
//! print. Results are asserted, times never.
//!
//! * `program.rs`: a program, which has nothing but its parts; `options.rs`: its arguments.
//! * `bout.rs`: measures: several subjects do the same work in turns.
//! * `conductor.rs`: starts the copies, and gathers their lines.
//! * `quantiles.rs`: medians and percentiles.
//! * `line.rs`: one line of the table; `report.rs`: the table that people read; `chart.rs`: the
//!   same as bars; `picture.rs`: draws bars.
//! * `environment.rs`: the machine and the build that were measured.
//! * `peer.rs`: a forked process as the other end of a bare baseline.
//! * `channels.rs`: channels of `pool-ipc` and their baselines as subjects.

pub mod bout;
pub mod channels;
mod chart;
mod conductor;
pub mod environment;
pub mod line;
mod options;
pub mod peer;
pub mod picture;
mod program;
pub mod quantiles;
mod report;

pub use options::EXIT_AT_ONCE;
use options::PART;
pub use program::{Outcome, Part, main};
