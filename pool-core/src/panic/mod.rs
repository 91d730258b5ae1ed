//! How panics are caught, told and kept quiet, and how a process ends without destructors.
//!
//! * `catch.rs`: a task's panic as the record that crosses to the parent; running the user's code
//!   without one.
//! * `backtrace.rs`: the part of a backtrace that is the task's own.
//! * `exit.rs`: the end of a process without handlers and destructors.

mod backtrace;
mod catch;
mod exit;

#[cfg(test)]
pub(crate) use backtrace::CALLERS;
pub(crate) use catch::{drop_quietly, in_task, learn_locations, quietly, take_panic};
pub(crate) use exit::{end_quietly, exit};
