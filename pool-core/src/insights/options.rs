//! What is recorded of workers.

use std::fmt::Debug;

use super::describe::{Describer, MakeDescriber};
use crate::error::Error;

/// The most records of a trace.
const MOST_RECORDS: usize = 1 << 24;

/// What a pool records of its workers: see [`Pool::insights`](crate::Pool::insights).
#[derive(Debug, Clone)]
pub struct InsightsOptions {
    pub(super) trace_records: usize,
    pub(super) describers: Vec<MakeDescriber>,
}

impl Default for InsightsOptions {
    fn default() -> Self {
        Self { trace_records: 1_000_000, describers: Vec::new() }
    }
}

impl InsightsOptions {
    /// Times of workers, and a trace of up to 1 000 000 records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Items that the trace has records of, for all workers together, from 0 to 2^24; 1 000 000
    /// without it, and none with 0. Further items are recorded by their chunks, of which there may
    /// be a quarter as many; what has no record is counted, in the trace and in
    /// [`Insights::items_left_out`](crate::Insights::items_left_out). A record takes up to 48 bytes
    /// of memory, once it is there.
    ///
    /// Another value is [`Error::InvalidInput`](crate::Error::InvalidInput) when the pool is built.
    #[must_use]
    pub fn trace_records(mut self, records: usize) -> Self {
        self.trace_records = records;
        self
    }

    /// Shows the arguments of the longest tasks whose items are of type `A`, as `Arg 0:` with their
    /// `Debug` text, cut to 256 bytes; for several types call it several times.
    ///
    /// Worker processes decode such an item once more after its task; threads, to which items move,
    /// make the text of each item before its task, whether or not it takes long. The time limit of
    /// a task does not count in a worker process that makes a text: a `Debug` that does not return
    /// holds up its worker, and its call.
    ///
    /// ```
    /// # mod pool_api { pub use pool_core::*; }
    /// let options = pool_api::InsightsOptions::new().show_args::<String>();
    /// ```
    ///
    /// In a pool that is built with them, the longest tasks of a map of `"a"` and `"b"` have the
    /// texts `Arg 0: "a"` and `Arg 0: "b"` in
    /// [`Insights::top_5_max_task_args`](crate::Insights::top_5_max_task_args).
    #[must_use]
    pub fn show_args<A: Debug + 'static>(mut self) -> Self {
        self.describers.push(Describer::of::<A>);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.trace_records > MOST_RECORDS {
            return Err(Error::InvalidInput(format!(
                "enable_insights: trace_records must be from 0 to 2^24, got {}",
                self.trace_records
            )));
        }
        Ok(())
    }
}
