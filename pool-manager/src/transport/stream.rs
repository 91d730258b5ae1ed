//! The stream of bytes below a connection.
//!
//! Invariant: a stream that another thread shuts down ends each read and write that waits on it.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Mutex, PoisonError},
    time::Instant,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{getsockopt, setsockopt, sockopt},
};

use crate::Error;

/// What a connection can be made over besides sockets: a TLS session, a pipe to another host.
pub trait ByteStream: Read + Write + Send {}

impl<S: Read + Write + Send> ByteStream for S {}

/// A socket, or a stream of the user's.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Other(Mutex<Box<dyn ByteStream>>),
}

impl Stream {
    /// A TCP stream that sends small messages at once, and notices a peer that is gone for good.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        setsockopt(&stream, sockopt::KeepAlive, &true)?;
        setsockopt(&stream, sockopt::TcpKeepIdle, &30)?;
        setsockopt(&stream, sockopt::TcpKeepInterval, &10)?;
        setsockopt(&stream, sockopt::TcpKeepCount, &3)?;
        Ok(Self::Tcp(stream))
    }

    pub(crate) fn other(stream: impl ByteStream + 'static) -> Self {
        Self::Other(Mutex::new(Box::new(stream)))
    }

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Unix(stream) => (&*stream).read(buffer),
                Self::Tcp(stream) => (&*stream).read(buffer),
                Self::Other(stream) => {
                    stream.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => (&*stream).write_all(bytes),
            Self::Tcp(stream) => (&*stream).write_all(bytes),
            Self::Other(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Ends all that waits here, on this side and on the other one.
    pub(crate) fn shut_down(&self, how: Shutdown) {
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Other(_) => Ok(()),
        };
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Other(_) => None,
        }
    }

    /// Waits until there is something to read, or the end. Says whether that came before the
    /// deadline.
    pub(crate) fn wait_readable(&self, deadline: Instant) -> Result<bool, Error> {
        let without = "a time limit on a stream that is no socket";
        let descriptor = self.descriptor().ok_or(Error::NotSupported(without))?;
        wait_for(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], Some(deadline))
            .map(|count| count > 0)
    }

    /// The process and the user at the other end of a Unix socket.
    pub(crate) fn peer(&self) -> Result<Option<(i32, u32)>, Error> {
        let Self::Unix(stream) = self else { return Ok(None) };
        let peer = getsockopt(stream, sockopt::PeerCredentials).map_err(Error::errno)?;
        Ok(Some((peer.pid(), peer.uid())))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(stream) => stream.fmt(f),
            Self::Tcp(stream) => stream.fmt(f),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// `poll` with a deadline; signals do not end it.
pub(crate) fn wait_for(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<i32, Error> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up, so that a wait does not end before its time.
                let millis = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
                PollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
            }
        };
        match poll(fds, timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() < deadline) => {}
            Ok(count) => return Ok(count),
            Err(errno) => return Err(Error::errno(errno)),
        }
    }
}
