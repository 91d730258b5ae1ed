//! What is on its way to a peer that may read slowly.
//!
//! Invariant: it never waits, and holds no more than its limit beside one shared buffer.

use std::{collections::VecDeque, io, io::Write, net::TcpStream};

use super::answer::Bytes;

/// How many buffers may wait.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Output {
    waiting: VecDeque<Bytes>,
    /// How much of the first one was written.
    written: usize,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds bytes, unless too many wait.
    pub(super) fn push(&mut self, bytes: Bytes) -> bool {
        let has_room = self.waiting.len() < MOST;
        if has_room && !bytes.is_empty() {
            self.waiting.push_back(bytes);
        }
        has_room
    }

    /// Writes as much as the peer takes now; whether it took anything.
    pub(super) fn write(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        let mut any = false;
        while let Some(first) = self.waiting.front() {
            match stream.write(&first[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    any = true;
                    self.written += count;
                    if self.written == first.len() {
                        self.waiting.pop_front();
                        self.written = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }
}
