//! One end of a pair of sockets, which tells processes that have one end whether any has the other.
//!
//! Invariant: a process has the descriptor of an end exactly as long as it has a handle to that
//! end. The kernel copies it at a fork and closes it at the end of a process and at an `exec`, so
//! at every instruction it knows, truly, which ends there are, also of a child that has not used
//! its own yet. What is written to the sockets says no more than that there is news.

use std::{
    io::{self, Read as _, Write as _},
    mem::ManuallyDrop,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::stat::{SFlag, fstat},
    unistd::close,
};

use crate::{Error, segment::above_standard, sys};

#[derive(Debug)]
pub(super) struct SocketEnd {
    socket: ManuallyDrop<UnixStream>,
    /// Device and inode of the socket.
    file: (u64, u64),
    /// Whether this process, a forked child, has closed the copy that it inherited.
    closed: AtomicBool,
}

impl SocketEnd {
    /// The ends of a fresh pair.
    pub(super) fn pair() -> Result<(Self, Self), Error> {
        let failed = |source: io::Error| Error::os("making a pair of sockets", source);
        let (one, other) = UnixStream::pair().map_err(failed)?;
        for end in [&one, &other] {
            end.set_nonblocking(true).map_err(failed)?;
        }
        Ok((Self::new(one.into())?, Self::new(other.into())?))
    }

    /// The end behind a descriptor that was sent here; `None` if that is no socket.
    pub(super) fn open(fd: OwnedFd) -> Result<Option<Self>, Error> {
        let stat = fstat(&fd).map_err(|source| Error::os("looking at a socket", source))?;
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFSOCK.bits() {
            return Ok(None);
        }
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|source| Error::os("closing a socket on exec", source))?;
        Self::new(fd).map(Some)
    }

    fn new(fd: OwnedFd) -> Result<Self, Error> {
        let fd = above_standard(fd)?;
        let stat = fstat(&fd).map_err(|source| Error::os("looking at a socket", source))?;
        let (socket, closed) = (ManuallyDrop::new(UnixStream::from(fd)), AtomicBool::new(false));
        Ok(Self { socket, file: (stat.st_dev, stat.st_ino), closed })
    }

    /// Whether the number still leads to this socket: a program that closes all descriptors, as
    /// daemons do, may have given it to a file of its own.
    pub(super) fn is_intact(&self) -> bool {
        !self.closed.load(SeqCst)
            && fstat(&*self.socket).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.file)
    }

    /// Whether no process has the other end any more; `false` where this process has closed its
    /// own.
    pub(super) fn is_peer_gone(&self) -> bool {
        self.is_intact() && sys::is_hung_up(self.as_fd())
    }

    /// Makes the other end readable.
    pub(super) fn notify(&self) {
        if self.is_intact() {
            // Without room it is readable already; and a peer that is gone needs no notice.
            let _ = (&*self.socket).write(&[0]);
        }
    }

    /// Takes all notices, so that this end is not readable until the next one.
    pub(super) fn take_notices(&self) {
        while self.is_intact() && (&*self.socket).read(&mut [0; 4096]).is_ok_and(|count| count > 0)
        {
        }
    }

    /// Closes the copy of this process, which does not count any more.
    pub(super) fn close(&self) {
        if self.is_intact() && !self.closed.swap(true, SeqCst) {
            // Its owner is in memory that the parent works with; it sees by the flag that it has
            // nothing to close.
            let _ = close(self.socket.as_raw_fd());
        }
    }
}

impl AsFd for SocketEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for SocketEnd {
    fn drop(&mut self) {
        if self.is_intact() {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.socket) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_end_sees_that_the_other_one_is_gone() {
        let (one, other) = SocketEnd::pair().unwrap();
        assert!(!one.is_peer_gone() && !other.is_peer_gone());
        other.notify();
        assert!(!one.is_peer_gone());
        drop(other);
        assert!(one.is_peer_gone(), "also behind a notice");
    }

    #[test]
    fn a_notice_makes_the_other_end_readable_until_it_is_taken() {
        let (one, other) = SocketEnd::pair().unwrap();
        let is_readable = || sys::first_readable(&[one.as_fd()], Duration::ZERO).unwrap().is_some();
        // More than the socket has room for.
        for notices in [1, 100_000] {
            assert!(!is_readable());
            (0..notices).for_each(|_| other.notify());
            assert!(is_readable());
            one.take_notices();
        }
        drop(other);
        assert!(is_readable());
        one.take_notices();
        one.notify();
    }

    #[test]
    fn an_end_that_was_closed_does_not_count() {
        let (one, other) = SocketEnd::pair().unwrap();
        other.close();
        assert!(one.is_peer_gone() && !other.is_peer_gone() && !other.is_intact());
        other.close();
    }
}
