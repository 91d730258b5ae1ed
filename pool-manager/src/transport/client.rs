//! Connects to a listener.

use std::{net::TcpStream, net::ToSocketAddrs, os::unix::net::UnixStream, sync::Arc};

use super::{Connection, ConnectionOptions, Stream, handshake};
use crate::{Address, Error};

/// Connects to [`Listener`](crate::Listener)s.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Client {}

impl Client {
    /// Connects to the listener at `address` without a key.
    ///
    /// # Errors
    ///
    /// The errors of [`ClientBuilder::connect`](crate::ClientBuilder::connect).
    pub fn connect(address: &Address) -> Result<Connection, Error> {
        Self::builder().connect(address)
    }
}

/// Connects, and proves and checks the key.
pub(crate) fn connect(address: &Address, options: &ConnectionOptions) -> Result<Connection, Error> {
    options.check()?;
    let failed = |error| Error::Connect { address: address.clone(), source: Arc::new(error) };
    let stream = match address {
        Address::Tcp(_) if options.key.is_none() => return Err(Error::KeyRequired),
        Address::Tcp(host) => {
            let mut result = Err(std::io::ErrorKind::NotFound.into());
            for candidate in host.to_socket_addrs().map_err(failed)? {
                result = TcpStream::connect_timeout(&candidate, options.handshake_timeout);
                if result.is_ok() {
                    break;
                }
            }
            result.and_then(Stream::tcp).map_err(failed)?
        }
        local => {
            let address = local.socket_address().map_err(failed)?;
            Stream::Unix(UnixStream::connect_addr(&address).map_err(failed)?)
        }
    };
    handshake::connect(stream, options)
}
