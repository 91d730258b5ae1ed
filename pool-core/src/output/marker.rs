//! The markers that a worker writes around items, and how they are found among other bytes.
//!
//! Invariant: a marker, or two, is no longer than `PIPE_BUF`, so it lies in the pipe in one piece.
//! It begins with a number that each worker draws for itself, so what looks like a marker is one,
//! unless a task copies it on purpose. Only bytes that may be the beginning of a marker wait for
//! more.

/// Bytes of a marker.
pub(super) const MARKER: usize = 32;
const NONCE: usize = 16;

/// A number that a worker draws. Its first byte never begins a character of UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce(pub(super) [u8; NONCE]);

/// An item as its worker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) slot: u32,
    /// Its position in the batch.
    pub(super) position: u32,
    /// Its position in the input of its call.
    pub(super) item: u64,
}

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// What follows belongs to this item.
    Begin(Mark),
    /// What follows belongs to no item.
    End { failed: bool },
}

/// The item of calls that have no input: [`Mark::item`] of futures of one item.
pub(super) const UNNUMBERED: u64 = u64::MAX;

impl Nonce {
    pub(super) fn new(random: [u64; 2]) -> Self {
        let mut bytes = [0; NONCE];
        bytes[..8].copy_from_slice(&random[0].to_ne_bytes());
        bytes[8..].copy_from_slice(&random[1].to_ne_bytes());
        bytes[0] = 0xFF;
        Self(bytes)
    }
}

impl Marker {
    pub(super) fn encode(self, nonce: Nonce) -> [u8; MARKER] {
        let (kind, mark) = match self {
            Self::Begin(mark) => (0u8, mark),
            Self::End { failed } => (1 + u8::from(failed), Mark { slot: 0, position: 0, item: 0 }),
        };
        let mut bytes = [0; MARKER];
        bytes[..16].copy_from_slice(&nonce.0);
        // 24 bits: a board has far fewer slots.
        bytes[16..20].copy_from_slice(&(mark.slot << 8 | u32::from(kind)).to_le_bytes());
        bytes[20..24].copy_from_slice(&mark.position.to_le_bytes());
        bytes[24..].copy_from_slice(&mark.item.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; MARKER]) -> Self {
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let item = u64::from_le_bytes(bytes[24..].try_into().expect("eight bytes"));
        match word(16) & 0xFF {
            0 => Self::Begin(Mark { slot: word(16) >> 8, position: word(20), item }),
            kind => Self::End { failed: kind == 2 },
        }
    }
}

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    Bytes(&'b [u8]),
    Marker(Marker),
}

/// Finds markers in the bytes of a stream, which come in parts of any length.
#[derive(Debug)]
pub(super) struct Scanner {
    nonce: Nonce,
    /// The bytes at the end of the last part that may begin a marker.
    held: Vec<u8>,
}

impl Scanner {
    pub(super) fn new(nonce: Nonce) -> Self {
        Self { nonce, held: Vec::with_capacity(MARKER) }
    }

    /// Tells `each` of the pieces, in their order.
    pub(super) fn scan(&mut self, mut part: &[u8], mut each: impl FnMut(Piece<'_>)) {
        while !self.held.is_empty() && !part.is_empty() {
            // The held bytes begin a marker or not: one byte more decides, or holds on.
            self.held.push(part[0]);
            part = &part[1..];
            if let Some(marker) = self.held.first_chunk::<MARKER>() {
                each(Piece::Marker(Marker::decode(marker)));
                self.held.clear();
            } else if !self.may_begin_marker(&self.held) {
                // It was none: what may begin one begins later.
                let held = std::mem::take(&mut self.held);
                let at = (1..held.len()).find(|at| self.may_begin_marker(&held[*at..]));
                let (bytes, rest) = held.split_at(at.unwrap_or(held.len()));
                each(Piece::Bytes(bytes));
                self.held.extend_from_slice(rest);
            }
        }
        while let Some(at) = self.find(part) {
            let (bytes, rest) = part.split_at(at);
            if !bytes.is_empty() {
                each(Piece::Bytes(bytes));
            }
            let Some((marker, rest)) = rest.split_first_chunk::<MARKER>() else {
                self.held.extend_from_slice(rest);
                return;
            };
            each(Piece::Marker(Marker::decode(marker)));
            part = rest;
        }
        if !part.is_empty() {
            each(Piece::Bytes(part));
        }
    }

    /// The bytes that may have begun a marker: none follow.
    pub(super) fn finish(&mut self, each: impl FnOnce(&[u8])) {
        if !self.held.is_empty() {
            each(&std::mem::take(&mut self.held));
        }
    }

    /// Where a marker, or what may be its beginning, lies in `part`.
    fn find(&self, part: &[u8]) -> Option<usize> {
        let first = self.nonce.0[0];
        let mut from = 0;
        // (`contains` looks at many bytes at once, `position` at one.)
        while part[from..].contains(&first) {
            let at = from + part[from..].iter().position(|byte| *byte == first)?;
            if self.may_begin_marker(&part[at..]) {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }

    fn may_begin_marker(&self, bytes: &[u8]) -> bool {
        let len = bytes.len().min(NONCE);
        bytes[..len] == self.nonce.0[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHICH: Nonce = Nonce([0xFF, 1, 2, 3, 0xFF, 1, 2, 9, 8, 7, 6, 5, 4, 3, 2, 1]);

    /// The bytes of each stretch between markers, and the markers.
    fn scanned<'p>(parts: impl Iterator<Item = &'p [u8]>) -> (Vec<Vec<u8>>, Vec<Marker>) {
        let (mut stretches, mut markers) = (vec![Vec::new()], Vec::new());
        let mut scanner = Scanner::new(WHICH);
        for part in parts {
            scanner.scan(part, |piece| match piece {
                Piece::Bytes(bytes) => {
                    stretches.last_mut().expect("one").extend_from_slice(bytes);
                }
                Piece::Marker(marker) => {
                    markers.push(marker);
                    stretches.push(Vec::new());
                }
            });
        }
        scanner.finish(|bytes| stretches.last_mut().expect("one").extend_from_slice(bytes));
        (stretches, markers)
    }

    #[test]
    fn markers_are_found_however_the_bytes_are_cut() {
        let mark = Mark { slot: 8191, position: u32::MAX, item: u64::MAX - 1 };
        let markers = [Marker::Begin(mark), Marker::End { failed: true }];
        // Beginnings of markers that are none, also one right before a marker.
        let stretches: [&[u8]; 3] = [b"a\xFF\x01\x02\x03\xFF\xFF\x01\x02\x03", b"", &WHICH.0[..15]];
        let mut whole = Vec::new();
        for (at, stretch) in stretches.iter().enumerate() {
            whole.extend_from_slice(stretch);
            whole.extend(markers.get(at).into_iter().flat_map(|marker| marker.encode(WHICH)));
        }
        for len in 1..=whole.len() {
            let (found, found_markers) = scanned(whole.chunks(len));
            assert_eq!(found_markers, markers, "in parts of {len}");
            assert_eq!(found, stretches, "in parts of {len}");
        }
    }

    #[test]
    fn markers_of_others_are_bytes() {
        let other = Nonce::new([u64::MAX, 7]);
        let marker = Marker::End { failed: false };
        let text = marker.encode(other);
        assert_eq!(scanned(text.chunks(5)), (vec![text.to_vec()], vec![]));
    }
}
