//! Events and spans of `tracing` in workers, brought to the subscriber of the process that has the
//! pool (feature `tracing`).
//!
//! Invariant: a span of a worker is in the parent's subscriber a span of its own, which the
//! worker's records make, enter, leave and close in their order; an event names its span, so its
//! scope does not depend on what other workers do meanwhile. What a process that has ended left
//! open is closed.
//!
//! * `subscriber.rs`: the subscriber of a worker; `spans.rs`: its spans.
//! * `sites.rs`: call sites of workers as call sites of this process; `deliver.rs`: one record for
//!   the subscriber of this process.

mod deliver;
mod sites;
mod spans;
mod subscriber;

pub(super) use deliver::{Target, Traces};
pub(super) use subscriber::begin;
use tracing_core::{Level, LevelFilter};

/// Kinds of records.
pub(super) const EVENT: u8 = 16;
pub(super) const SPAN: u8 = 17;
pub(super) const VALUES: u8 = 18;
pub(super) const ENTER: u8 = 19;
pub(super) const EXIT: u8 = 20;
pub(super) const CLOSE: u8 = 21;

/// The key of the numbers of spans, which no field can have.
const NUMBER: &str = "";

/// The levels as the records have them.
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// A level as a number from 1, the least verbose, to 5.
fn level_number(level: Level) -> u8 {
    LEVELS.iter().zip(1..).find(|(known, _)| **known == level).map_or(5, |(_, number)| number)
}

/// The most verbose level that any subscriber of this process takes; 0: none.
pub(super) fn max_level() -> u32 {
    LevelFilter::current().into_level().map_or(0, |level| u32::from(level_number(level)))
}
