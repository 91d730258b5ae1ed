//! What the operating system gives: system calls, descriptors, processes, signals.
//!
//! Invariant: no function here uses a type of the floors above; each reports the kernel's answer
//! and leaves the decision to its caller.
//!
//! * `sys.rs`: system calls and C library functions that no crate wraps.
//! * `posix_spawn.rs`: `posix_spawn`, with every error of its preparation.
//! * `wait.rs`: the monotonic clock, poll, and waiting without sleeping.
//! * `signals.rs`: the signals that end a program, and the mask of signals.
//! * `fds.rs`: the descriptors of a process that begins or was just forked.
//! * `fd_limit.rs`: the limit of open descriptors.
//! * `kept_fd.rs`: a descriptor that is kept for long beside code of the user.
//! * `own_fds.rs`: which descriptors of this process belong to pools.
//! * `procfs.rs`: the name of a process, its state, and its threads.
//! * `pidfd.rs`: signals for children, and how they ended.
//! * `parent_death.rs`: ends a process with its parent; adopts orphans.
//! * `fork_to_subreaper.rs`: a fork whose child belongs to the nearest subreaper above.
//! * `orphans.rs`: kills programs that dead workers had started.

mod fd_limit;
mod fds;
mod fork_to_subreaper;
mod kept_fd;
mod orphans;
mod own_fds;
mod parent_death;
mod pidfd;
mod posix_spawn;
mod procfs;
mod signals;
pub(crate) mod sys;
pub(crate) mod wait;

pub(crate) use fd_limit::DescriptorLimit;
pub(crate) use fds::{
    FIRST_INHERITED, adopt_inherited, close_for_good, duplicate, duplicate_above, fill_output,
    increment_counter, keep_only, new_counter, nothing_above, null_stdin, out_of_the_way,
    output_closed_on_exec, take_for_good,
};
pub(crate) use fork_to_subreaper::fork_adopted;
pub(crate) use kept_fd::{FileId, KeptFd};
pub(crate) use orphans::{kill_children, kill_orphans};
pub(crate) use own_fds::{Listed, forget_number, list, list_made, own_descriptors, unlist};
pub(crate) use parent_death::{
    arm_parent_death, become_subreaper, end_with_writer, has_ended, inherits_orphans, is_child_of,
    pidfd_open,
};
pub(crate) use pidfd::{ChildState, reap, send_signal};
pub(crate) use posix_spawn::{CloseFrom, Start, posix_spawn};
pub(crate) use procfs::{
    ProcessName, ZYGOTE, is_called, is_in_state, lasting_thread_count, other_threads, process_name,
    set_process_name,
};
pub(crate) use signals::{ENDING, unblock_signals};
#[cfg(feature = "progress")]
pub(crate) use sys::columns;
pub(crate) use sys::{
    Disposition, Reaped, bytes_in_pipe, errno_of, flush_c_output, flush_output, has_one_thread,
    process_id, reap_any, try_flush_c_output, unbuffer_c_output,
};
pub(crate) use wait::{
    coarse_now, monotonic_nanos, nanos, poll, readable_within, spin_for, spin_rounds,
};
