//! Frames: a header of 32 bytes, then an archive.
//!
//! ```text
//!  0      4      6      8               16              24       28      32
//!  | PMF1 | kind |  0   | len of body   | object        | method | serial | body …
//! ```
//!
//! Invariant: a length is checked against the limit before memory is taken, and memory grows with
//! what has arrived: at most twice as much and 64 KiB are taken at a time.

use std::time::Instant;

use pool_ipc::AlignedBytes;

use super::Stream;
use crate::Error;

const MAGIC: [u8; 4] = *b"PMF1";
/// The bytes of a header.
pub(super) const HEAD: usize = 32;
/// How much of a body is believed before any of it has arrived.
const FIRST_STEP: usize = 64 << 10;
/// Bodies up to this are sent in one piece with their header.
const ONE_WRITE: usize = 256 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    /// A message of a [`Connection`](super::Connection).
    Message = 1,
    /// A client's first frame to a server.
    Join = 2,
    /// A call of a method.
    Call = 3,
    /// What a call returned.
    Reply = 4,
    /// Why a call failed.
    Fault = 5,
}

impl Kind {
    fn of(number: u16) -> Option<Self> {
        [Self::Message, Self::Join, Self::Call, Self::Reply, Self::Fault]
            .into_iter()
            .find(|kind| *kind as u16 == number)
    }
}

/// The header of a frame, but for its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) object: u64,
    pub(crate) method: u32,
    /// Counts the frames of one direction, from 0; wraps.
    pub(crate) serial: u32,
}

impl Head {
    pub(crate) fn message(serial: u32) -> Self {
        Self { kind: Kind::Message, object: 0, method: 0, serial }
    }

    fn to_bytes(self, len: u64) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.object.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.method.to_le_bytes());
        bytes[28..].copy_from_slice(&self.serial.to_le_bytes());
        bytes
    }

    /// The header and the length of the body, checked against the limit.
    pub(super) fn read(bytes: &[u8; HEAD], limit: u64) -> Result<(Self, usize), Error> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        if bytes[..4] != MAGIC {
            return Err(Error::Malformed("no frame begins here"));
        }
        let kind = u16::from_le_bytes([bytes[4], bytes[5]]);
        let kind = Kind::of(kind).ok_or(Error::Malformed("a frame of an unknown kind"))?;
        if bytes[6..8] != [0, 0] {
            return Err(Error::Malformed("a reserved field is not zero"));
        }
        let len = word(8);
        if len > limit {
            return Err(Error::TooLarge { len, limit });
        }
        let len = usize::try_from(len).map_err(|_| Error::TooLarge { len, limit })?;
        let head = Self { kind, object: word(16), method: half(24), serial: half(28) };
        Ok((head, len))
    }
}

/// A frame that has arrived. The body is aligned for any archive.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    pub(crate) body: AlignedBytes,
}

/// Sends a frame.
pub(crate) fn send(stream: &Stream, head: Head, body: &[u8], limit: u64) -> Result<(), Error> {
    let len = body.len() as u64;
    if len > limit {
        return Err(Error::TooLarge { len, limit });
    }
    let head = head.to_bytes(len);
    if body.len() <= 480 {
        let mut small = [0; 512];
        small[..HEAD].copy_from_slice(&head);
        small[HEAD..HEAD + body.len()].copy_from_slice(body);
        return stream.write_all(&small[..HEAD + body.len()]).map_err(Error::io);
    }
    if body.len() <= ONE_WRITE {
        return stream.write_all(&[&head, body].concat()).map_err(Error::io);
    }
    stream.write_all(&head).map_err(Error::io)?;
    stream.write_all(body).map_err(Error::io)
}

/// Receives frames. What has arrived of one stays here when a wait for the rest times out.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What was read and belongs to no frame yet: `buffer[start..end]`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    partial: Option<Partial>,
}

/// A frame whose header has arrived.
#[derive(Debug)]
struct Partial {
    head: Head,
    len: usize,
    body: AlignedBytes,
    filled: usize,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; 4096].into(), start: 0, end: 0, partial: None }
    }

    /// The next frame. After any error but [`Error::TimedOut`] the stream cannot be read any more.
    pub(crate) fn receive(
        &mut self,
        stream: &Stream,
        limit: u64,
        deadline: Option<Instant>,
    ) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = self.take(limit)? {
                return Ok(frame);
            }
            if let Some(deadline) = deadline
                && !stream.wait_readable(deadline)?
            {
                return Err(Error::TimedOut);
            }
            self.fill(stream)?;
        }
    }

    /// A frame that has arrived whole.
    fn take(&mut self, limit: u64) -> Result<Option<Frame>, Error> {
        if self.partial.is_none() {
            let Some(head) = self.buffer[self.start..self.end].first_chunk() else {
                return Ok(None);
            };
            let (head, len) = Head::read(head, limit)?;
            self.start += HEAD;
            let partial = Partial { head, len, body: AlignedBytes::new(), filled: 0 };
            self.partial = Some(partial);
        }
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let ready = (self.end - self.start).min(partial.len - partial.filled);
        if ready > 0 {
            let to = partial.filled + ready;
            if partial.body.len() < to {
                partial.body.resize(to);
            }
            let from = &self.buffer[self.start..self.start + ready];
            partial.body.as_mut_slice()[partial.filled..to].copy_from_slice(from);
            partial.filled = to;
            self.start += ready;
        }
        if partial.filled < partial.len {
            return Ok(None);
        }
        let Some(mut partial) = self.partial.take() else { return Ok(None) };
        partial.body.resize(partial.len);
        Ok(Some(Frame { head: partial.head, body: partial.body }))
    }

    /// Reads once. The buffer holds less than a header then, or belongs to a body.
    fn fill(&mut self, stream: &Stream) -> Result<(), Error> {
        let read = match &mut self.partial {
            Some(partial) if partial.len - partial.filled > self.buffer.len() => {
                if partial.body.len() == partial.filled {
                    let step = partial.filled.max(FIRST_STEP);
                    partial.body.resize(partial.len.min(partial.filled + step));
                }
                let room = &mut partial.body.as_mut_slice()[partial.filled..];
                let read = stream.read(room).map_err(Error::io)?;
                partial.filled += read;
                read
            }
            _ => {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
                let read = stream.read(&mut self.buffer[self.end..]).map_err(Error::io)?;
                self.end += read;
                read
            }
        };
        if read == 0 { Err(Error::Disconnected) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (Stream, Stream) {
        let (a, b) = UnixStream::pair().unwrap();
        (Stream::Unix(a), Stream::Unix(b))
    }

    #[test]
    fn frames_of_all_sizes_arrive_in_order() {
        let (ours, theirs) = pair();
        let lens = [0, 1, 31, 480, 481, 4096, 5000, ONE_WRITE, ONE_WRITE + 1, 3 << 20];
        let sender = std::thread::spawn(move || {
            for (serial, len) in lens.into_iter().enumerate() {
                let head = Head { object: len as u64, ..Head::message(serial as u32) };
                send(&ours, head, &vec![serial as u8; len], 4 << 20).unwrap();
            }
        });
        let mut incoming = Incoming::new();
        for (serial, len) in lens.into_iter().enumerate() {
            let frame = incoming.receive(&theirs, 4 << 20, None).unwrap();
            assert_eq!((frame.head.serial, frame.head.object), (serial as u32, len as u64));
            assert!(frame.body.len() == len && frame.body.iter().all(|b| *b == serial as u8));
            assert_eq!(frame.body.as_ptr() as usize % AlignedBytes::ALIGN, 0);
        }
        sender.join().unwrap();
        let end = incoming.receive(&theirs, 4 << 20, None);
        assert!(matches!(end, Err(Error::Disconnected)), "{end:?}");
    }

    #[test]
    fn memory_grows_with_what_has_arrived() {
        let (ours, theirs) = pair();
        let limit = 1 << 40;
        ours.write_all(&Head::message(0).to_bytes(limit)).unwrap();
        ours.write_all(&[7; 100_000]).unwrap();
        let mut incoming = Incoming::new();
        let soon = Instant::now() + std::time::Duration::from_millis(20);
        let result = incoming.receive(&theirs, limit, Some(soon));
        assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
        let partial = incoming.partial.as_ref().unwrap();
        assert_eq!(partial.filled, 100_000);
        assert!(partial.body.capacity() < 400_000, "{}", partial.body.capacity());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = Head::message(1).to_bytes(3);
        assert!(Head::read(&good, 3).is_ok());
        let result = Head::read(&good, 2);
        assert!(matches!(result, Err(Error::TooLarge { len: 3, limit: 2 })), "{result:?}");
        let huge = Head::message(1).to_bytes(1 << 63);
        assert!(matches!(Head::read(&huge, 1 << 40), Err(Error::TooLarge { .. })));
        for at in [0, 3, 4, 5, 6, 7] {
            let mut bad = good;
            bad[at] ^= 0x80;
            assert!(matches!(Head::read(&bad, 9), Err(Error::Malformed(_))), "{at}");
        }
    }
}
