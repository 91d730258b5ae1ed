//! One pipe as the reader sees it: whose bytes come now, and the last ones of them.
//!
//! Invariant: however much is written, a stream holds no more than the bound of an item, twice for
//! a moment, and a line of 64 KiB.

use std::mem;

use super::marker::{Mark, Marker, Nonce, Piece, Scanner, UNNUMBERED};
use crate::{error::StreamTail, os::Listed};

/// A line is delivered in parts of this size.
pub(super) const LONGEST_LINE: usize = 64 << 10;

/// The pipe of one stream of one worker.
#[derive(Debug)]
pub(super) struct StreamReader {
    pub(super) fd: Listed,
    /// Whether there is no writer any more, or the descriptor is gone.
    pub(super) over: bool,
    scanner: Scanner,
    pub(super) content: Content,
}

/// What was read of a stream.
#[derive(Debug)]
pub(super) struct Content {
    /// The item that was begun and has not ended.
    pub(super) item: Option<Mark>,
    tail: Tail,
    /// What is to be delivered, as soon as the line is complete.
    line: Vec<u8>,
}

/// What a stream has to say.
pub(super) enum News<'n> {
    /// Bytes to be delivered, which belong to this item of a call.
    Text(Option<u64>, &'n [u8]),
    /// The item has failed, with this output.
    Failed(Mark, StreamTail),
}

impl StreamReader {
    pub(super) fn new(fd: Listed, nonce: Nonce, max_bytes: usize) -> Self {
        let content = Content { item: None, tail: Tail::new(max_bytes), line: Vec::new() };
        Self { fd, over: false, scanner: Scanner::new(nonce), content }
    }

    /// Takes in bytes that were read. `delivers`: whether they are wanted as they come.
    pub(super) fn take_in(&mut self, bytes: &[u8], delivers: bool, mut tell: impl FnMut(News<'_>)) {
        let content = &mut self.content;
        self.scanner.scan(bytes, |piece| match piece {
            Piece::Bytes(bytes) => content.add(bytes, delivers, &mut tell),
            Piece::Marker(marker) => content.pass(marker, &mut tell),
        });
    }

    /// The output since the last marker: no more is read.
    pub(super) fn finish(&mut self, delivers: bool, mut tell: impl FnMut(News<'_>)) -> StreamTail {
        let content = &mut self.content;
        self.scanner.finish(|bytes| content.add(bytes, delivers, &mut tell));
        content.end_line(&mut tell);
        content.tail.take()
    }
}

impl Content {
    fn add(&mut self, mut bytes: &[u8], delivers: bool, tell: &mut impl FnMut(News<'_>)) {
        self.tail.add(bytes);
        if !delivers {
            return;
        }
        // All that ends with the last line break goes at once.
        while let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let (lines, rest) = bytes.split_at(end + 1);
            if self.line.is_empty() {
                tell(News::Text(self.number(), lines));
            } else {
                self.line.extend_from_slice(lines);
                self.end_line(tell);
            }
            bytes = rest;
        }
        while self.line.len() + bytes.len() >= LONGEST_LINE {
            let (part, rest) = bytes.split_at(LONGEST_LINE - self.line.len());
            self.line.extend_from_slice(part);
            self.end_line(tell);
            bytes = rest;
        }
        self.line.extend_from_slice(bytes);
    }

    fn pass(&mut self, marker: Marker, tell: &mut impl FnMut(News<'_>)) {
        self.end_line(tell);
        match marker {
            Marker::Begin(mark) => {
                self.tail.clear();
                self.item = Some(mark);
            }
            Marker::End { failed } => match self.item.take() {
                Some(mark) if failed => tell(News::Failed(mark, self.tail.take())),
                _ => self.tail.clear(),
            },
        }
    }

    fn end_line(&mut self, tell: &mut impl FnMut(News<'_>)) {
        if !self.line.is_empty() {
            tell(News::Text(self.number(), &self.line));
            self.line.clear();
        }
    }

    /// The item's position in the input of its call.
    fn number(&self) -> Option<u64> {
        self.item.map(|mark| mark.item).filter(|item| *item != UNNUMBERED)
    }
}

/// The last bytes of an item.
#[derive(Debug)]
struct Tail {
    bytes: Vec<u8>,
    most: usize,
    dropped: u64,
}

impl Tail {
    fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most, dropped: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(self.most)..];
        self.dropped += (bytes.len() - kept.len()) as u64;
        // It is cut only now and then, since that moves what is kept.
        if self.bytes.len() + kept.len() > 2 * self.most {
            self.cut(self.most - kept.len());
        }
        self.bytes.extend_from_slice(kept);
    }

    /// Keeps the last `most` bytes.
    fn cut(&mut self, most: usize) {
        let surplus = self.bytes.len().saturating_sub(most);
        self.bytes.drain(..surplus);
        self.dropped += surplus as u64;
    }

    fn take(&mut self) -> StreamTail {
        self.cut(self.most);
        StreamTail { bytes: mem::take(&mut self.bytes), dropped: mem::take(&mut self.dropped) }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.dropped = 0;
        if self.bytes.capacity() > LONGEST_LINE {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_the_last_bytes_and_counts_the_others() {
        let all: Vec<u8> = (0..=255u8).cycle().take(10_000).collect();
        for most in [1, 7, 100, 20_000] {
            for part in [1, 3, 99, 5000, 10_000] {
                let mut tail = Tail::new(most);
                all.chunks(part).for_each(|part| {
                    tail.add(part);
                    assert!(tail.bytes.len() <= 2 * most);
                });
                let StreamTail { bytes, dropped } = tail.take();
                assert_eq!(bytes, all[all.len() - bytes.len()..]);
                assert_eq!(
                    (bytes.len(), bytes.len() + dropped as usize),
                    (most.min(10_000), 10_000)
                );
            }
        }
    }
}
