//! Packets over a pair of sequenced-packet sockets, received with at most one descriptor each.
//!
//! Invariant: neither side waits here for the other, to read or to write, but for a worker that
//! introduces its output (`send_waiting`); a packet arrives whole or not at all.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};

/// What receiving found.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    /// There is no message now.
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
    let fds = raw.as_ref().map_or(&[][..], |raw| raw);
    send_parts(socket.as_fd(), &[IoSlice::new(packet)], fds)
}

/// Sends a packet in parts, with any number of descriptors that the kernel takes; `WouldBlock` when
/// there is no room for it now.
pub(crate) fn send_parts(
    socket: BorrowedFd<'_>,
    parts: &[IoSlice<'_>],
    fds: &[RawFd],
) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), parts, rights, flags, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends a packet with a descriptor, and waits until there is room for it.
pub(crate) fn send_waiting(
    socket: BorrowedFd<'_>,
    packet: &[u8],
    fd: BorrowedFd<'_>,
) -> io::Result<()> {
    loop {
        match send(&socket, packet, Some(fd)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        let _ = poll(&mut [PollFd::new(socket, PollFlags::POLLOUT)], PollTimeout::NONE);
    }
}

/// Receives a packet of up to `room` bytes: its length, and the descriptor that came with it. The
/// descriptor is missing when this process has no number left for it.
pub(crate) fn receive(
    socket: &impl AsFd,
    room: &mut [u8],
) -> io::Result<Received<(usize, Option<OwnedFd>)>> {
    loop {
        return match receive_once(socket.as_fd(), room) {
            Ok((0, _)) => Ok(Received::Closed),
            Ok(message) => Ok(Received::Message(message)),
            Err(Errno::EAGAIN) => Ok(Received::Empty),
            // The kernel reports a reset once, before the packets that the other side has sent, if
            // that side has closed its end with packets unread.
            Err(Errno::EINTR | Errno::ECONNRESET) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Makes the system call itself, since nix allocates for every descriptor, and a zygote writes to
/// its stack only between two forks.
fn receive_once(socket: BorrowedFd<'_>, room: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    #[repr(align(8))]
    struct Rights([u8; 32]);

    let mut rights = Rights([0; 32]);
    // SAFETY: arithmetic.
    let one = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) } as usize;
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all zeroes is a valid header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    // No longer than that, so that never more than one descriptor arrives.
    (message.msg_control, message.msg_controllen) = (rights.0.as_mut_ptr().cast(), one);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header leads to `room` and to `rights`, with their lengths, and all outlive the
    // call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let len = Errno::result(len)?;
    // SAFETY: the kernel has filled `rights` as far as the header says now: with a whole control
    // message, or not at all. A message that is long enough for a descriptor has one, which the
    // kernel has just made for this process.
    let descriptor = unsafe {
        let control = libc::CMSG_FIRSTHDR(&raw const message);
        let came = !control.is_null()
            && (*control).cmsg_type == libc::SCM_RIGHTS
            && (*control).cmsg_len >= one;
        came.then(|| libc::CMSG_DATA(control).cast::<RawFd>().read_unaligned())
            .map(|number| OwnedFd::from_raw_fd(number))
    };
    Ok((len as usize, descriptor))
}
