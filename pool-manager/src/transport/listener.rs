//! Accepts connections.
//!
//! Invariant: the file of a Unix socket goes with its listener.

use std::{
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::MetadataExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};

use super::{Connection, ConnectionOptions, Stream, handshake, stream::wait_for};
use crate::{Address, Error};

/// Accepts connections at an address, each after its handshake.
///
/// `accept` does one handshake at a time, which takes at most
/// [`handshake_timeout`](crate::ListenerBuilder::handshake_timeout): a peer that says nothing holds
/// up the next one for that long. Several threads may accept at the same listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    options: ConnectionOptions,
}

impl Listener {
    /// Listens at a Unix socket without a key.
    ///
    /// # Errors
    ///
    /// The errors of [`ListenerBuilder::bind`](crate::ListenerBuilder::bind).
    pub fn bind(address: &Address) -> Result<Self, Error> {
        Self::builder().bind(address)
    }

    pub(super) fn bind_with(address: &Address, options: ConnectionOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self { socket: Socket::bind(address, &options)?, options })
    }

    /// Where the listener is found: for TCP with the port that it has got.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.socket.address
    }

    /// Waits for the next connection and does its handshake.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::KeyRequired`], [`Error::KeyNotUsed`], [`Error::OtherUser`],
    /// [`Error::Malformed`], [`Error::Disconnected`] and [`Error::HandshakeTimedOut`] for a peer
    /// that is not let in: accept again. [`Error::Io`] where the system gives no connection.
    pub fn accept(&self) -> Result<Connection, Error> {
        self.accept_until(None)
    }

    /// Waits for the next connection, for at most `limit`.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept); [`Error::TimedOut`] if none came.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Connection, Error> {
        // A time that no clock reaches is none.
        self.accept_until(Instant::now().checked_add(limit))
    }

    fn accept_until(&self, deadline: Option<Instant>) -> Result<Connection, Error> {
        loop {
            // Another thread may take the connection that both have seen.
            if let Some(stream) = self.socket.try_accept()? {
                return handshake::accept(Arc::new(stream), &self.options);
            }
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if wait_for(&mut fds, deadline)? == 0 {
                return Err(Error::TimedOut);
            }
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    kind: SocketKind,
    address: Address,
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum SocketKind {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Socket {
    pub(crate) fn bind(address: &Address, options: &ConnectionOptions) -> Result<Self, Error> {
        let failed = |error| Error::Bind { address: address.clone(), source: Arc::new(error) };
        if let Address::Tcp(host) = address {
            if options.key.is_none() {
                return Err(Error::KeyRequired);
            }
            let listener = TcpListener::bind(host).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let address = Address::Tcp(listener.local_addr().map_err(failed)?.to_string());
            return Ok(Self { kind: SocketKind::Tcp(listener), address, _file: None });
        }
        let bound = address.socket_address().and_then(|name| UnixListener::bind_addr(&name));
        let listener = bound.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let file = match address {
            Address::Unix(path) => Some(SocketFile::new(path).map_err(failed)?),
            _ => None,
        };
        Ok(Self { kind: SocketKind::Unix(listener), address: address.clone(), _file: file })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection; `None`: there is none now.
    pub(crate) fn try_accept(&self) -> Result<Option<Stream>, Error> {
        let accepted = match &self.kind {
            SocketKind::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            SocketKind::Tcp(listener) => {
                listener.accept().and_then(|(stream, _)| Stream::tcp(stream))
            }
        };
        match accepted {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(Error::io(error)),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            SocketKind::Unix(listener) => listener.as_fd(),
            SocketKind::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// The file of a Unix socket. A copy of the listener that a fork made does not remove it, nor does
/// a listener whose file was replaced.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    pid: u32,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity, pid: std::process::id() })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = Self::identity(&self.path).is_ok_and(|found| found == self.identity);
        if self.pid == std::process::id() && is_ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
