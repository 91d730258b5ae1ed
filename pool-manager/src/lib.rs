//! A server for shared objects, and typed messages over sockets.
//!
//! * [`Manager`]: starts a server; [`ManagerClient`] makes objects there and finds them.
//! * [`DictProxy`], [`ListProxy`], [`NamespaceProxy`], [`ValueProxy`], [`QueueProxy`],
//!   [`LockProxy`], [`ReentrantLockProxy`], [`EventProxy`], [`SemaphoreProxy`]: objects that every
//!   server has; [`manager!`] makes own ones.
//! * [`Listener`], [`Client`], [`Connection`]: the layer below, for plain messages.
#![doc = include_str!("../README.md")]

// * `manager.rs`, `builder.rs`: a server and its owner.
// * `macros.rs`: own types.
// * `proxies/`: the proxies of the types that every server has.
// * `client/`: sessions and proxies in general.
// * `server/`: the server.
// * `context.rs`: what the encoding of a value has to know of the proxies in it.
// * `protocol.rs`: what clients and servers say to each other.
// * `transport/`: connections.
// * `address.rs`, `key.rs`, `error.rs`, `sys.rs`: leaves.

mod address;
mod builder;
mod client;
mod context;
mod error;
mod key;
mod macros;
mod manager;
mod protocol;
mod proxies;
mod server;
mod sys;
mod transport;

pub use address::Address;
pub use builder::{ManagerBuilder, ServerProcess, ServerTypes};
pub use client::{ManagerClient, Proxy};
pub use error::Error;
pub use key::AuthKey;
pub use manager::Manager;
/// What starts processes, as a server's own is one.
#[doc(no_inline)]
pub use pool_core::{Process, StartMethod, init};
#[doc(hidden)]
pub use pool_ipc::wire as __wire;
/// What values have to be.
#[doc(no_inline)]
pub use pool_ipc::{Wire, wire};
pub use proxies::{
    DictProxy, EventProxy, ListProxy, LockError, LockProxy, ManagedGuard, ManagedPermit,
    NamespaceProxy, QueueProxy, ReentrantLockProxy, SemaphoreProxy, ValueProxy,
};
pub use server::ManagedType;
pub(crate) use transport::check_time;
pub use transport::{
    ByteStream, Client, ClientBuilder, Connection, ConnectionOptions, Forwarder, Listener,
    ListenerBuilder, forward,
};

/// What the expansion of [`manager!`] needs.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        client::{ArchivedProxyParts, Ask, RawProxy, RawProxyResolver, method_id},
        server::MethodCall,
    };
}
