//! What a dashboard shows of a program, as it travels between programs and to the page.
//!
//! Invariant: all of it is bounded (`limits.rs`), whoever made it, so neither a frame nor the page
//! grows with the number of calls, workers and failures.
//!
//! * `json.rs`: as the page reads it.
//! * `limits.rs`: how much there is of it.

mod json;
mod limits;

use pool_ipc::wire;

#[cfg(test)]
pub(crate) use json::tests;
pub(crate) use json::{Header, render};

wire! {
    /// A program with pools.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Program {
        pub(crate) name: String,
        pub(crate) user: String,
        pub(crate) host: String,
        pub(crate) pid: u32,
        pub(crate) may_cancel: bool,
        pub(crate) pools: Vec<PoolState>,
    }

    /// A pool.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct PoolState {
        pub(crate) number: u64,
        pub(crate) method: String,
        /// It was dropped.
        pub(crate) is_closed: bool,
        /// How many workers it is to have.
        pub(crate) jobs: u32,
        pub(crate) workers: Vec<WorkerState>,
        /// The newest last.
        pub(crate) calls: Vec<CallState>,
        pub(crate) insights: Option<InsightsState>,
    }

    /// A worker. Times are milliseconds since 1970.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct WorkerState {
        pub(crate) id: u32,
        /// `None` of a thread, and of a worker that is not there.
        pub(crate) pid: Option<u32>,
        /// Empty where it is not known.
        pub(crate) stage: String,
        /// The number of the call that it works for.
        pub(crate) call: Option<u64>,
        pub(crate) item: Option<u64>,
        pub(crate) since: Option<u64>,
        pub(crate) completed: Option<u64>,
        /// How many workers there were with this id; 0 where that is not known.
        pub(crate) lives: u64,
        /// Thousandths of a CPU.
        pub(crate) cpu: Option<u32>,
        pub(crate) memory_bytes: Option<u64>,
    }

    /// A call: a map, say. Times are milliseconds since 1970.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct CallState {
        pub(crate) number: u64,
        pub(crate) function: String,
        /// Where it was called.
        pub(crate) location: String,
        pub(crate) form: String,
        pub(crate) total: Option<u64>,
        pub(crate) done: u64,
        pub(crate) failed: u64,
        pub(crate) began: u64,
        pub(crate) ended: Option<u64>,
        pub(crate) outcome: Outcome,
        pub(crate) may_cancel: bool,
        /// The last failures, the newest last.
        pub(crate) errors: Vec<ErrorState>,
    }

    /// How a call has ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Outcome {
        Running,
        Done,
        Failed,
        Cancelled,
    }

    /// A failure.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct ErrorState {
        pub(crate) text: String,
        pub(crate) backtrace: String,
    }

    /// Where the time of the workers went. Times are seconds.
    #[derive(Debug, Clone, PartialEq, Default)]
    pub(crate) struct InsightsState {
        pub(crate) completed: u64,
        /// Start-up, init, waiting, working, exit.
        pub(crate) parts: Vec<PartState>,
        pub(crate) longest: Vec<LongestState>,
        pub(crate) workers: Vec<WorkerTimes>,
        /// How many of how many items the times are of, where not of all.
        pub(crate) note: String,
    }

    /// One part of the time of all workers.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct PartState {
        pub(crate) name: String,
        pub(crate) total: f64,
        pub(crate) mean: f64,
        pub(crate) std: f64,
        pub(crate) ratio: f64,
    }

    /// One of the longest tasks.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct LongestState {
        pub(crate) time: f64,
        pub(crate) item: Option<u64>,
        pub(crate) argument: String,
    }

    /// The times of one worker, in the order of the parts.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct WorkerTimes {
        pub(crate) id: u32,
        pub(crate) completed: u64,
        pub(crate) times: Vec<f64>,
    }
}
