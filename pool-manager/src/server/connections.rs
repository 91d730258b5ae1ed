//! Accepts clients, one thread for each connection.
//!
//! Invariant: at most `max_unauthenticated` connections wait for their handshake: a further one
//! ends the oldest of them, so that peers that say nothing keep none out that prove themselves.

use std::{
    net::Shutdown,
    os::fd::AsFd,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    call,
    registry::Registry,
    shared::{Limits, Peer, Shared, State},
    wait::locked,
    watcher::watch,
};
use crate::{
    Error,
    client::ServerRef,
    key::random_id,
    protocol::{Body, Fault, ServerId},
    sys,
    transport::{self, Connection, Head, Kind, Socket, Stream},
};

/// A server that runs.
pub(crate) struct Running {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
    watcher: Option<JoinHandle<()>>,
    pid: u32,
}

/// Starts the threads of a server that listens at `socket`.
pub(crate) fn start(socket: Socket, limits: Limits, registry: Registry) -> Result<Running, Error> {
    let counter = || {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        EventFd::from_value_and_flags(0, flags).map_err(Error::errno)
    };
    let id: ServerId = random_id()?;
    let own = ServerRef::new(socket.address().clone(), limits.options.clone(), id);
    let shared = Arc::new(Shared {
        id,
        owner: random_id()?,
        limits,
        registry,
        own: OnceLock::from(own),
        state: Mutex::new(State::default()),
        ended: Condvar::new(),
        is_stopping: AtomicBool::new(false),
        stop: counter()?,
        watch: counter()?,
    });
    let mut running =
        Running { shared: shared.clone(), acceptor: None, watcher: None, pid: std::process::id() };
    let named = |name: &str| thread::Builder::new().name(name.into());
    let watched = shared.clone();
    let watcher = named("manager-watch").spawn(move || watch(&watched)).map_err(Error::io)?;
    running.watcher = Some(watcher);
    let accept = move || accept_all(&shared, &socket);
    running.acceptor = Some(named("manager-accept").spawn(accept).map_err(Error::io)?);
    Ok(running)
}

impl Running {
    /// Where clients find the server.
    pub(crate) fn server(&self) -> Arc<ServerRef> {
        self.shared.own.get().expect("it is set at the start").clone()
    }

    /// What ends the server by a call.
    pub(crate) fn owner(&self) -> [u64; 2] {
        self.shared.owner
    }

    /// Waits until a call ends the server.
    pub(crate) fn wait(&self) {
        let mut fds = [PollFd::new(self.shared.stop.as_fd(), PollFlags::POLLIN)];
        while !matches!(poll(&mut fds, PollTimeout::NONE), Ok(1..)) {}
    }

    /// Ends the server: waits get [`Error::ShutDown`], calls that run may end within `limit`.
    pub(crate) fn stop(&mut self, limit: Duration) {
        if self.pid != std::process::id() {
            // A fork has copied the handle; the threads are the parent's.
            std::mem::forget((self.acceptor.take(), self.watcher.take()));
            return;
        }
        let shared = &self.shared;
        shared.is_stopping.store(true, Ordering::SeqCst);
        let _ = shared.stop.write(1);
        let threads = self.acceptor.take().and_then(|acceptor| acceptor.join().ok());
        let end = Instant::now() + limit;
        let mut state = locked(&shared.state);
        for how in [Shutdown::Read, Shutdown::Both] {
            state.connections.values().for_each(|peer| peer.stream.shut_down(how));
            while how == Shutdown::Read && !state.connections.is_empty() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let waited = shared.ended.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let is_over = state.connections.is_empty();
        drop(state);
        let _ = shared.watch.write(1);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        for thread in threads.into_iter().flatten() {
            if is_over || thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Accepts until the server is to end. Returns the threads of connections that may still run.
fn accept_all(shared: &Arc<Shared>, socket: &Socket) -> Vec<JoinHandle<()>> {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let fd = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [fd(socket.as_fd()), fd(shared.stop.as_fd())];
        let _ = poll(&mut fds, PollTimeout::NONE);
        if shared.is_stopping.load(Ordering::SeqCst) {
            return threads;
        }
        if !fds[0].any().unwrap_or(false) {
            // A call has asked for the end, which comes as soon as `stop` runs.
            if fds[1].any().unwrap_or(false) {
                thread::park_timeout(Duration::from_millis(5));
            }
            continue;
        }
        threads.retain(|thread| !thread.is_finished());
        let stream = match socket.try_accept() {
            Ok(Some(stream)) => stream,
            Ok(None) => continue, // its client has gone
            Err(_) => {
                // Most likely there are no descriptors left: those without a handshake give theirs
                // up.
                while end_oldest(shared, 0) {}
                thread::park_timeout(Duration::from_millis(5));
                continue;
            }
        };
        let stream = Arc::new(stream);
        end_oldest(shared, shared.limits.max_unauthenticated);
        let id = {
            let mut state = locked(&shared.state);
            state.last_connection += 1;
            let id = state.last_connection;
            state.connections.insert(id, Peer { stream: stream.clone(), session: None });
            id
        };
        let server = shared.clone();
        let serve = move || {
            let _ = serve(&server, stream, id);
            server.leave(id);
        };
        match thread::Builder::new().name("manager-client".into()).spawn(serve) {
            Ok(thread) => threads.push(thread),
            Err(_) => shared.leave(id),
        }
    }
}

/// Ends the oldest connection without a handshake if there are `most` of them.
fn end_oldest(shared: &Shared, most: usize) -> bool {
    let mut state = locked(&shared.state);
    let waiting = state.connections.iter().filter(|(_, peer)| peer.session.is_none());
    let (count, oldest) =
        waiting.fold((0, u64::MAX), |(count, oldest), (id, _)| (count + 1, oldest.min(*id)));
    if count == 0 || count < most {
        return false;
    }
    if let Some(peer) = state.connections.remove(&oldest) {
        peer.stream.shut_down(Shutdown::Both);
    }
    true
}

/// Serves one client to its end.
fn serve(shared: &Arc<Shared>, stream: Arc<Stream>, id: u64) -> Result<(), Error> {
    let peer = stream.peer()?;
    let options = &shared.limits.options;
    let deadline = Instant::now() + options.handshake_timeout;
    let mut connection = transport::accept(stream, options)?;
    let frame = connection.receive_frame(Some(deadline))?;
    if frame.head.kind != Kind::Join {
        return Err(Error::Malformed("a client that does not join"));
    }
    let body: Body = pool_ipc::from_bytes(&frame.body).map_err(Error::Decode)?;
    let [first, second] = body.numbers[..] else {
        return Err(Error::Malformed("a client without a session"));
    };
    let is_new = [first, second] == [0, 0];
    let session = if is_new { random_id()? } else { [first, second] };
    let process = peer.filter(|_| is_new).and_then(|(pid, _)| sys::pidfd_open(pid).ok());
    if let Err(fault) = shared.join(id, session, is_new, process) {
        return refuse(&mut connection, frame.head, fault);
    }
    let numbers = vec![shared.id[0], shared.id[1], session[0], session[1]];
    let body = Body { numbers, ..Body::default() };
    let body = pool_ipc::to_bytes(&body).map_err(Error::Encode)?;
    connection.send_frame(Head { kind: Kind::Reply, ..frame.head }, &body)?;
    let mut waker = None;
    loop {
        let frame = connection.receive_frame(None)?;
        if frame.head.kind != Kind::Call {
            return Err(Error::Malformed("a frame that is no call"));
        }
        call::answer(shared, session, &mut connection, &mut waker, frame)?;
    }
}

fn refuse(connection: &mut Connection, head: Head, fault: Fault) -> Result<(), Error> {
    let body = pool_ipc::to_bytes(&fault).map_err(Error::Encode)?;
    connection.send_frame(Head { kind: Kind::Fault, ..head }, &body)
}
