//! The side of a server's clients.
//!
//! * `server_ref.rs`: what leads to a server.
//! * `session.rs`: all connections of this process to one server.
//! * `attachment.rs`: this process's reference to one object.
//! * `raw_proxy.rs`: a proxy without its type, and how it crosses.
//! * `proxy.rs`: what all proxies have.
//! * `manager_client.rs`: makes and finds objects.

mod attachment;
mod manager_client;
mod proxy;
mod raw_proxy;
mod server_ref;
mod session;

pub(crate) use attachment::Attachment;
pub use manager_client::ManagerClient;
pub use proxy::{Ask, Proxy, method_id};
pub use raw_proxy::{ArchivedProxyParts, RawProxy, RawProxyResolver};
pub(crate) use server_ref::ServerRef;
pub(crate) use session::Session;
