//! Messages about segments between a process and the zygote: one packet each, with a descriptor
//! where one belongs.
//!
//! Invariant: a packet arrives whole or not at all; one that makes no sense ends the connection.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use pool_ipc::{SegmentId, board::Incarnation};

use super::packet::{self, Received};
use crate::os::{ENDING, KeptFd};

/// Bytes of a packet's head: a kind and a number.
const HEAD: usize = 2 * size_of::<u32>();
const LARGEST: usize = HEAD + size_of::<SegmentId>();

/// What a process sends to the zygote.
#[derive(Debug)]
pub(crate) enum Request {
    /// Other processes may fetch this segment. The descriptor is missing when the zygote had no
    /// number left for it.
    Register { id: SegmentId, descriptor: Option<OwnedFd> },
    /// This process has let the segment go: takes back one [`Self::Register`].
    Forget { id: SegmentId },
    /// The process asks for the descriptor of a segment.
    Fetch { number: u32, id: SegmentId },
    /// The last result of a dead worker has been read.
    ReleaseOwner { owner: Incarnation },
}

/// What the zygote answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number of the question.
    pub(crate) number: u32,
    /// The error number for which there is no descriptor, or 0 if there is one.
    pub(crate) errno: i32,
    pub(crate) descriptor: Option<OwnedFd>,
}

const REGISTER: u32 = 1;
const FORGET: u32 = 2;
const FETCH: u32 = 3;
const RELEASE_OWNER: u32 = 4;
const INTRODUCTION: u32 = 5;
const ALARM: u32 = 6;
/// This and the next ones: the worker was told to end by the first, second … of `os::ENDING`.
const ENDING_SIGNAL: u32 = 16;

/// Connects the worker `owner` through `handshake_socket`: `socket` is the zygote's end of the
/// connection.
pub(crate) fn introduce(
    handshake_socket: &KeptFd,
    owner: Incarnation,
    socket: BorrowedFd<'_>,
) -> io::Result<()> {
    packet::send(&handshake_socket.intact()?, &head(INTRODUCTION, owner.number()), Some(socket))
}

/// Tells the zygote through `handshake_socket` that an item is due before it looks at the clocks
/// next.
pub(crate) fn send_alarm(handshake_socket: &KeptFd) {
    // If the socket has no room, the zygote is about to read it, and then looks at the clocks. If
    // the task has closed it, the zygote looks at the clocks later.
    if let Ok(handshake_socket) = handshake_socket.intact() {
        let _ = packet::send(&handshake_socket, &head(ALARM, 0), None);
    }
}

/// The packet by which the worker `owner` tells the zygote through its handshake socket that it
/// was told to end, by the signal at this index of `os::ENDING`. Does not allocate.
pub(crate) fn ending_signal(owner: Incarnation, signal: u32) -> [u8; HEAD] {
    head(ENDING_SIGNAL + signal, owner.number())
}

/// What workers send through the handshake socket.
pub(crate) enum Handshake {
    /// A worker connects, with its socket if there was a number for it here.
    Worker(Incarnation, Option<OwnedFd>),
    /// A worker has an item that is due before the zygote looks at the clocks next.
    Alarm,
    /// A worker was told to end, by the signal at this index of `os::ENDING`.
    EndingSignal(Incarnation, usize),
}

/// The next message through the handshake socket, without waiting.
pub(crate) fn receive_handshake(handshake_socket: &impl AsFd) -> Received<Handshake> {
    match receive(handshake_socket) {
        Received::Message((packet, socket)) => match packet.head() {
            (INTRODUCTION, owner) => {
                Received::Message(Handshake::Worker(Incarnation::new(owner), socket))
            }
            (ALARM, _) => Received::Message(Handshake::Alarm),
            (kind, owner)
                if (ENDING_SIGNAL..ENDING_SIGNAL + ENDING.len() as u32).contains(&kind) =>
            {
                Received::Message(Handshake::EndingSignal(
                    Incarnation::new(owner),
                    (kind - ENDING_SIGNAL) as usize,
                ))
            }
            _ => Received::Closed,
        },
        Received::Empty => Received::Empty,
        Received::Closed => Received::Closed,
    }
}

impl Request {
    /// Sends the request, without waiting. `descriptor` is that of a segment to be registered.
    pub(crate) fn send(
        &self,
        socket: &impl AsFd,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let one =
            |kind, number, id: SegmentId| [&head(kind, number)[..], &id.0.to_ne_bytes()].concat();
        let packet = match self {
            Self::Register { id, .. } => one(REGISTER, 0, *id),
            Self::Forget { id } => one(FORGET, 0, *id),
            Self::Fetch { number, id } => one(FETCH, *number, *id),
            Self::ReleaseOwner { owner } => head(RELEASE_OWNER, owner.number()).to_vec(),
        };
        packet::send(socket, &packet, descriptor)
    }

    /// The next request, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> Received<Self> {
        let (packet, descriptor) = match receive(socket) {
            Received::Message(message) => message,
            Received::Empty => return Received::Empty,
            Received::Closed => return Received::Closed,
        };
        let (kind, number) = packet.head();
        match (kind, packet.id()) {
            (REGISTER, Some(id)) => Received::Message(Self::Register { id, descriptor }),
            (FORGET, Some(id)) => Received::Message(Self::Forget { id }),
            (FETCH, Some(id)) => Received::Message(Self::Fetch { number, id }),
            (RELEASE_OWNER, None) => {
                Received::Message(Self::ReleaseOwner { owner: Incarnation::new(number) })
            }
            _ => Received::Closed,
        }
    }
}

impl Answer {
    /// In place of an error number: no process has the segment.
    pub(crate) const NOT_FOUND: i32 = libc::ENOENT;

    /// Sends the answer, without waiting, with the descriptor if there is one.
    pub(crate) fn send(
        &self,
        socket: &impl AsFd,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        packet::send(socket, &head(self.errno.cast_unsigned(), self.number), descriptor)
    }

    /// The next answer, without waiting.
    pub(crate) fn receive(socket: &impl AsFd) -> Received<Self> {
        match receive(socket) {
            Received::Message((packet, descriptor)) => {
                let (errno, number) = packet.head();
                Received::Message(Self { number, errno: errno.cast_signed(), descriptor })
            }
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
        }
    }
}

fn head(kind: u32, number: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&kind.to_ne_bytes());
    head[4..].copy_from_slice(&number.to_ne_bytes());
    head
}

struct Packet {
    bytes: [u8; LARGEST],
    /// At least the length of a head.
    len: usize,
}

impl Packet {
    /// The kind and the number in the head.
    fn head(&self) -> (u32, u32) {
        let word = |at: usize| {
            u32::from_ne_bytes(self.bytes[at..at + 4].try_into().expect("four bytes of the head"))
        };
        (word(0), word(4))
    }

    fn id(&self) -> Option<SegmentId> {
        let id = self.bytes[HEAD..self.len].first_chunk()?;
        Some(SegmentId(u128::from_ne_bytes(*id)))
    }
}

fn receive(socket: &impl AsFd) -> Received<(Packet, Option<OwnedFd>)> {
    let mut bytes = [0; LARGEST];
    match packet::receive(socket, &mut bytes) {
        Ok(Received::Message((len, fd))) if len >= HEAD => {
            Received::Message((Packet { bytes, len }, fd))
        }
        Ok(Received::Empty) => Received::Empty,
        Ok(Received::Message(_) | Received::Closed) | Err(_) => Received::Closed,
    }
}
