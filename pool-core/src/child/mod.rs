//! A process that runs one function: what is told to it, what it does, and what its parent keeps.
//!
//! Nothing here knows the types of the function; `process/` does.
//!
//! * `config.rs`: the configuration that such a process gets at its start.
//! * `identity.rs`: its name, and by whom it was started.
//! * `work.rs`: its function, without types.
//! * `messages.rs`: what it and its parent send each other.
//! * `run.rs`: what runs inside of it.
//! * `server.rs`: the server that forks such processes for ForkServer; `server_link.rs`: the
//!   parent's link to it.
//! * `handle.rs`: what the parent keeps of a process.
//! * `logs.rs`: its captured logs.
//! * `fork_locks.rs`: the locks of this folder, taken while this process is forked.
//! * `deliveries.rs`: what is delivered at the end of this process.
//! * `children.rs`: all processes and threads that the parent has started, and their end with it.

pub(crate) mod children;
mod config;
mod deliveries;
mod fork_locks;
mod handle;
pub(crate) mod identity;
#[cfg(feature = "capture-log")]
mod logs;
mod messages;
mod run;
mod server;
mod server_link;
mod work;

pub(crate) use children::{Running, SERVER_LIMIT};
pub(crate) use config::ChildConfig;
pub(crate) use deliveries::deliver_at_end;
pub(crate) use fork_locks::ForkLocks;
pub(crate) use handle::{Child, ChildOutput, ChildParts, End, Outcome};
#[cfg(feature = "capture-log")]
pub(crate) use logs::LogSegment;
#[cfg(feature = "capture-log")]
pub(crate) use messages::send_numbers;
pub(crate) use messages::{Kind, Message, send_bytes, send_with_fds};
pub(crate) use run::{ChildStart, DeathLink, PANICKED, run_here, run_received};
pub(crate) use server::run_server;
pub(crate) use server_link::{NotStarted, ServerLink, Started, child_pidfd, packet_pair};
pub(crate) use work::{Portable, Work, inherited, inherited_closure, inherited_message};
