//! How the descriptors of shared segments get from process to process.
//!
//! A handle in a message names its segment by a number of 128 bits. The zygote leads from the number to a descriptor: whoever sends
//! a handle has registered its segment there before, whoever receives one asks once and then has it mapped. `exchange.rs` is
//! the zygote's side, `link.rs` everybody else's, `packet.rs` what they say.
//!
//! Invariant: a process's registrations hold as long as it has the segment. Those of a dead process hold until the parent has read
//! the last of its results.

mod exchange;
mod link;
mod packet;

pub(crate) use exchange::Exchange;
pub(crate) use link::BrokerLink;
pub(crate) use packet::{introduce, ring, told_to_end};
