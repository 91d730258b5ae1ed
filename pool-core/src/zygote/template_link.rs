//! The zygote's link to a template.
//!
//! Invariant: the zygote waits for a template only while the template forks, which runs no code of
//! the user but fork handlers; it watches the parent meanwhile, and waits only for a limited time.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        socket::{MsgFlags, recv},
    },
    unistd::Pid,
};
use pool_ipc::board::Incarnation;

use crate::{
    ids::WorkerId,
    os,
    protocol::{HEAD, LONGEST, MessageKind, Order, send_order},
};

/// How long a template may take to fork: it copies its page tables, 40 µs or so per MiB of what it
/// holds.
const FORK_LIMIT: Duration = Duration::from_secs(60);
/// How long a template that was stopped from outside (SIGSTOP) may take to fork.
const STOPPED_LIMIT: Duration = Duration::from_secs(2);
/// Time between two checks whether the template is stopped.
const INTERVAL: Duration = Duration::from_millis(250);

/// A template that was forked and not reaped.
pub(crate) struct TemplateLink {
    pub(crate) pid: Pid,
    pidfd: Option<OwnedFd>,
    socket: OwnedFd,
    /// Whether the template has made the value.
    pub(crate) ready: bool,
    /// Whether the zygote has killed it.
    pub(crate) doomed: bool,
    /// When the zygote kills it if it has sent no message by then.
    pub(crate) due: Option<Instant>,
}

/// What a template has sent.
pub(crate) enum TemplateMessage {
    Nothing,
    Ready,
    /// It could not make the value; this is the encoded failure.
    Failed(Vec<u8>),
    /// It will send nothing more.
    Gone,
}

/// Why a template has not started a worker.
pub(crate) enum StartError {
    /// The system refused.
    Refused(io::Error),
    /// The template is gone, or hangs.
    Gone,
}

impl TemplateLink {
    pub(crate) fn new(pid: Pid, socket: OwnedFd, due: Option<Instant>) -> Self {
        let pidfd = os::pidfd_open(pid).ok();
        Self { pid, pidfd, socket, ready: false, doomed: false, due }
    }

    /// The socket that becomes readable when the template sends a message or ends.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn kill(&mut self) {
        self.doomed = true;
        // The template was not reaped, so the number is its own.
        let _ = kill(self.pid, Signal::SIGKILL);
    }

    /// Receives what the template has sent since it was forked, without waiting.
    pub(crate) fn receive_message(&mut self) -> TemplateMessage {
        match self.receive() {
            Ok(Some((MessageKind::Ready, ..))) => {
                self.ready = true;
                TemplateMessage::Ready
            }
            Ok(Some((MessageKind::Failed, _, text))) => TemplateMessage::Failed(text),
            Ok(None) => TemplateMessage::Nothing,
            Ok(Some(_)) | Err(_) => TemplateMessage::Gone,
        }
    }

    /// Has the template fork a worker, which is the zygote's child. The wait ends when one of
    /// `watched` becomes readable.
    pub(crate) fn start(
        &mut self,
        worker: WorkerId,
        incarnation: Incarnation,
        arena: BorrowedFd<'_>,
        watched: &[BorrowedFd<'_>],
    ) -> Result<Pid, StartError> {
        send_order(&self.socket, Order::START, worker, incarnation, Some(arena))
            .map_err(|_| StartError::Gone)?;
        let begun = Instant::now();
        let mut stopped = 0;
        loop {
            match self.receive() {
                Ok(Some((MessageKind::Started, pid, _))) if pid > 0 => {
                    return Ok(Pid::from_raw(pid));
                }
                Ok(Some((MessageKind::NotStarted, errno, _))) => {
                    return Err(StartError::Refused(io::Error::from_raw_os_error(errno)));
                }
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Err(StartError::Gone),
            }
            let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let others = self.pidfd.iter().map(AsFd::as_fd).chain(watched.iter().copied());
            fds.extend(others.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            let timeout = PollTimeout::try_from(INTERVAL).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) => {}
                Ok(0) => {
                    stopped = if os::is_in_state(self.pid, b'T') { stopped + 1 } else { 0 };
                    if INTERVAL * stopped > STOPPED_LIMIT || begun.elapsed() > FORK_LIMIT {
                        return Err(StartError::Gone);
                    }
                }
                // An answer counts, also if the template has ended since.
                Ok(_) if fds[0].any() == Some(true) => {}
                _ => return Err(StartError::Gone),
            }
        }
    }

    /// The next message, without waiting; an error when there will be none.
    fn receive(&self) -> io::Result<Option<(MessageKind, i32, Vec<u8>)>> {
        let mut packet = vec![0; HEAD + LONGEST];
        let len = loop {
            match recv(self.socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => break len,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        };
        let text = packet.get(HEAD..len).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec();
        let number = |at: usize| {
            i32::from_ne_bytes(packet[at..at + 4].try_into().expect("four bytes of the head"))
        };
        let kinds = [
            MessageKind::Ready,
            MessageKind::Failed,
            MessageKind::Started,
            MessageKind::NotStarted,
        ];
        let kind = kinds.into_iter().find(|kind| *kind as i32 == number(0));
        Ok(Some((kind.ok_or(io::ErrorKind::InvalidData)?, number(4), text)))
    }
}
