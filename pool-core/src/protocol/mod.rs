//! What the processes of a pool send each other.
//!
//! * `packet.rs`: packets over a pair of sequenced-packet sockets, each with at most one
//!   descriptor.
//! * `control.rs`: orders from the parent to the zygote, and the reports that come back.
//! * `segments.rs`: messages about segments between a process and the zygote.
//! * `template.rs`: what a template sends to its zygote.

mod control;
pub(crate) mod packet;
mod segments;
pub(crate) mod template;

pub(crate) use control::{ClaimedChunk, Order, Report, StartFault, send_kill_at, send_order};
pub(crate) use packet::{Received, receive, send_waiting};
pub(crate) use segments::{
    Answer, Handshake, Request, ending_signal, introduce, receive_handshake, send_alarm,
};
pub(crate) use template::{HEAD, LONGEST, MessageKind};
