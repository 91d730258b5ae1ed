//! The thread of a dashboard.
//!
//! Invariant: what it holds is bounded: so many connections, and so much of each. A stranger, which
//! has not shown that it knows the token, gives way to the next one where all places or all
//! descriptors are taken, so no number of idle connections keeps the page away.

use std::{
    fmt, io,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, AsRawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{Shutdown, shutdown},
};
use pool_core::{PrivateFd, Serve};

use super::{
    answer::{Answer, Bytes, COMMON, FORBIDDEN, Gate, NOT_FOUND, respond},
    connection::{Connection, Event, Kind},
    programs::{OWN, Programs},
};
use crate::{
    DashboardError,
    address::Address,
    frame::{Cancel, Frame, FrameReader, PROTOCOL},
    own::OwnProgram,
    token::Token,
    waker::Waker,
};

/// The most connections at a time.
const CONNECTIONS: usize = 64;
/// The most pages that get events at a time.
const PAGES: usize = 16;
/// How many connections are accepted before those that are there have their turn.
const ACCEPTS: usize = 64;
/// Time between two events.
const TICK: Duration = Duration::from_millis(500);
/// How long no connection is accepted after the system has refused one, for want of descriptors.
const REST: Duration = Duration::from_millis(200);

pub(crate) struct Server {
    listener: PrivateFd<TcpListener>,
    gate: Gate,
    page: Bytes,
    waker: Waker,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

struct State {
    connections: Vec<Connection>,
    programs: Programs,
    /// When pages get the next event.
    tick: Instant,
    /// When connections are accepted again.
    accepts: Option<Instant>,
}

impl Server {
    /// Listens at the first of the ports that is free.
    ///
    /// # Errors
    ///
    /// [`DashboardError::NoPortFree`], [`DashboardError::Io`].
    pub(crate) fn new(
        (first, last): (u16, u16),
        may_cancel: bool,
        own: Option<OwnProgram>,
    ) -> Result<Arc<Self>, DashboardError> {
        let token = Token::random()?;
        let nonce = Token::random()?;
        let listener = listen(first, last)?;
        let port = listener.local_addr()?.port();
        let programs = Programs::new(own);
        let state =
            State { connections: Vec::new(), programs, tick: Instant::now(), accepts: None };
        Ok(Arc::new(Self {
            listener,
            gate: Gate { port, token, may_cancel },
            page: page(&nonce),
            waker: Waker::new()?,
            is_closed: AtomicBool::new(false),
            state: Mutex::new(state),
        }))
    }

    pub(crate) fn address(&self) -> Address {
        Address { port: self.gate.port, token: self.gate.token }
    }

    /// Tells all pages the last state, and that it is the last one. The thread has ended.
    pub(crate) fn close(&self) {
        let was_closed = self.is_closed.swap(true, Ordering::SeqCst);
        let mut state = self.lock();
        if was_closed {
            return state.connections.clear();
        }
        let last = state.event(&self.gate, "end");
        let now = Instant::now();
        for connection in &mut state.connections {
            if matches!(connection.kind, Kind::Events) {
                connection.send(last.clone(), now);
            }
        }
        state.connections.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something happens, and sees to it.
    fn run_once(&self, state: &mut State) {
        let now = Instant::now();
        let accepts = state.accepts.is_none_or(|at| at <= now);
        let listens = if accepts { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.waker.fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), listens),
        ];
        for connection in &state.connections {
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, !connection.output.is_empty());
            fds.push(PollFd::new(connection.stream().as_fd(), events));
        }
        if let Err(errno) = poll(&mut fds, state.sleep(now))
            && errno != Errno::EINTR
        {
            // Without memory for the call the thread must not spin.
            std::thread::sleep(REST);
        }
        let ready: Vec<_> =
            fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty())).collect();
        drop(fds);
        self.waker.reset();
        let now = Instant::now();
        for (at, ready) in ready[2..].iter().enumerate() {
            if ready.contains(PollFlags::POLLOUT) {
                state.connections[at].write(now);
            }
            if !(*ready & !PollFlags::POLLOUT).is_empty()
                && let Some(event) = state.connections[at].read(&self.gate, now)
            {
                self.handle(state, at, event, now);
            }
        }
        state.end_connections(now);
        state.tick(&self.gate, now);
        if !ready[1].is_empty() {
            self.accept(state, now);
        }
    }

    fn handle(&self, state: &mut State, at: usize, event: Event, now: Instant) {
        let answer = match event {
            Event::Asked(answer) => answer,
            Event::Frames(program, frames) => {
                for frame in frames {
                    match frame {
                        Frame::State(program_state) => {
                            state.programs.update(program, program_state)
                        }
                        _ => state.connections[at].end(),
                    }
                }
                return;
            }
        };
        let response = match answer {
            Answer::Respond(bytes) => bytes,
            Answer::Page => self.page.clone(),
            Answer::State => {
                let json = state.programs.json(self.gate.may_cancel);
                respond("200 OK", "application/json", "", &json)
            }
            Answer::Events if state.pages() >= PAGES => {
                respond("503 Service Unavailable", PLAIN, "", "Too many pages are open.\n")
            }
            Answer::Events => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{COMMON}\r\nretry: 2000\n\n"
                );
                let first = state.event(&self.gate, "state");
                let connection = &mut state.connections[at];
                connection.become_kind(Kind::Events);
                connection.send(head.into_bytes().into(), now);
                connection.send(first, now);
                if state.pages() == 1 {
                    state.tick = now + TICK;
                }
                return;
            }
            Answer::Program => match state.programs.connect() {
                Some(id) => {
                    let head = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {PROTOCOL}\r\n\
                         Connection: Upgrade\r\n\r\n"
                    );
                    let connection = &mut state.connections[at];
                    connection.become_kind(Kind::Program(id, FrameReader::default()));
                    connection.send(head.into_bytes().into(), now);
                    return;
                }
                None => respond("503 Service Unavailable", PLAIN, "", "Too many programs.\n"),
            },
            Answer::Cancel { program, pool, call } => state.cancel((program, pool, call), now),
        };
        state.connections[at].respond(response, now);
    }

    fn accept(&self, state: &mut State, now: Instant) {
        for _ in 0..ACCEPTS {
            let accepted = PrivateFd::new(|| self.listener.accept().map(|(stream, _)| stream));
            match accepted.and_then(|stream| Connection::new(stream, now)) {
                Ok(connection) => state.add(connection),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) if is_want_of_descriptors(&error) && state.drop_stranger() => {}
                Err(_) => {
                    state.accepts = Some(now + REST);
                    return;
                }
            }
        }
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl State {
    fn pages(&self) -> usize {
        let is_page = |connection: &&Connection| matches!(connection.kind, Kind::Events);
        self.connections.iter().filter(is_page).count()
    }

    /// How long nothing is to be done, if nothing arrives.
    fn sleep(&self, now: Instant) -> PollTimeout {
        let ends = self.connections.iter().filter_map(Connection::until);
        let tick = (self.pages() > 0).then_some(self.tick);
        let next = ends.chain(tick).chain(self.accepts.filter(|at| *at > now)).min();
        let Some(next) = next else { return PollTimeout::NONE };
        // A millisecond more: else it would wake just before the time, again and again.
        let left = next.saturating_duration_since(now) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    fn add(&mut self, connection: Connection) {
        if self.connections.len() >= CONNECTIONS && !self.drop_stranger() {
            return;
        }
        self.connections.push(connection);
    }

    /// Closes the oldest connection that has not shown the token; `false` if there is none.
    fn drop_stranger(&mut self) -> bool {
        let oldest = self.connections.iter().position(Connection::is_stranger);
        oldest.map(|oldest| self.connections.remove(oldest)).is_some()
    }

    fn end_connections(&mut self, now: Instant) {
        let programs = &mut self.programs;
        self.connections.retain(|connection| {
            let is_over = connection.is_over(now);
            if is_over && let Kind::Program(id, _) = connection.kind {
                programs.disconnect(id);
            }
            !is_over
        });
    }

    /// The state of all programs as an event.
    fn event(&mut self, gate: &Gate, name: &str) -> Bytes {
        let json = self.programs.json(gate.may_cancel);
        format!("event: {name}\ndata: {json}\n\n").into_bytes().into()
    }

    /// Sends pages the state when it is time, but for those that have not read the last one.
    fn tick(&mut self, gate: &Gate, now: Instant) {
        if now < self.tick || self.pages() == 0 {
            return;
        }
        self.tick = now + TICK;
        let event = self.event(gate, "state");
        for connection in &mut self.connections {
            if matches!(connection.kind, Kind::Events) && connection.output.is_empty() {
                connection.send(event.clone(), now);
            }
        }
    }

    fn cancel(&mut self, (program, pool, call): (u64, u64, u64), now: Instant) -> Bytes {
        let done = if program == OWN {
            self.programs.cancel_own(pool, call)
        } else if !self.programs.may_cancel(program) {
            let text = "This program lets nothing be cancelled, or has ended.\n";
            return respond(FORBIDDEN, PLAIN, "", text);
        } else {
            let of = |connection: &&mut Connection| matches!(connection.kind, Kind::Program(id, _) if id == program);
            let connection = self.connections.iter_mut().find(of);
            connection.is_some_and(|connection| {
                let frame = Frame::Cancel(Cancel { pool, call }).encode();
                connection.send(frame.into(), now);
                true
            })
        };
        if done {
            respond("202 Accepted", PLAIN, "", "It is being cancelled.\n")
        } else {
            respond(NOT_FOUND, PLAIN, "", "There is no such call any more.\n")
        }
    }
}

impl Serve for Server {
    fn serve(&self, leave: &dyn Fn() -> bool) {
        let mut state = self.lock();
        while !leave() && !self.is_over() {
            self.run_once(&mut state);
        }
    }

    fn interrupt(&self) {
        self.waker.wake();
    }

    fn is_over(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    fn fail(&self, _: pool_core::Error) {
        // Who asks now is to hear that nothing is here. (The descriptor stays until the drop.)
        let _ = shutdown(self.listener.as_fd().as_raw_fd(), Shutdown::Both);
        // What the thread has panicked at may be the state.
        drop(catch_unwind(AssertUnwindSafe(|| self.close())));
        self.lock().connections.clear();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("port", &self.gate.port).finish_non_exhaustive()
    }
}

/// Listens at the first of the ports that is free; the system chooses port 0.
fn listen(first: u16, last: u16) -> Result<PrivateFd<TcpListener>, DashboardError> {
    let mut port = first;
    loop {
        match PrivateFd::new(|| TcpListener::bind((Ipv4Addr::LOCALHOST, port))) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
            Err(error) if port == last => {
                return Err(DashboardError::NoPortFree { first, last, source: Arc::new(error) });
            }
            Err(_) => port += 1,
        }
    }
}

/// Whether an error of `accept` is one of the connection, and not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn is_want_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

/// The page, whose script and style are those with the nonce: it loads nothing else.
fn page(nonce: &Token) -> Bytes {
    let nonce = nonce.as_str();
    let policy = format!(
        "Content-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; \
         style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'\r\n"
    );
    let html = include_str!("../page/page.html")
        .replace("{nonce}", nonce)
        .replace("{style}", include_str!("../page/style.css"))
        .replace("{script}", include_str!("../page/script.js"));
    respond("200 OK", "text/html; charset=utf-8", &policy, &html)
}
