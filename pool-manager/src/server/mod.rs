//! The server: what it hosts, for whom, and until when.
//!
//! * `shared.rs`: objects, names, sessions and connections of one server.
//! * `connections.rs`: accepts clients, one thread for each connection.
//! * `call.rs`: a call of the server itself or of an object.
//! * `watcher.rs`: notices the end of client processes, and of objects that were on their way.
//! * `item.rs`: values as archives, and the references in them.
//! * `wait.rs`: calls that wait.
//! * `dict.rs`, `list.rs`, `value.rs`, `queue.rs`, `lock.rs`, `event.rs`, `semaphore.rs`: objects.
//! * `registry.rs`: own types.

mod call;
mod connections;
mod dict;
mod event;
mod item;
mod list;
mod lock;
mod queue;
mod registry;
mod semaphore;
mod shared;
mod value;
mod wait;
mod watcher;

pub(crate) use connections::{Running, start};
pub(crate) use registry::Registry;
pub use registry::{ManagedType, MethodCall};
pub(crate) use shared::Limits;
