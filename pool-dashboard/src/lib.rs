//! A page in the browser that shows what worker pools are doing.
//!
//! * [`Dashboard::start`]: serves the page, as long as the value lives.
//! * [`Dashboard::connect`]: shows the pools of this program on the page of another one.
//! * [`Dashboard::builder`]: the options of both.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

// * `dashboard.rs`: the dashboard, its options, and that there is one of them.
// * `server/`: the thread that serves the page.
// * `client.rs`: the connection to the dashboard of another program.
// * `frame.rs`: what the two send each other.
// * `own.rs`: the state of this program.
// * `usage.rs`: what the system says of workers.
// * `state/`: what is shown of a program.
// * `page/`: the page.
// * `waker.rs`, `address.rs`, `token.rs`, `time.rs`, `error.rs`: leaves.

mod address;
mod client;
mod dashboard;
mod error;
mod frame;
mod own;
mod server;
mod state;
mod time;
mod token;
mod usage;
mod waker;

pub use dashboard::{Dashboard, DashboardBuilder};
pub use error::DashboardError;
