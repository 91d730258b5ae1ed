//! Connections: bytes, frames, the handshake, messages.
//!
//! * `stream.rs`: the socket (or any other stream) below a connection.
//! * `frame.rs`: frames, and how they are received without trust in their lengths.
//! * `handshake.rs`: how both sides prove that they know the key.
//! * `options.rs`: the limits of a connection.
//! * `connection.rs`: typed messages over a connection.
//! * `listener.rs`: accepts connections.
//! * `client.rs`: connects.
//! * `forward.rs`: the way to a server over streams of the program's own.

mod client;
mod connection;
mod forward;
mod frame;
mod handshake;
mod listener;
mod options;
mod stream;

pub use client::Client;
pub(crate) use client::connect;
pub use connection::Connection;
pub use forward::{Forwarder, forward};
pub(crate) use frame::{Frame, Head, Kind};
pub(crate) use handshake::accept;
pub use listener::Listener;
pub(crate) use listener::Socket;
pub(crate) use options::check_time;
pub use options::{ClientBuilder, ConnectionOptions, ListenerBuilder};
pub use stream::ByteStream;
pub(crate) use stream::Stream;
