//! What is recorded of workers.

use crate::error::Error;

/// The most records of a trace.
const MOST_RECORDS: usize = 1 << 24;

/// What a pool records of its workers: see [`Pool::insights`](crate::Pool::insights).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsightsOptions {
    pub(super) trace_records: usize,
}

impl Default for InsightsOptions {
    fn default() -> Self {
        Self { trace_records: 1_000_000 }
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
