//! How a fresh copy of this executable comes to life, and what a process tidies up when it is born.
//!
//! Invariant: a copy is started only if it is certain to be taken over before its `main`, and a process that is
//! no such copy is never disturbed. `spawn.rs` starts a copy, `ticket.rs` is what it is told, `takeover.rs` is
//! where it wakes up; the other files are the acts of tidying.

mod adoption;
pub(crate) mod descriptors;
mod ending;
pub(crate) mod image;
#[cfg(all(feature = "takeover", target_env = "gnu"))]
mod initialisers;
pub(crate) mod kept;
mod kinship;
mod limits;
mod origin;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod strays;
mod sys;
pub(crate) mod takeover;
mod ticket;

pub(crate) use adoption::fork_adopted;
pub(crate) use descriptors::{
    close_for_good, duplicate, fill_output, new_counter, null_stdin, out_of_the_way, ring_counter,
    take_for_good,
};
pub(crate) use ending::{ENDING, may_end_alone};
pub(crate) use image::{address_of, offset_of};
pub(crate) use kept::{FileId, KeptFd};
pub(crate) use kinship::{
    arm_parent_death, become_subreaper, has_ended, inherits_orphans, pidfd_open,
};
pub(crate) use limits::DescriptorLimit;
pub(crate) use process::{
    ProcessName, ZYGOTE, is_called, is_in_state, lasting_thread_count, other_threads, process_name,
    set_process_name,
};
pub(crate) use signals::{reset_signals, unblock_signals};
pub(crate) use spawn::spawn_copy;
pub(crate) use strays::{kill_children, kill_strays};
pub use takeover::init;
pub(crate) use takeover::{Birth, Refusal, check_takeover};
