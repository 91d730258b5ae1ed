//! The limits of connections and listeners.
//!
//! Invariant: what cannot be used is refused by name before a socket is made.

use std::{sync::Arc, time::Duration};

use super::{Client, Connection, Listener, Stream, client, handshake};
use crate::{Address, AuthKey, ByteStream, Error};

/// The options that both sides of a connection have.
#[derive(Debug, Clone)]
pub struct ConnectionOptions {
    pub(crate) key: Option<AuthKey>,
    pub(crate) max_message_bytes: u64,
    pub(crate) handshake_timeout: Duration,
}

impl ConnectionOptions {
    /// The largest message, if nothing else is said: 64 MiB.
    pub const MAX_MESSAGE_BYTES: u64 = 64 << 20;
    /// How long a handshake may take, if nothing else is said: 5 seconds.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(64..=1 << 40).contains(&self.max_message_bytes) {
            let text = "max_message_bytes is from 64 to 2^40, not ";
            return Err(Error::InvalidInput(format!("{text}{}", self.max_message_bytes)));
        }
        check_time("handshake_timeout", self.handshake_timeout)
    }
}

/// Refuses no time at all, and times beyond a year.
pub(crate) fn check_time(name: &str, time: Duration) -> Result<(), Error> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    if (Duration::from_millis(1)..=YEAR).contains(&time) {
        return Ok(());
    }
    Err(Error::InvalidInput(format!("{name} is from 1 ms to 366 days, not {time:?}")))
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            key: None,
            max_message_bytes: Self::MAX_MESSAGE_BYTES,
            handshake_timeout: Self::HANDSHAKE_TIMEOUT,
        }
    }
}

macro_rules! common_options {
    () => {
        /// The key that both sides prove to each other. TCP asks for one; on a Unix socket the
        /// kernel tells the user of the peer, and a key is asked for besides.
        pub fn key(mut self, key: AuthKey) -> Self {
            self.options.key = Some(key);
            self
        }

        /// The largest message that is sent or received, in bytes, from 64 to 2^40; without it
        /// 64 MiB. Refused ([`Error::InvalidInput`]): all else.
        pub fn max_message_bytes(mut self, bytes: u64) -> Self {
            self.options.max_message_bytes = bytes;
            self
        }

        /// How long the other side may take for its handshake, from 1 ms to 366 days; without it
        /// 5 seconds. Refused ([`Error::InvalidInput`]): all else.
        pub fn handshake_timeout(mut self, limit: Duration) -> Self {
            self.options.handshake_timeout = limit;
            self
        }
    };
}

/// Sets up a [`Listener`]; made by [`Listener::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ListenerBuilder {
    pub(crate) options: ConnectionOptions,
}

impl ListenerBuilder {
    common_options!();

    /// Listens at `address`.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRequired`] for TCP without a key; [`Error::Bind`] where the address is taken or
    /// cannot be had; [`Error::InvalidInput`] for options that cannot be used.
    pub fn bind(&self, address: &Address) -> Result<Listener, Error> {
        Listener::bind_with(address, self.options.clone())
    }

    /// The listening side of a connection over a stream that is already there, such as a TLS
    /// session. The stream's own time limits are those of the handshake.
    ///
    /// # Errors
    ///
    /// Those of a handshake, as [`Listener::accept`].
    pub fn accept_over(&self, stream: impl ByteStream + 'static) -> Result<Connection, Error> {
        self.options.check()?;
        handshake::accept(Arc::new(Stream::other(stream)), &self.options)
    }
}

/// Sets up a connection to a [`Listener`]; made by [`Client::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ClientBuilder {
    pub(crate) options: ConnectionOptions,
}

impl ClientBuilder {
    common_options!();

    /// Connects to the listener at `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if no listener is there; [`Error::KeyRequired`], [`Error::KeyNotUsed`],
    /// [`Error::Refused`] and [`Error::OtherUser`] where the two sides are not meant for each
    /// other; [`Error::HandshakeTimedOut`]; [`Error::InvalidInput`] for options that cannot be
    /// used.
    pub fn connect(&self, address: &Address) -> Result<Connection, Error> {
        client::connect(address, &self.options)
    }

    /// The connecting side of a connection over a stream that is already there, such as a TLS
    /// session. The stream's own time limits are those of the handshake.
    ///
    /// # Errors
    ///
    /// Those of a handshake, as [`connect`](Self::connect).
    pub fn connect_over(&self, stream: impl ByteStream + 'static) -> Result<Connection, Error> {
        self.options.check()?;
        handshake::connect(Stream::other(stream), &self.options)
    }
}

impl Client {
    /// Sets up a connection.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

impl Listener {
    /// Sets up a listener.
    pub fn builder() -> ListenerBuilder {
        ListenerBuilder::default()
    }
}
