//! How each side of a channel learns that the other one is gone: the two ends of a socket pair.
//!
//! Invariant: a process has the descriptor of a side exactly as long as it has endpoints of that
//! side. The kernel copies it at a fork and closes it at the end of a process and at an `exec`, so
//! at every instruction it knows, truly, which sides there are, also of a child that has not used
//! its endpoints yet. Nothing is ever written to the sockets.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Result},
    mem::ManuallyDrop,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::{fs::MetadataExt as _, net::UnixStream},
    },
};

/// One end of the pair.
#[derive(Debug)]
pub(super) struct End {
    socket: ManuallyDrop<UnixStream>,
    /// Device and inode of the socket.
    file: (u64, u64),
}

impl End {
    /// The ends of a fresh pair.
    pub(super) fn pair() -> Result<(Self, Self)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self::new(one)?, Self::new(other)?))
    }

    fn new(socket: UnixStream) -> Result<Self> {
        // A program without standard streams would get one of their numbers; a copy never has it.
        let socket = if socket.as_raw_fd() > 2 { socket } else { socket.try_clone()? };
        socket.set_nonblocking(true)?;
        let file = file_of(&socket)?;
        Ok(Self { socket: ManuallyDrop::new(socket), file })
    }

    /// Whether the number still leads to this socket: a program that closes all descriptors, as
    /// daemons do, may have given it to a file of its own.
    fn is_intact(&self) -> bool {
        file_of(&self.socket).is_ok_and(|file| file == self.file)
    }

    /// Whether no process has the other end any more; `false` where this process has closed its
    /// own.
    pub(super) fn is_peer_gone(&self) -> bool {
        if !self.is_intact() {
            return false;
        }
        match (&*self.socket).read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_intact() {
            // SAFETY: dropped here once and not used again.
            unsafe { ManuallyDrop::drop(&mut self.socket) }
        }
    }
}

fn file_of(socket: &UnixStream) -> Result<(u64, u64)> {
    // SAFETY: only asked for its metadata, and not dropped, so the number stays the socket's.
    let file = ManuallyDrop::new(File::from(unsafe { OwnedFd::from_raw_fd(socket.as_raw_fd()) }));
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_sees_that_the_other_one_is_gone() {
        let (one, other) = End::pair().unwrap();
        assert!(!one.is_peer_gone() && !other.is_peer_gone());
        drop(other);
        assert!(one.is_peer_gone());
    }
}
