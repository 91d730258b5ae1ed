//! The server of a dashboard.
//!
//! Invariant: one thread serves all connections, and waits for none of them. It sleeps while
//! nothing arrives; only while a page is open does it look at the pools, twice a second.
//!
//! * `answer.rs`: what a request gets, and who may ask.
//! * `request.rs`: requests.
//! * `connection.rs`, `output.rs`: one connection.
//! * `programs.rs`: the programs that are shown.
//! * `event_loop.rs`: the thread.

mod answer;
mod connection;
mod event_loop;
mod output;
mod programs;
mod request;

pub(crate) use event_loop::Server;
