//! What a process that runs one function exchanges with the process that started it.
//!
//! Invariant: a message is whole or is none: the receiver hands it out when all of its bytes and
//! all of its descriptors are there. Bytes that are too many for a packet travel in a file in
//! memory, so that the sender never waits for the receiver, however large a value is.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
};

use nix::{
    errno::Errno,
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
    },
};
use pool_ipc::{AlignedBytes, SegmentId};
use pool_shm::{SegmentFault, SharedSegment};

use crate::protocol::Received;

/// Bytes that travel in the packet itself.
const INLINE: usize = 8 << 10;
/// Descriptors in one packet; the kernel takes 253.
const DESCRIPTORS: usize = 200;
/// Bytes of the fixed part of a packet.
const HEAD: usize = 6 * 8;
/// Bytes of one identity of a segment.
const ID: usize = 16;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    /// To the process: its configuration, then the argument of its function.
    Config = 1,
    Argument,
    /// From the process: what its function returned, an encoded [`FailureKind`], or the step at
    /// which it could not begin with the error number.
    ///
    /// [`FailureKind`]: crate::error::FailureKind
    Value,
    Failed,
    Unable,
    /// From the server: the process id, with a pidfd; the error number of the fork; the wait
    /// status.
    Started,
    NotStarted,
    Ended,
    /// Further descriptors of the last message.
    More,
}

impl Kind {
    fn is_of_server(self) -> bool {
        matches!(self, Self::Started | Self::NotStarted | Self::Ended)
    }

    fn from_word(word: u64) -> Option<Self> {
        let all = [
            Self::Config,
            Self::Argument,
            Self::Value,
            Self::Failed,
            Self::Unable,
            Self::Started,
            Self::NotStarted,
            Self::Ended,
            Self::More,
        ];
        all.into_iter().find(|kind| *kind as u64 == word)
    }
}

/// A message as it arrived.
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// What the kind says, each 0 if it says nothing.
    pub(crate) numbers: [u64; 2],
    /// Aligned as an archive asks for.
    pub(crate) bytes: AlignedBytes,
    pub(crate) ids: Vec<SegmentId>,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Message {
    /// Maps the segments of the handles in it. They have to be kept until it is decoded.
    pub(crate) fn open_segments(&mut self) -> Result<Vec<SharedSegment>, SegmentFault> {
        // SAFETY: the sender sent the descriptors of its own segments (`send_bytes`).
        let open = |(fd, id): (OwnedFd, &SegmentId)| unsafe { SharedSegment::open(fd, *id) };
        std::mem::take(&mut self.fds).into_iter().zip(&self.ids).map(open).collect()
    }
}

/// Sends a message of two numbers, with a descriptor if there is one.
pub(crate) fn send_numbers(
    socket: BorrowedFd<'_>,
    kind: Kind,
    numbers: [u64; 2],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let fds: Vec<RawFd> = fd.iter().map(AsRawFd::as_raw_fd).collect();
    send_packet(socket, &head(kind, numbers, [0, 0, 0]), &[], &fds)
}

/// Sends bytes with the handles in them. `WouldBlock` if the socket has no room for so many
/// descriptors.
pub(crate) fn send_bytes(
    socket: BorrowedFd<'_>,
    kind: Kind,
    bytes: &[u8],
    segments: &[SharedSegment],
) -> io::Result<()> {
    let ids: Vec<u8> = segments.iter().flat_map(|segment| segment.id().0.to_ne_bytes()).collect();
    let lens = [bytes.len() as u64, segments.len() as u64];
    let whole = bytes.len() + ids.len();
    if whole <= INLINE {
        let head = head(kind, [0, 0], [lens[0], lens[1], 1]);
        send_packet(socket, &head, &[bytes, &ids].concat(), &[])?;
    } else {
        let file = File::from(memfd_create(c"pool-message", MFdFlags::MFD_CLOEXEC)?);
        file.write_all_at(bytes, 0)?;
        file.write_all_at(&ids, bytes.len() as u64)?;
        let head = head(kind, [0, 0], [lens[0], lens[1], 0]);
        send_packet(socket, &head, &[], &[file.as_raw_fd()])?;
    }
    // SAFETY: the receiver opens the segments, and does nothing else with the descriptors.
    let fds = segments.iter().map(|segment| unsafe { segment.as_fd() }.as_raw_fd());
    let fds: Vec<RawFd> = fds.collect();
    let more = head_of_more();
    fds.chunks(DESCRIPTORS).try_for_each(|fds| send_packet(socket, &more, &[], fds))
}

fn head_of_more() -> [u8; HEAD] {
    head(Kind::More, [0, 0], [0, 0, 0])
}

/// Kind and numbers, then bytes, descriptors, and whether the bytes are in the packet.
fn head(kind: Kind, numbers: [u64; 2], lens: [u64; 3]) -> [u8; HEAD] {
    let words = [kind as u64, numbers[0], numbers[1], lens[0], lens[1], lens[2]];
    let mut head = [0; HEAD];
    for (place, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_ne_bytes();
    }
    head
}

fn send_packet(socket: BorrowedFd<'_>, head: &[u8], body: &[u8], fds: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
    let parts = [IoSlice::new(head), IoSlice::new(body)];
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match sendmsg::<()>(socket.as_raw_fd(), &parts, rights, flags, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives messages.
#[derive(Default)]
pub(crate) struct Inbox {
    /// A message that waits for further descriptors.
    begun: Option<Message>,
}

impl Inbox {
    /// The next whole message, if it is there.
    ///
    /// # Errors
    ///
    /// Those of receiving; `EMFILE` when this process has no number left for a descriptor, and
    /// `InvalidData` for bytes that are no message.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<Received<Message>> {
        loop {
            let (packet, fds) = match receive_packet(socket)? {
                Received::Message(packet) => packet,
                Received::Empty => return Ok(Received::Empty),
                Received::Closed => return Ok(Received::Closed),
            };
            let next = read(&packet, fds)?;
            let message = match (self.begun.take(), next) {
                (Some(mut message), next) if next.kind == Kind::More => {
                    message.fds.extend(next.fds);
                    message
                }
                // Descriptors of a message that its sender has given up.
                (None, next) if next.kind == Kind::More => continue,
                // The server says something while the process does.
                (begun, next) if next.kind.is_of_server() => {
                    self.begun = begun;
                    return Ok(Received::Message(next));
                }
                // The sender has given up a message that it had begun.
                (_, next) => next,
            };
            if message.fds.len() < message.ids.len() {
                self.begun = Some(message);
            } else {
                return Ok(Received::Message(message));
            }
        }
    }
}

/// Makes a message of the first packet of it.
fn read(packet: &[u8], mut fds: Vec<OwnedFd>) -> io::Result<Message> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let (head, body) = packet.split_at_checked(HEAD).ok_or_else(wrong)?;
    let word = |at: usize| head.as_chunks::<8>().0.get(at).map_or(0, |w| u64::from_ne_bytes(*w));
    let kind = Kind::from_word(word(0)).ok_or_else(wrong)?;
    let count = |word: u64| usize::try_from(word).map_err(|_| wrong());
    let (len, ids) = (count(word(3))?, count(word(4))?);
    let whole = ids.checked_mul(ID).and_then(|ids| ids.checked_add(len)).ok_or_else(wrong)?;
    let mut bytes = AlignedBytes::new();
    let id_bytes = if word(5) != 0 || whole == 0 {
        if body.len() != whole {
            return Err(wrong());
        }
        bytes.resize(len);
        let (own, others) = body.split_at(len);
        bytes.as_mut_slice().copy_from_slice(own);
        others.to_vec()
    } else {
        let file = File::from(fds.pop().ok_or_else(wrong)?);
        // No more than the sender has written, whatever it says.
        if file.metadata()?.len() < whole as u64 {
            return Err(wrong());
        }
        bytes.resize(len);
        file.read_exact_at(bytes.as_mut_slice(), 0)?;
        let mut others = vec![0; ids * ID];
        file.read_exact_at(&mut others, len as u64)?;
        others
    };
    let id = |bytes: &[u8; ID]| SegmentId(u128::from_ne_bytes(*bytes));
    let ids = id_bytes.as_chunks().0.iter().map(id).collect();
    Ok(Message { kind, numbers: [word(1), word(2)], bytes, ids, fds })
}

type Packet = (Vec<u8>, Vec<OwnedFd>);

fn receive_packet(socket: BorrowedFd<'_>) -> io::Result<Received<Packet>> {
    let mut room = [0; HEAD + INLINE];
    let mut rights = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        let mut parts = [IoSliceMut::new(&mut room)];
        let received =
            recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut rights), flags);
        let received = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Ok(Received::Empty),
            // See `protocol/packet.rs`.
            Err(Errno::EINTR | Errno::ECONNRESET) => continue,
            Err(error) => return Err(error.into()),
        };
        let len = received.bytes;
        let mut fds = Vec::new();
        // There is room for all descriptors of a packet: fewer came if there are no numbers left.
        for message in received.cmsgs().map_err(|_| io::Error::from(Errno::EMFILE))? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has just made them for this process.
                fds.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        return Ok(if len == 0 {
            Received::Closed
        } else {
            Received::Message((room[..len].to_vec(), fds))
        });
    }
}
