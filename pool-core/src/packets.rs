//! Packets over a pair of sequenced-packet sockets, each with a descriptor at most.
//!
//! Invariant: nobody waits here for the other side, neither to read nor to write; a packet arrives whole or not at all.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};

/// What receiving found.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing now.
    Empty,
    /// The other side is gone.
    Closed,
}

/// Sends a packet; `WouldBlock` when there is no room for it now.
pub(crate) fn send(
    socket: &impl AsFd,
    packet: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    let socket = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(socket, &[IoSlice::new(packet)], rights.as_slice(), flags, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives a packet of up to `room` bytes: its length, and the descriptor that came with it. That one is missing when this
/// process has no number left for it.
pub(crate) fn receive(
    socket: &impl AsFd,
    room: &mut [u8],
) -> io::Result<Received<(usize, Option<OwnedFd>)>> {
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(room)];
    let socket = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        match recvmsg::<()>(socket, &mut parts, Some(&mut space), flags) {
            Ok(message) => {
                let mut fd = None;
                // An error: the descriptor was cut off.
                for part in message.cmsgs().into_iter().flatten() {
                    if let ControlMessageOwned::ScmRights(fds) = part {
                        for raw in fds {
                            // SAFETY: the kernel has just made this descriptor for us.
                            fd = Some(unsafe { OwnedFd::from_raw_fd(raw) });
                        }
                    }
                }
                return Ok(match message.bytes {
                    0 => Received::Closed,
                    len => Received::Message((len, fd)),
                });
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Received::Empty),
            Err(Errno::ECONNRESET) => return Ok(Received::Closed),
            Err(error) => return Err(error.into()),
        }
    }
}
