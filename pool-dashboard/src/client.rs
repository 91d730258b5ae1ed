//! The connection of a program to the dashboard of another one.
//!
//! Invariant: the thread waits for neither side: what the dashboard has not read yet is not added
//! to. A state is sent only where it differs from the one before.

use std::{
    fmt, io,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use pool_core::{PrivateFd, Serve};

use crate::{
    DashboardError,
    address::Address,
    frame::{Frame, FrameReader, PROTOCOL},
    own::OwnProgram,
    waker::Waker,
};

/// How long a connection may take: where the dashboard is stopped, its queue may be full.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long the dashboard may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long the last state may take to be read.
const END_LIMIT: Duration = Duration::from_millis(500);
/// Time between two states.
const TICK: Duration = Duration::from_millis(500);
/// The most bytes of an answer.
const MAX_ANSWER: usize = 4 << 10;

pub(crate) struct Client {
    stream: PrivateFd<TcpStream>,
    waker: Waker,
    is_lost: AtomicBool,
    state: Mutex<State>,
}

struct State {
    program: OwnProgram,
    reader: FrameReader,
    last: Vec<u8>,
    /// What is on its way, and how much of it was written.
    output: (Vec<u8>, usize),
    tick: Instant,
}

impl Client {
    /// Connects to a dashboard.
    ///
    /// # Errors
    ///
    /// [`DashboardError::Connect`], [`DashboardError::Refused`], [`DashboardError::Io`].
    pub(crate) fn connect(
        address: &Address,
        program: OwnProgram,
    ) -> Result<Arc<Self>, DashboardError> {
        let refused = |error: io::Error| DashboardError::Connect {
            address: address.public_text(),
            source: Arc::new(error),
        };
        let port = address.port;
        let stream = PrivateFd::new(|| {
            // (No process can be forked meanwhile.)
            TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), CONNECT_LIMIT)
        });
        let stream = stream.map_err(refused)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let head = format!(
            "POST /{}/connect HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: {PROTOCOL}\r\n\
             Connection: Upgrade\r\n\r\n",
            address.token.as_str()
        );
        (&*stream).write_all(head.as_bytes()).map_err(refused)?;
        let answer = read_answer(&stream).map_err(refused)?;
        check_answer(&answer)?;
        stream.set_nonblocking(true)?;
        let state = State {
            program,
            reader: FrameReader::default(),
            last: Vec::new(),
            output: (Vec::new(), 0),
            tick: Instant::now(),
        };
        let waker = Waker::new()?;
        Ok(Arc::new(Self {
            stream,
            waker,
            is_lost: AtomicBool::new(false),
            state: Mutex::new(state),
        }))
    }

    /// Sends the last state, and that it is the last one. The thread has ended.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over() {
            return;
        }
        let (waiting, written) = &mut state.output;
        let mut bytes = waiting.split_off(*written);
        bytes.extend(Frame::State(Box::new(state.program.state())).encode());
        bytes.extend(Frame::End.encode());
        let ends = || {
            self.stream.set_nonblocking(false)?;
            self.stream.set_write_timeout(Some(END_LIMIT))?;
            (&*self.stream).write_all(&bytes)
        };
        drop(ends());
        self.is_lost.store(true, Ordering::SeqCst);
    }

    fn run_once(&self, state: &mut State) -> io::Result<()> {
        let now = Instant::now();
        let left = state.tick.saturating_duration_since(now) + Duration::from_millis(1);
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, !state.output.0.is_empty());
        let mut fds = [
            PollFd::new(self.waker.fd(), PollFlags::POLLIN),
            PollFd::new(self.stream.as_fd(), events),
        ];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.waker.reset();
        self.read(state)?;
        if Instant::now() >= state.tick && state.output.0.is_empty() {
            state.tick = Instant::now() + TICK;
            let bytes = Frame::State(Box::new(state.program.state())).encode();
            if bytes != state.last {
                state.last.clone_from(&bytes);
                state.output = (bytes, 0);
            }
        }
        self.write(state)
    }

    fn read(&self, state: &mut State) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match (&*self.stream).read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => state.reader.push(&buffer[..count]),
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error),
        }
        loop {
            match state.reader.next() {
                Ok(None) => return Ok(()),
                Ok(Some(Frame::Cancel(cancel))) => {
                    state.program.cancel(cancel.pool, cancel.call);
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    fn write(&self, state: &mut State) -> io::Result<()> {
        let (bytes, written) = &mut state.output;
        while *written < bytes.len() {
            match (&*self.stream).write(&bytes[*written..]) {
                Ok(count) => *written += count,
                Err(error) if is_temporary(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        state.output = (Vec::new(), 0);
        Ok(())
    }
}

impl Serve for Client {
    fn serve(&self, leave: &dyn Fn() -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !leave() && !self.is_over() {
            if self.run_once(&mut state).is_err() {
                self.is_lost.store(true, Ordering::SeqCst);
            }
        }
    }

    fn interrupt(&self) {
        self.waker.wake();
    }

    fn is_over(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    fn fail(&self, _: pool_core::Error) {
        self.is_lost.store(true, Ordering::SeqCst);
        // The page shows it as lost.
        drop(self.stream.shutdown(Shutdown::Both));
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Reads the answer to the request: byte by byte, since frames follow it.
///
/// # Errors
///
/// None arrives in time.
fn read_answer(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut byte = [0];
    let until = Instant::now() + ANSWER_LIMIT;
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_ANSWER {
        if Instant::now() >= until {
            return Err(too_late());
        }
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => answer.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_temporary(&error) => return Err(too_late()),
            Err(_) => break,
        }
    }
    Ok(answer)
}

fn too_late() -> io::Error {
    let text = format!("it has not answered within {} s", ANSWER_LIMIT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// # Errors
///
/// [`DashboardError::Refused`].
fn check_answer(answer: &[u8]) -> Result<(), DashboardError> {
    let text = String::from_utf8_lossy(answer);
    let first = text.lines().next().unwrap_or_default();
    if first.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n") {
        return Ok(());
    }
    let answer = match first.strip_prefix("HTTP/1.1 ") {
        Some(status) if status.starts_with("403") => {
            "the token in the address is that of another dashboard".to_owned()
        }
        Some(status) => status.chars().take(100).collect(),
        None => "what listens there is no dashboard".to_owned(),
    };
    Err(DashboardError::Refused(answer))
}
