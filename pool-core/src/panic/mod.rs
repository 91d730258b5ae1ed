//! Catches, reports and silences panics, and ends a process without destructors.
//!
//! * `catch.rs`: makes a task's panic a record for the parent; runs code of the user whose panics
//!   go no further.
//! * `backtrace.rs`: the part of a backtrace that is the task's own.
//! * `exit.rs`: the end of a process without handlers and destructors.

mod backtrace;
mod catch;
mod exit;

#[cfg(test)]
pub(crate) use backtrace::CALLERS;
pub(crate) use catch::{
    drop_quietly, in_task, learn_locations, print_panics, quietly, silently, take_panic,
};
pub(crate) use exit::{end_quietly, exit};
