//! Starts fresh copies of this executable, and takes them over before their `main`.
//!
//! Invariant: a copy is started only if it is certain to be taken over before its `main`, and a
//! process that is no such copy is never disturbed. A copy goes on with a function that `roles.rs`
//! gives to this folder.
//!
//! * `spawn.rs`: the parent starts a copy.
//! * `token.rs`: what the copy is told, and what proves that it is a copy.
//! * `entry.rs`: the entry of the copy, before `main`.
//! * `init_array.rs`: the initialisers of the executable that are linked after the hook.
//! * `image.rs`: the main executable in memory, and which build it is.
//! * `origin.rs`: which file the main executable is.
//! * `signals.rs`: the dispositions that a new process begins with.
//! * `ending_signals.rs`: the handler of signals that ask a whole program to end.

mod ending_signals;
mod entry;
mod image;
#[cfg(all(feature = "takeover", target_env = "gnu"))]
mod init_array;
mod origin;
mod signals;
mod spawn;
mod token;

pub(crate) use ending_signals::{is_worker, may_end_alone};
#[cfg(all(feature = "takeover", target_env = "gnu"))]
pub(crate) use entry::enter_in_initialiser;
pub(crate) use entry::{
    ROLE_GUARDED_ZYGOTE, ROLE_PROCESS, ROLE_PROCESS_SERVER, ROLE_WORKER, ROLE_ZYGOTE, Refusal,
    StartArguments, check_takeover, enter_in_main,
};
pub(crate) use image::{address_of, offset_of};
#[cfg(all(feature = "takeover", target_env = "gnu"))]
pub(crate) use init_array::{Arguments, Initialiser};
pub(crate) use signals::{reset_signals, reset_signals_of_process};
pub(crate) use spawn::spawn_copy;
pub(crate) use token::fresh_nonce;
