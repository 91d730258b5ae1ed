//! What parent and zygote say to each other: packets of four 32-bit words over a socket pair.
//!
//! Invariant: neither side waits for the other to read; a packet that finds no room is `EAGAIN`. The
//! parent says that it is over by shutting its end down, for which there is always room.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

const PACKET: usize = 16;

/// What the parent asks for.
#[derive(Debug)]
pub(crate) enum Order {
    /// Start a worker, which allocates from the arena; there is none when the zygote had no number
    /// left for its descriptor.
    Start { place: u32, incarnation: u32, arena: Option<OwnedFd> },
    /// Kill a worker.
    Kill { incarnation: u32 },
}

/// What the zygote reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The zygote is ready.
    Reigns { pid: i32 },
    /// A worker was started.
    Started { incarnation: u32, pid: i32 },
    /// A worker could not be started, with the error number, or [`Report::SEE_ARENA`].
    NotStarted { incarnation: u32, errno: i32 },
    /// A worker has been reaped, with its wait status.
    Reaped { incarnation: u32, status: i32 },
}

/// What receiving found.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing now.
    Empty,
    /// The other side is gone.
    Closed,
}

pub(crate) fn send_order(
    socket: &impl AsFd,
    order: u32,
    place: u32,
    incarnation: u32,
    arena: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    send(socket, [order, place, incarnation, 0], arena)
}

impl Order {
    pub(crate) const START: u32 = 1;
    pub(crate) const KILL: u32 = 2;

    /// The next order, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> io::Result<Received<Self>> {
        Ok(match receive(socket)? {
            Received::Message((words, arena)) => match words {
                [Self::START, place, incarnation, _] => {
                    Received::Message(Self::Start { place, incarnation, arena })
                }
                [Self::KILL, _, incarnation, _] => Received::Message(Self::Kill { incarnation }),
                _ => Received::Closed,
            },
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
        })
    }
}

impl Report {
    /// In place of an error number: the failure lies in the worker's arena.
    pub(crate) const SEE_ARENA: i32 = -1;

    pub(crate) fn send(self, socket: &impl AsFd) -> io::Result<()> {
        let words = match self {
            Self::Reigns { pid } => [4, 0, pid as u32, 0],
            Self::Started { incarnation, pid } => [1, incarnation, pid as u32, 0],
            Self::NotStarted { incarnation, errno } => [2, incarnation, errno as u32, 0],
            Self::Reaped { incarnation, status } => [3, incarnation, status as u32, 0],
        };
        send(socket, words, None)
    }

    /// The next report, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> io::Result<Received<Self>> {
        Ok(match receive(socket)? {
            Received::Message(([kind, incarnation, value, _], _)) => match kind {
                1 => Received::Message(Self::Started { incarnation, pid: value as i32 }),
                2 => Received::Message(Self::NotStarted { incarnation, errno: value as i32 }),
                3 => Received::Message(Self::Reaped { incarnation, status: value as i32 }),
                4 => Received::Message(Self::Reigns { pid: value as i32 }),
                _ => Received::Closed,
            },
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
        })
    }
}

fn send(socket: &impl AsFd, words: [u32; 4], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut packet = [0; PACKET];
    for (bytes, word) in packet.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    let socket = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(socket, &[IoSlice::new(&packet)], rights.as_slice(), flags, None) {
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn receive(socket: &impl AsFd) -> io::Result<Received<([u32; 4], Option<OwnedFd>)>> {
    let mut packet = [0; PACKET];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut packet)];
    let socket = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let (len, fd) = loop {
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
                break (message.bytes, fd);
            }
            Err(nix::Error::EINTR) => {}
            Err(nix::Error::EAGAIN) => return Ok(Received::Empty),
            Err(nix::Error::ECONNRESET) => return Ok(Received::Closed),
            Err(error) => return Err(error.into()),
        }
    };
    if len != PACKET {
        return Ok(Received::Closed);
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(packet.chunks_exact(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().expect("chunks of four bytes"));
    }
    Ok(Received::Message((words, fd)))
}
