//! Connects to a listener.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::Arc,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt},
        time::{TimeVal, TimeValLike},
    },
};

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
    if matches!(address, Address::Tcp(_)) && options.key.is_none() {
        return Err(Error::KeyRequired);
    }
    handshake::connect(dial(address, options.handshake_timeout)?, options)
}

/// Opens a socket to an address.
pub(super) fn dial(address: &Address, limit: Duration) -> Result<Stream, Error> {
    let failed = |error| Error::Connect { address: address.clone(), source: Arc::new(error) };
    match address {
        Address::Tcp(host) => {
            let mut result = Err(std::io::ErrorKind::NotFound.into());
            for candidate in host.to_socket_addrs().map_err(failed)? {
                result = TcpStream::connect_timeout(&candidate, limit);
                if result.is_ok() {
                    break;
                }
            }
            result.and_then(Stream::tcp).map_err(failed)
        }
        local => connect_unix(local, limit).map(Stream::Unix).map_err(failed),
    }
}

/// Connects to a Unix socket. Where the listener accepts none any more, so that its queue is full,
/// this waits for `limit`, which std's own call does without end.
fn connect_unix(address: &Address, limit: Duration) -> io::Result<UnixStream> {
    let name = match address {
        Address::Unix(path) => UnixAddr::new(path.as_path())?,
        Address::Abstract(name) => UnixAddr::new_abstract(name.as_bytes())?,
        Address::Tcp(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
    match nix::sys::socket::connect(socket.as_raw_fd(), &name) {
        Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
        connected => connected?,
    }
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::microseconds(0))?;
    Ok(socket.into())
}
