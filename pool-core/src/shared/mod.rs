//! The value that a pool shares with every worker, of any type.
//!
//! * `handle.rs`: the value that the pool is given.
//! * `source.rs`: what a start method makes of it: the value itself where memory is shared or
//!   inherited, otherwise how it is made.
//! * `spec.rs`: how that crosses to another process.
//! * `construct.rs`: runs the user's code for it in a thread of its own.

mod construct;
mod handle;
mod source;
mod spec;

pub(crate) use construct::make_in_thread;
pub use handle::Shared;
pub(crate) use source::{SharedConfig, Source};
pub(crate) use spec::SharedSpec;

use std::{any::Any, sync::Arc};

/// A shared value of any type.
pub(crate) type SharedValue = Arc<dyn Any + Send + Sync>;

/// The shared value for tasks: a pool that was given nothing shares a `()`.
pub(crate) fn seen(value: Option<&SharedValue>) -> &(dyn Any + Send + Sync) {
    value.map_or(&(), |value| &**value)
}

/// The shared value for tasks of a worker process, which keeps it until the process ends.
pub(crate) fn seen_for_life(value: Option<SharedValue>) -> &'static (dyn Any + Send + Sync) {
    seen(Box::leak(Box::new(value)).as_ref())
}
