//! One end of a pair of sockets, which tells processes that have one end whether any has the other.
//!
//! Invariant: a process has the descriptor of an end exactly as long as it has a handle to that
//! end. The kernel copies it at a fork and closes it at the end of a process and at an `exec`, so
//! at every instruction it knows, truly, which ends there are, also of a child that has not used
//! its own yet. What is written to the sockets says no more than that there is news.

use std::{
    io,
    mem::ManuallyDrop,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::stat::{SFlag, fstat},
};

use crate::{Error, segment::above_standard, sys};

#[derive(Debug)]
pub(super) struct SocketEnd {
    socket: ManuallyDrop<OwnedFd>,
    /// Device and inode of the socket.
    file: (u64, u64),
}

impl SocketEnd {
    /// The ends of a fresh pair.
    pub(super) fn pair() -> Result<(Self, Self), Error> {
        let (one, other) = sockets()?;
        Ok((Self::new(one)?, Self::new(other)?))
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
        Ok(Self { socket: ManuallyDrop::new(fd), file: (stat.st_dev, stat.st_ino) })
    }

    /// Whether the number still leads to this socket: a program that closes all descriptors, as
    /// daemons do, may have given it to a file of its own, and an abandoned end has another there.
    pub(super) fn is_intact(&self) -> bool {
        fstat(&*self.socket).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.file)
    }

    /// Whether no process has the other end any more; `false` where this process has closed its
    /// own.
    pub(super) fn is_peer_gone(&self) -> bool {
        self.is_intact() && sys::is_hung_up(self.as_fd())
    }

    /// Makes the other end readable. Without room it is that already.
    pub(super) fn notify(&self) {
        if self.is_intact() {
            sys::send_byte(self.as_fd());
        }
    }

    /// Takes one notice, if there are more than `left`.
    pub(super) fn take_notice(&self, left: usize) {
        if self.is_intact() {
            sys::take_byte(self.as_fd(), left);
        }
    }

    /// Lets go of the end, which counts as had by this process no more. Its number stays taken, by
    /// a socket that is never readable, since borrowed descriptors may have it.
    pub(super) fn abandon(&self) {
        if self.is_intact()
            && let Ok((never_readable, peer)) = sockets()
        {
            sys::replace(self.as_fd(), never_readable.as_fd());
            std::mem::forget(peer);
        }
    }
}

fn sockets() -> Result<(OwnedFd, OwnedFd), Error> {
    let failed = |source: io::Error| Error::os("making a pair of sockets", source);
    let (one, other) = UnixStream::pair().map_err(failed)?;
    Ok((one.into(), other.into()))
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

    fn is_readable(end: &SocketEnd) -> bool {
        !sys::readable_within(&[end.as_fd()], Duration::ZERO).unwrap().is_empty()
    }

    #[test]
    fn an_end_sees_that_the_other_one_is_gone() {
        let (one, other) = SocketEnd::pair().unwrap();
        assert!(!one.is_peer_gone() && !other.is_peer_gone());
        other.notify();
        assert!(!one.is_peer_gone());
        drop(other);
        assert!(one.is_peer_gone(), "also behind a notice");
        one.notify();
    }

    #[test]
    fn notices_make_the_other_end_readable_until_they_are_taken() {
        let (one, other) = SocketEnd::pair().unwrap();
        assert!(!is_readable(&one));
        (0..2).for_each(|_| other.notify());
        one.take_notice(1);
        one.take_notice(1);
        assert!(is_readable(&one), "one is left");
        one.take_notice(0);
        one.take_notice(0);
        assert!(!is_readable(&one));
        // More than the socket has room for.
        (0..100_000).for_each(|_| other.notify());
        assert!(is_readable(&one));
        drop(other);
        assert!(is_readable(&one));
    }

    #[test]
    fn an_abandoned_end_does_not_count_and_is_never_readable() {
        let (one, other) = SocketEnd::pair().unwrap();
        other.abandon();
        assert!(one.is_peer_gone() && !other.is_peer_gone() && !other.is_intact());
        one.notify();
        assert!(!is_readable(&other));
        other.abandon();
    }
}
