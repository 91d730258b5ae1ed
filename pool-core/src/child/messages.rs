//! What a process that runs one function exchanges with the process that started it.
//!
//! Invariant: a message is whole or is none: the receiver hands it out when all of its bytes and
//! all of its descriptors are there. Bytes that are too many for a packet travel in a file in
//! memory, so that the sender never waits for the receiver, however large a value is.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
};

use nix::{
    errno::Errno,
    sys::memfd::{MFdFlags, memfd_create},
};
use pool_ipc::{AlignedBytes, SegmentId};
use pool_shm::{SegmentFault, SharedSegment};

use crate::protocol::{Received, packet};

/// Bytes that travel in the packet itself.
const INLINE: usize = 8 << 10;
/// Descriptors in one packet; the kernel takes 253.
const DESCRIPTORS: usize = 200;
/// Bytes of the control message that has them, with its header.
const RIGHTS: usize = DESCRIPTORS * size_of::<RawFd>() + 64;
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
    /// Between these two, if its logs are captured: the descriptor of their segment.
    Logs,
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
            Self::Logs,
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
    /// The argument of a process that inherits it: bytes, and the segments of the handles in them.
    #[cfg(feature = "fork")]
    pub(crate) fn of(bytes: AlignedBytes, segments: &[SharedSegment]) -> io::Result<Self> {
        // SAFETY: the descriptors are for `open_segments` alone.
        let fd = |segment: &SharedSegment| unsafe { segment.as_fd() }.try_clone_to_owned();
        let fds = segments.iter().map(fd).collect::<Result<_, _>>()?;
        let ids = segments.iter().map(SharedSegment::id).collect();
        Ok(Self { kind: Kind::Argument, numbers: [0, 0], bytes, ids, fds })
    }

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
    // SAFETY: the receiver opens the segments, and does nothing else with the descriptors.
    let fds = segments.iter().map(|segment| unsafe { segment.as_fd() }.as_raw_fd());
    send_with(socket, kind, bytes, &ids, &fds.collect::<Vec<_>>())
}

/// Sends bytes with descriptors that are none of segments.
pub(crate) fn send_with_fds(
    socket: BorrowedFd<'_>,
    kind: Kind,
    bytes: &[u8],
    fds: &[OwnedFd],
) -> io::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    send_with(socket, kind, bytes, &vec![0; ID * fds.len()], &raw)
}

/// Sends bytes, and descriptors with an identity each.
fn send_with(
    socket: BorrowedFd<'_>,
    kind: Kind,
    bytes: &[u8],
    ids: &[u8],
    fds: &[RawFd],
) -> io::Result<()> {
    let lens = [bytes.len() as u64, fds.len() as u64];
    let whole = bytes.len() + ids.len();
    if whole <= INLINE {
        let head = head(kind, [0, 0], [lens[0], lens[1], 1]);
        send_packet(socket, &head, &[bytes, ids].concat(), &[])?;
    } else {
        let file = File::from(memfd_create(c"pool-message", MFdFlags::MFD_CLOEXEC)?);
        file.write_all_at(bytes, 0)?;
        file.write_all_at(ids, bytes.len() as u64)?;
        let head = head(kind, [0, 0], [lens[0], lens[1], 0]);
        send_packet(socket, &head, &[], &[file.as_raw_fd()])?;
    }
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
    packet::send_parts(socket, &[IoSlice::new(head), IoSlice::new(body)], fds)
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
            let (packet, fds, lost) = match receive_packet(socket)? {
                Received::Message(packet) => packet,
                Received::Empty => return Ok(Received::Empty),
                Received::Closed => return Ok(Received::Closed),
            };
            let next = read(&packet, fds, lost)?;
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
fn read(packet: &[u8], mut fds: Vec<OwnedFd>, lost: bool) -> io::Result<Message> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let (head, body) = packet.split_at_checked(HEAD).ok_or_else(wrong)?;
    let word = |at: usize| head.as_chunks::<8>().0.get(at).map_or(0, |w| u64::from_ne_bytes(*w));
    let kind = Kind::from_word(word(0)).ok_or_else(wrong)?;
    // A process that was started is told of nevertheless.
    if lost && kind != Kind::Started {
        return Err(Errno::EMFILE.into());
    }
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

/// The bytes of a packet, its descriptors, and whether some of these were lost, since this process
/// has no number left for them.
type Packet = (Vec<u8>, Vec<OwnedFd>, bool);

fn receive_packet(socket: BorrowedFd<'_>) -> io::Result<Received<Packet>> {
    /// Aligned as the header of a control message.
    #[repr(align(8))]
    struct Rights([u8; RIGHTS]);

    let (mut room, mut rights) = ([0; HEAD + INLINE], Rights([0; RIGHTS]));
    let mut part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: all zeroes is a valid header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
    (message.msg_control, message.msg_controllen) = (rights.0.as_mut_ptr().cast(), RIGHTS);
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let len = loop {
        // SAFETY: the header leads to `room` and to `rights`, with their lengths, and all outlive
        // the call.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        match Errno::result(len) {
            Ok(len) => break len.unsigned_abs(),
            Err(Errno::EAGAIN) => return Ok(Received::Empty),
            // A reset is no end: `packet::receive` says why.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled `rights` with whole control messages, as far as the header says
    // now; each is followed by the next one or by the end.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(&raw const message);
        while !control.is_null() {
            if (*control).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*control).cmsg_len - libc::CMSG_LEN(0) as usize;
                let numbers = libc::CMSG_DATA(control).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    // The kernel has just made it for this process.
                    fds.push(OwnedFd::from_raw_fd(numbers.add(at).read_unaligned()));
                }
            }
            control = libc::CMSG_NXTHDR(&raw const message, control);
        }
    }
    if len == 0 {
        return Ok(Received::Closed);
    }
    let lost = message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received::Message((room[..len].to_vec(), fds, lost)))
}

#[cfg(test)]
mod tests {
    use std::{os::fd::AsFd, time::Duration};

    use super::*;
    use crate::{child::packet_pair, os};

    fn message(inbox: &mut Inbox, socket: &OwnedFd) -> Message {
        match inbox.receive(socket.as_fd()) {
            Ok(Received::Message(message)) => message,
            Ok(_) => panic!("there is none"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn bytes_arrive_whole_in_packets_and_in_files() {
        let (here, there) = packet_pair().unwrap();
        let mut inbox = Inbox::default();
        for len in [0, 1, INLINE, INLINE + 1, 1 << 20] {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            send_bytes(here.as_fd(), Kind::Value, &bytes, &[]).unwrap();
            let message = message(&mut inbox, &there);
            assert!(message.kind == Kind::Value && message.fds.is_empty());
            assert!(message.bytes[..] == bytes[..], "{len}");
        }
        drop(here);
        // A program that another test is starting has a copy until its `exec`.
        assert!(os::readable_within(there.as_fd(), Duration::from_secs(60)));
        assert!(matches!(inbox.receive(there.as_fd()), Ok(Received::Closed)));
    }

    #[test]
    fn the_server_may_speak_between_the_packets_of_a_message() {
        let (here, there) = packet_pair().unwrap();
        let segment = |x: u64| pool_shm::SharedArray::from_slice(&vec![x; 1 << 14]).unwrap();
        let arrays: Vec<_> = (0..DESCRIPTORS as u64 + 3).map(segment).collect();
        let segments: Vec<_> = arrays.iter().map(|a| a.block().segment().clone()).collect();
        let mut inbox = Inbox::default();
        let sent = std::thread::scope(|scope| {
            let sent = scope.spawn(|| send_bytes(here.as_fd(), Kind::Value, b"x", &segments));
            sent.join().unwrap()
        });
        sent.unwrap();
        send_numbers(here.as_fd(), Kind::Ended, [7, 0], None).unwrap();
        let value = message(&mut inbox, &there);
        assert_eq!((value.kind, value.fds.len()), (Kind::Value, segments.len()));
        assert_eq!(value.ids[3], segments[3].id());
        assert_eq!(message(&mut inbox, &there).numbers[0], 7);
        // A message that is given up in the middle is none, and neither are its descriptors.
        let numbers = [1, 0];
        let begun = head(Kind::Value, [0, 0], [1, 2, 1]);
        send_packet(here.as_fd(), &begun, &[b'x'; 1 + 2 * ID], &[]).unwrap();
        send_numbers(here.as_fd(), Kind::Started, numbers, Some(here.as_fd())).unwrap();
        send_numbers(here.as_fd(), Kind::Unable, numbers, None).unwrap();
        send_packet(here.as_fd(), &head_of_more(), &[], &[here.as_raw_fd()]).unwrap();
        send_numbers(here.as_fd(), Kind::Ended, numbers, None).unwrap();
        let kinds = [(); 3].map(|()| message(&mut inbox, &there).kind);
        assert_eq!(kinds, [Kind::Started, Kind::Unable, Kind::Ended]);
        assert!(matches!(inbox.receive(there.as_fd()), Ok(Received::Empty)));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (here, there) = packet_pair().unwrap();
        let lens = [[9, 0, 1], [u64::MAX, 1, 1], [1, u64::MAX, 0], [INLINE as u64 * 2, 0, 0]];
        let heads = lens.map(|lens| head(Kind::Value, [0, 0], lens).to_vec());
        for packet in heads.into_iter().chain([vec![1], vec![0; HEAD], vec![0xff; HEAD]]) {
            send_packet(here.as_fd(), &packet, &[], &[]).unwrap();
            let received = Inbox::default().receive(there.as_fd());
            let error = received.err().expect("an error");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{packet:?}");
        }
    }
}
