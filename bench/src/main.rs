//! The benchmarks of the pool: `pool-bench [--quick] [--json PATH] [row…]`.
//!
//! How a row is measured is in the library of this package.
//!
//! * `rows/`: the rows, one file per question.
//! * `pools.rs`: the pools that a part compares; `thread_pool.rs`: a plain pool of threads.
//! * `calls.rs`: single calls, one behind the other or with pauses.
//! * `work.rs`: arithmetic that takes a given time.

mod calls;
mod pools;
mod rows;
mod thread_pool;
mod work;

use std::process::ExitCode;

use pool_bench::{EXIT_AT_ONCE, Outcome, Part, bout, channels, line, peer, quantiles};

fn main() -> ExitCode {
    pool_bench::main("pool-bench", rows::PARTS)
}
