//! The benchmarks of the pool: `pool-bench [--quick] [--json PATH] [row…]`.
//!
//! How a row is measured is in the library of this package.
//!
//! * `rows/`: the rows, one file per question.
//! * `pools.rs`: the pools that a part compares; `thread_pool.rs`: a plain pool of threads.
//! * `work.rs`: arithmetic that takes a given time.

mod pools;
mod rows;
mod thread_pool;
mod work;

use std::process::ExitCode;

use pool_bench::{EXIT_AT_ONCE, Outcome, Part, bout, channels, line, peer};

fn main() -> ExitCode {
    pool_bench::main("pool-bench", rows::PARTS)
}
