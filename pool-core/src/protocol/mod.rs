//! What the processes of a pool send each other.
//!
//! * `packet.rs`: packets over a pair of sequenced-packet sockets, each with a descriptor at most.
//! * `control.rs`: orders from the parent to the zygote, and the reports that come back.
//! * `segments.rs`: what a process and the zygote say to each other about segments.
//! * `template.rs`: what a template says to its zygote.

mod control;
pub(crate) mod packet;
mod segments;
pub(crate) mod template;

pub(crate) use control::{ClaimedChunk, Order, Report, StartFault, send_kill_at, send_order};
pub(crate) use packet::Received;
pub(crate) use segments::{
    Answer, AtTheDoor, Request, introduce, receive_at_door, ring, told_to_end,
};
pub(crate) use template::{HEAD, LONGEST, Word};
