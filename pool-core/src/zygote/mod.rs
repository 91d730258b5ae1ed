//! The process between a pool and its workers: it starts, watches and reaps them.
//!
//! It has one thread for life, and runs no code of the user.
//!
//! * `config.rs`: the configuration that a zygote gets at its start.
//! * `state.rs`: its state; `event_loop.rs`: what it does.
//! * `fork_workers.rs`: workers that it starts itself.
//! * `template.rs`: the process that forks workers when the value that they share is made once;
//!   `template_link.rs`: the zygote's link to it; `template_queue.rs`, `template_starts.rs`: the
//!   workers that wait for it.
//! * `time_limits.rs`: ends workers whose item takes too long; `clocks.rs`: when that is due.
//! * `ending_signals.rs`: workers that were told to end; `signal_notes.rs`: which signals came.
//! * `guard.rs`: the process above, which adopts what a killed zygote leaves behind.
//! * `link.rs`: the parent's link to the zygote.

mod clocks;
mod config;
mod ending_signals;
mod event_loop;
mod fork_workers;
mod guard;
mod link;
mod signal_notes;
mod state;
mod template;
mod template_link;
mod template_queue;
mod template_starts;
mod time_limits;

pub(crate) use config::{ZygoteConfig, ZygoteFds};
pub(crate) use guard::run_guarded;
pub(crate) use guard::{run_below_guard, run_fresh};
pub(crate) use link::{ZygoteLink, reap_orphan};
