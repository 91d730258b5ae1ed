//! Channels between processes beside iceoryx2 and ipc-channel:
//! `pool-rivals [--quick] [--json PATH] [row…]`.
//!
//! * `rows.rs`: the rows, and what each library can do of them.
//! * `iceoryx.rs`, `ipc.rs`: the two libraries as subjects.
//! * `files.rs`: where iceoryx2 has its files, and that none of them stays.

#![forbid(unsafe_code)]

mod files;
mod iceoryx;
mod ipc;
mod rows;

use std::process::ExitCode;

fn main() -> ExitCode {
    files::remove();
    let code = pool_bench::main("pool-rivals", rows::PARTS);
    files::remove();
    code
}
