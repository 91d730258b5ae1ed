//! What programs and a dashboard send each other, behind a request to connect.
//!
//! Invariant: a frame is a header of 8 bytes and a body of at most [`MAX_BYTES`]; a buffer grows
//! with what has arrived, never with what a header promises. A body is an archive of its type,
//! which is checked before it is a value.
//!
//! The header is the length of the body and the kind, 32 bits each, the lowest byte first.
//!
//! | kind | from | body |
//! | --- | --- | --- |
//! | 1 | the program | its state |
//! | 2 | the program | nothing: it ends in order |
//! | 3 | the dashboard | a call that is to be cancelled |

use pool_ipc::{Wire, from_bytes, rkyv::util::AlignedVec, to_bytes, wire};

use crate::state::Program;

/// The protocol that the request to connect names.
pub(crate) const PROTOCOL: &str = "pool-dashboard/1";
/// The largest body of a frame.
pub(crate) const MAX_BYTES: usize = 1 << 20;
const HEADER: usize = 8;

wire! {
    /// A call of a program, by the numbers that the program gave.
    #[derive(Debug, Clone, Copy, PartialEq)]
    pub(crate) struct Cancel {
        pub(crate) pool: u64,
        pub(crate) call: u64,
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    State(Box<Program>),
    End,
    Cancel(Cancel),
}

/// What arrived is no frame: the connection is of no use any more.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

impl Frame {
    /// The bytes to send. A state that does not fit a frame is cut until it does.
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::End => frame(2, &[]),
            Self::Cancel(cancel) => encoded(3, &cancel).unwrap_or_default(),
            Self::State(mut program) => {
                for factor in [1, 2, 8, 64] {
                    program.cut(factor);
                    if let Some(bytes) = encoded(1, &*program) {
                        return bytes;
                    }
                }
                Vec::new()
            }
        }
    }

    fn decode(kind: u32, body: &[u8]) -> Result<Self, Malformed> {
        let mut aligned = AlignedVec::<16>::with_capacity(body.len());
        aligned.extend_from_slice(body);
        match kind {
            1 => {
                let mut program = from_bytes::<Program>(&aligned).map_err(|_| Malformed)?;
                program.cut(1);
                Ok(Self::State(Box::new(program)))
            }
            2 if body.is_empty() => Ok(Self::End),
            3 => from_bytes(&aligned).map(Self::Cancel).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }
}

fn encoded<T: Wire>(kind: u32, value: &T) -> Option<Vec<u8>> {
    let bytes = to_bytes(value).ok().filter(|bytes| bytes.len() <= MAX_BYTES)?;
    Some(frame(kind, &bytes))
}

fn frame(kind: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_le_bytes()[..], &kind.to_le_bytes(), body].concat()
}

/// Bytes of frames that have arrived.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    bytes: Vec<u8>,
    /// How many of them belong to frames that were taken.
    taken: usize,
}

impl FrameReader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.forget_taken();
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, once it is complete.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some((header, rest)) = self.bytes[self.taken..].split_first_chunk::<HEADER>() else {
            self.forget_taken();
            return Ok(None);
        };
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let (len, kind) = (word(0) as usize, word(4));
        if len > MAX_BYTES {
            return Err(Malformed);
        }
        let Some(body) = rest.get(..len) else {
            self.forget_taken();
            return Ok(None);
        };
        let frame = Frame::decode(kind, body)?;
        self.taken += HEADER + len;
        Ok(Some(frame))
    }

    /// Moves what is left to the front: once for all frames that were taken.
    fn forget_taken(&mut self) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::program;

    #[test]
    fn frames_arrive_byte_by_byte() {
        let mut program = program();
        program.cut(1);
        let cancel = Cancel { pool: 7, call: u64::MAX };
        let sent = [Frame::State(Box::new(program)), Frame::Cancel(cancel), Frame::End];
        let mut reader = FrameReader::default();
        let mut arrived = Vec::new();
        for byte in sent.clone().into_iter().flat_map(Frame::encode) {
            reader.push(&[byte]);
            arrived.extend(reader.next().unwrap());
        }
        // `NaN` differs from itself.
        assert_eq!(format!("{arrived:?}"), format!("{sent:?}"));
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.bytes.is_empty());
    }

    #[test]
    fn frames_that_arrive_together_are_taken_one_by_one() {
        let cancel = |call| Frame::Cancel(Cancel { pool: 7, call });
        let mut bytes: Vec<_> = (0..1_000).map(cancel).flat_map(Frame::encode).collect();
        let rest = bytes.split_off(bytes.len() - 3);
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        for call in 0..500 {
            assert_eq!(reader.next(), Ok(Some(cancel(call))));
        }
        reader.push(&rest[..1]);
        for call in 500..999 {
            assert_eq!(reader.next(), Ok(Some(cancel(call))));
        }
        assert_eq!(reader.next(), Ok(None));
        reader.push(&rest[1..]);
        assert_eq!(reader.next(), Ok(Some(cancel(999))));
        assert_eq!(reader.next(), Ok(None));
        assert!(reader.bytes.is_empty() && reader.taken == 0);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let refused = |bytes: &[u8]| {
            let mut reader = FrameReader::default();
            reader.push(bytes);
            reader.next() == Err(Malformed)
        };
        assert!(refused(&frame(0, b"")), "no kind");
        assert!(refused(&frame(2, b"x")), "an end with a body");
        assert!(refused(&frame(1, b"")), "no state");
        assert!(refused(&frame(1, &[255; 4096])), "no archive");
        assert!(refused(&[255, 255, 255, 255, 1, 0, 0, 0]), "4 GiB");
        let whole = Frame::State(Box::new(program())).encode();
        for at in (HEADER..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            // Whatever it is, it is no panic and nothing out of bounds.
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            drop(reader.next());
        }
    }
}
