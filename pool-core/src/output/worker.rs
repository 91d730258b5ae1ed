//! The side of a worker: its streams are led to where they are to go, and markers are written
//! around its items.
//!
//! Invariant: a marker is written only after what std and the C library had buffered before. It
//! goes to the pipe itself, whatever a task has done with the numbers 1 and 2.

use std::{
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{dup2_stderr, dup2_stdout, pipe2, write},
};
use pool_ipc::board::Incarnation;

use super::{
    config::{OutputConfig, OutputFds, Target},
    event::Stream,
    last_line::keep_last_line,
    marker::{Mark, Marker, Nonce, UNNUMBERED},
};
use crate::{
    bootstrap::fresh_nonce,
    ids::WorkerId,
    os::{self, KeptFd},
    protocol::send_waiting,
};

/// The captured streams of this process.
#[derive(Debug)]
pub(crate) struct WorkerOutput {
    pipes: [Option<KeptFd>; 2],
    nonce: Nonce,
    /// Whether an item was begun.
    in_item: bool,
}

/// What a worker says of a pipe, whose reading end comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) incarnation: Incarnation,
    pub(super) worker: WorkerId,
    pub(super) stream: Stream,
    pub(super) nonce: Nonce,
}

impl Introduction {
    pub(super) const LEN: usize = 28;

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.incarnation.number().to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.worker.number().to_ne_bytes());
        bytes[8..12].copy_from_slice(&(self.stream as u32).to_ne_bytes());
        bytes[12..].copy_from_slice(&self.nonce.0);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (numbers, nonce) = bytes.split_first_chunk::<12>()?;
        let mut numbers = numbers.as_chunks().0.iter().map(|four| u32::from_ne_bytes(*four));
        Some(Self {
            incarnation: Incarnation::new(numbers.next()?),
            worker: WorkerId::new(numbers.next()?),
            stream: *Stream::ALL.get(numbers.next()? as usize)?,
            nonce: Nonce(nonce.try_into().ok()?),
        })
    }
}

impl WorkerOutput {
    /// Leads the streams of this process to where they are to go; answers with those that are
    /// captured, if there are any.
    pub(crate) fn set_up(
        config: OutputConfig,
        fds: OutputFds,
        worker: WorkerId,
        incarnation: Incarnation,
    ) -> io::Result<Option<Self>> {
        if config == OutputConfig::default() {
            return Ok(None);
        }
        os::flush_output();
        let nonce = Nonce::new([fresh_nonce(), fresh_nonce()]);
        let OutputFds { socket, files } = fds;
        let mut pipes = [None, None];
        for ((stream, target), file) in Stream::ALL.into_iter().zip(config.targets).zip(files) {
            match target {
                Target::Inherited => {}
                Target::File => lead(stream, file.ok_or(Errno::EBADF)?)?,
                Target::Piped => {
                    let socket = socket.as_ref().ok_or(Errno::EBADF)?;
                    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
                    let (reader, writer) = (above_standard(reader)?, above_standard(writer)?);
                    let kept = KeptFd::new(os::duplicate(writer.as_fd())?)?;
                    let introduction = Introduction { incarnation, worker, stream, nonce };
                    send_waiting(socket.as_fd(), &introduction.to_bytes(), reader.as_fd())?;
                    lead(stream, writer)?;
                    if stream == Stream::Stdout {
                        // What it buffers would be lost with a worker that is killed.
                        os::unbuffer_c_output();
                        keep_last_line()?;
                    }
                    pipes[stream.index()] = Some(kept);
                }
            }
        }
        Ok(config.captures().then_some(Self { pipes, nonce, in_item: false }))
    }

    /// Whether standard error is captured.
    pub(crate) fn captures_errors(&self) -> bool {
        self.pipes[Stream::Stderr.index()].is_some()
    }

    /// Says that what follows belongs to this item, and that the one before has ended well.
    #[cold]
    pub(crate) fn begin(&mut self, slot: u32, position: u32, item: Option<u64>) {
        let mark = Mark { slot, position, item: item.unwrap_or(UNNUMBERED) };
        let begin = Marker::Begin(mark).encode(self.nonce);
        if self.in_item {
            let end = Marker::End { failed: false }.encode(self.nonce);
            self.write([end, begin].as_flattened());
        } else {
            self.write(&begin);
        }
        self.in_item = true;
    }

    /// Says that the item under way has ended, if there is one.
    #[cold]
    pub(crate) fn end(&mut self, failed: bool) {
        if std::mem::take(&mut self.in_item) {
            self.write(&Marker::End { failed }.encode(self.nonce));
        }
    }

    fn write(&self, markers: &[u8]) {
        let _ = io::stdout().flush();
        os::try_flush_c_output();
        for pipe in self.pipes.iter().flatten() {
            // A task may have closed it; then the rest of its stream has no markers.
            while let Ok(pipe) = pipe.intact() {
                match write(pipe, markers) {
                    // A program may have made it one that does not wait.
                    Err(Errno::EAGAIN) => {
                        let _ =
                            poll(&mut [PollFd::new(pipe, PollFlags::POLLOUT)], PollTimeout::NONE);
                    }
                    Err(Errno::EINTR) => {}
                    _ => break,
                }
            }
        }
    }
}

/// Has the stream of this process lead to the file.
fn lead(stream: Stream, file: OwnedFd) -> io::Result<()> {
    let file = above_standard(file)?;
    match stream {
        Stream::Stdout => dup2_stdout(&file)?,
        Stream::Stderr => dup2_stderr(&file)?,
    }
    Ok(())
}

/// Moves a descriptor away from the numbers of the standard streams, one of which was closed: the
/// stream would be closed with it.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() < os::FIRST_INHERITED { os::duplicate(fd.as_fd()) } else { Ok(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_introduction_survives_its_bytes() {
        let introduction = Introduction {
            incarnation: Incarnation::new(7),
            worker: WorkerId::new(4095),
            stream: Stream::Stderr,
            nonce: Nonce::new([1, u64::MAX]),
        };
        let bytes = introduction.to_bytes();
        assert_eq!(Introduction::from_bytes(&bytes), Some(introduction));
        let mut wrong = bytes;
        wrong[8] = 2;
        assert_eq!(Introduction::from_bytes(&wrong), None);
        assert_eq!(Introduction::from_bytes(&bytes[1..]), None);
    }
}
