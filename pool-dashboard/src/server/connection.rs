//! One connection, from its request to its end.
//!
//! Invariant: no call of this file waits, and what a connection holds in memory is bounded,
//! whatever its peer sends or does not read. Each has a time by which it is over or has moved on.

use std::{
    io::{self, Read},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use pool_core::PrivateFd;

use super::{
    answer::{Answer, Bytes, Gate, too_large},
    output::Output,
    request::head_len,
};
use crate::frame::{Frame, FrameReader};

/// How long a peer may take for its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long a peer may take nothing of what it is sent.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// How long what a peer sends behind its request is read and dropped, so that it gets the response:
/// the kernel drops that where a socket is closed with bytes unread.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);
/// How many bytes are dropped at most.
const DRAIN_BYTES: usize = 1 << 20;
/// How many bytes are read of one connection before the next one has its turn.
const TURN_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: PrivateFd<TcpStream>,
    pub(super) kind: Kind,
    pub(super) output: Output,
    /// When it is over, if nothing moves it on before.
    until: Option<Instant>,
    is_over: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Its request is not complete yet.
    Asking(Vec<u8>),
    /// Its response is on its way.
    Answered,
    /// It has its response; this many bytes are still read and dropped.
    Draining(usize),
    /// A page that gets events.
    Events,
    /// A program, by its number at this dashboard.
    Program(u64, FrameReader),
}

/// What the server has to do for a connection.
#[derive(Debug)]
pub(super) enum Event {
    Asked(Answer),
    Frames(u64, Vec<Frame>),
}

impl Connection {
    pub(super) fn new(stream: PrivateFd<TcpStream>, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let kind = Kind::Asking(Vec::new());
        let until = Some(now + REQUEST_LIMIT);
        Ok(Self { stream, kind, output: Output::default(), until, is_over: false })
    }

    pub(super) fn stream(&self) -> &PrivateFd<TcpStream> {
        &self.stream
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether its peer has not shown that it knows the token.
    pub(super) fn is_stranger(&self) -> bool {
        matches!(self.kind, Kind::Asking(_) | Kind::Answered | Kind::Draining(_))
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.is_over || self.until.is_some_and(|until| until <= now)
    }

    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Sends a response, and ends the connection behind it.
    pub(super) fn respond(&mut self, bytes: Bytes, now: Instant) {
        self.kind = Kind::Answered;
        self.send(bytes, now);
    }

    /// Goes on as another kind of connection.
    pub(super) fn become_kind(&mut self, kind: Kind) {
        self.kind = kind;
        self.until = None;
    }

    /// Sends bytes; a peer that has left too many unread is given up.
    pub(super) fn send(&mut self, bytes: Bytes, now: Instant) {
        if self.output.is_empty() {
            self.until = Some(now + READ_LIMIT);
        }
        if !self.output.push(bytes) {
            self.is_over = true;
        }
        self.write(now);
    }

    /// Writes what the peer takes.
    pub(super) fn write(&mut self, now: Instant) {
        match self.output.write(&self.stream) {
            Err(_) => self.is_over = true,
            Ok(any) if self.output.is_empty() => {
                if matches!(self.kind, Kind::Answered) {
                    drop(self.stream.shutdown(Shutdown::Write));
                    self.kind = Kind::Draining(DRAIN_BYTES);
                    self.until = Some(now + DRAIN_LIMIT);
                } else if any && !self.is_stranger() {
                    self.until = None;
                }
            }
            Ok(true) => self.until = Some(now + READ_LIMIT),
            Ok(false) => {}
        }
    }

    /// Reads what has arrived.
    pub(super) fn read(&mut self, gate: &Gate, now: Instant) -> Option<Event> {
        let mut buffer = [0; 16 << 10];
        let mut left = TURN_BYTES;
        while left > 0 && !self.is_over {
            let count = match (&*self.stream).read(&mut buffer) {
                Ok(0) => {
                    self.is_over = true;
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.is_over = true;
                    break;
                }
            };
            left = left.saturating_sub(count);
            if let Some(answer) = self.take(&buffer[..count], gate, now) {
                return Some(Event::Asked(answer));
            }
        }
        self.take_frames()
    }

    /// Takes bytes that have arrived.
    fn take(&mut self, bytes: &[u8], gate: &Gate, now: Instant) -> Option<Answer> {
        match &mut self.kind {
            Kind::Asking(head) => {
                head.extend_from_slice(bytes);
                match head_len(head) {
                    Ok(None) => {}
                    // What stands behind a request is dropped: no response keeps a connection, and
                    // a program sends its first frame when it has its answer.
                    Ok(Some(len)) => return Some(gate.answer(&head[..len])),
                    Err(_) => self.respond(too_large(), now),
                }
            }
            Kind::Draining(left) => {
                *left = left.saturating_sub(bytes.len());
                self.is_over |= *left == 0;
            }
            Kind::Program(_, frames) => frames.push(bytes),
            Kind::Answered | Kind::Events => {}
        }
        None
    }

    fn take_frames(&mut self) -> Option<Event> {
        let Kind::Program(program, reader) = &mut self.kind else { return None };
        let mut frames = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(frame @ Frame::State(_))) => {
                    // Of several states the last one counts.
                    frames.clear();
                    frames.push(frame);
                }
                // What is behind it is not looked at.
                Ok(Some(Frame::End)) => {
                    frames.push(Frame::End);
                    break;
                }
                Ok(None) => break,
                Ok(Some(Frame::Cancel(_))) | Err(_) => {
                    self.is_over = true;
                    break;
                }
            }
        }
        (!frames.is_empty()).then_some(Event::Frames(*program, frames))
    }
}
