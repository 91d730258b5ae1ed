//! A pool that is fed with single items and asked for single results: `better.multiprocessing`'s
//! `PoolManager`.
//!
//! Invariant: every item that was put is answered by one `get`, unless it was cleared or the
//! manager was terminated; an item that was not taken comes back in the error.
//!
//! * `builder.rs`: the options; `process.rs`: the trait of the class form.
//! * `manager.rs`: the manager; `scope.rs`: a manager for the length of a closure.
//! * `state.rs`: what the feeder shares: the stage, room for items, and the results.
//! * `loggers.rs`: the targets whose logs are captured.
//! * `workers.rs`: the pool behind it, without the types of its workers.
//! * `feeder.rs`: puts the items of an iterator in a thread of its own.
//! * `error.rs`: why a call failed.

mod builder;
mod error;
mod feeder;
mod insights;
#[cfg(feature = "capture-log")]
mod loggers;
#[allow(clippy::module_inception)]
mod manager;
mod process;
mod scope;
mod state;
mod workers;

pub use builder::ManagerBuilder;
pub use error::ManagerError;
pub use manager::PoolManager;
pub use process::PoolProcess;
