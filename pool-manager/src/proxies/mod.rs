//! The proxies of the types that every server has.
//!
//! * `crossing.rs`: makes a proxy `Wire`.
//! * `dict.rs`, `list.rs`, `namespace.rs`, `value.rs`, `queue.rs`: values.
//! * `lock.rs`, `event.rs`, `semaphore.rs`: what clients wait for.

mod crossing;
mod dict;
mod event;
mod list;
mod lock;
mod namespace;
mod queue;
mod semaphore;
mod value;

pub(crate) use crossing::{crosses_as_proxy, proxy_type};
pub use dict::DictProxy;
pub use event::EventProxy;
pub use list::ListProxy;
pub use lock::{LockError, LockProxy, ManagedGuard, ReentrantLockProxy};
pub use namespace::NamespaceProxy;
pub use queue::QueueProxy;
pub use semaphore::{ManagedPermit, SemaphoreProxy};
pub use value::ValueProxy;

use std::time::Duration;

use crate::protocol::FOREVER;

/// A time limit as it is sent. More than 584 years are none.
fn nanos(limit: Option<Duration>) -> u64 {
    limit.map_or(FOREVER, |limit| u64::try_from(limit.as_nanos()).unwrap_or(FOREVER))
}
