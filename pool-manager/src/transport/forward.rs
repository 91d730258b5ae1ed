//! The way to a server over streams of the program's own, such as TLS sessions.
//!
//! ```text
//! proxies ↔ Unix socket ↔ Forwarder ↔ a stream of the program's ↔ forward ↔ the server's address
//! ```
//!
//! Invariant: bytes are passed on in the order that the protocol has: the handshake, then a call
//! and its reply in turn. So one thread at a time uses a stream, and no memory is taken for what a
//! length says. Who may connect is decided by the two ends, whose handshake goes through.

use std::{
    io,
    net::Shutdown,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    ByteStream, ConnectionOptions, Socket, Stream, client::dial, frame, handshake, stream::wait_for,
};
use crate::{Address, Error};

/// How many bytes are passed on at a time.
const STEP: usize = 64 << 10;

/// Serves the client at the other end of `stream`, which has come to this process over a way of its
/// own, such as a TLS session, at the server with this address. Returns when either side has ended.
///
/// The program accepts such streams and gives each one a thread. Its other end is a [`Forwarder`].
/// The server's key is checked as ever: by the client itself, through the stream.
///
/// A client that ends while a call of it waits at the server is noticed when that call returns.
/// Give the stream a read timeout: it bounds the handshake, so that a peer that says nothing keeps
/// nothing here. After the handshake a read that times out is tried again, unless the server has
/// ended.
///
/// # Errors
///
/// [`Error::Connect`]; [`Error::HandshakeTimedOut`] by the stream's read timeout;
/// [`Error::Malformed`] for bytes that are no manager's; [`Error::Io`].
pub fn forward(stream: impl ByteStream + 'static, address: &Address) -> Result<(), Error> {
    let limit = ConnectionOptions::default().handshake_timeout;
    pass_on(&Stream::other(stream), &dial(address, limit)?)
}

/// Leads proxies to a server over streams of the program's own, such as TLS sessions.
///
/// It listens at a Unix socket that only this user's processes can use, and opens one stream for
/// each connection to it. A client that connects to its [`address`](Self::address) gets proxies
/// that work in all processes of this host, for as long as the forwarder is there (in the process
/// that has the manager they need none). Where the streams come out, [`forward`] leads them to the
/// server.
///
/// ```
/// use pool_manager::{AuthKey, Error, Forwarder, Manager, ManagerClient, forward};
/// use std::net::{TcpListener, TcpStream};
///
/// # fn main() -> Result<(), Error> {
/// // At the server. A program that others can reach wraps each stream in a TLS session.
/// let manager = Manager::builder().key(AuthKey::new("a long secret of both")?).in_thread()?;
/// let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
/// let port = listener.local_addr().expect("it is bound").port();
/// let address = manager.address().clone();
/// std::thread::spawn(move || {
///     for stream in listener.incoming().flatten() {
///         let address = address.clone();
///         let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(5)));
///         std::thread::spawn(move || forward(stream, &address));
///     }
/// });
///
/// // At the client.
/// let forwarder = Forwarder::start(move || TcpStream::connect(("127.0.0.1", port)))?;
/// let builder = pool_manager::Client::builder().key(AuthKey::new("a long secret of both")?);
/// let client: ManagerClient = builder.connect_manager(forwarder.address())?;
/// let scores = client.dict::<String, u64>()?;
/// scores.insert("Ada".into(), 3)?;
/// assert_eq!(scores.get(&"Ada".into())?, Some(3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Forwarder {
    address: Address,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    pid: u32,
}

#[derive(Debug)]
struct Shared {
    stop: EventFd,
    /// The Unix sockets of connections that are served.
    served: Mutex<Vec<Weak<Stream>>>,
}

impl Forwarder {
    /// Begins to forward. `open` makes a stream to the place where [`forward`] is called; it is
    /// called by a thread of its own for each connection, and a failure ends that connection.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], and [`Error::Io`] for resources that the system refuses.
    pub fn start<S: ByteStream + 'static>(
        open: impl Fn() -> io::Result<S> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let address = Address::unique()?;
        let socket = Socket::bind(&address, &ConnectionOptions::default())?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = EventFd::from_value_and_flags(0, flags).map_err(Error::errno)?;
        let shared = Arc::new(Shared { stop, served: Mutex::default() });
        let (own, open) = (shared.clone(), Arc::new(open));
        let acceptor = thread::Builder::new()
            .name("manager-forward".into())
            .spawn(move || accept_all(&own, &socket, &open))
            .map_err(Error::io)?;
        Ok(Self { address, shared, acceptor: Some(acceptor), pid: std::process::id() })
    }

    /// Where clients of this host connect to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Ends the forwarding: calls that wait get [`Error::Disconnected`]. A thread that waits at a
/// stream of the program's ends with that stream.
impl Drop for Forwarder {
    fn drop(&mut self) {
        let acceptor = self.acceptor.take();
        if self.pid != std::process::id() {
            // A fork has copied the handle; the thread is the parent's.
            std::mem::forget(acceptor);
            return;
        }
        let _ = self.shared.stop.write(1);
        let _ = acceptor.map(JoinHandle::join);
        let served = self.shared.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter().filter_map(Weak::upgrade).for_each(|stream| stream.shut_down(Shutdown::Both));
    }
}

fn accept_all<S: ByteStream + 'static>(
    shared: &Shared,
    socket: &Socket,
    open: &Arc<impl Fn() -> io::Result<S> + Send + Sync + 'static>,
) {
    loop {
        let fd = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [fd(socket.as_fd()), fd(shared.stop.as_fd())];
        let waited = wait_for(&mut fds, None);
        if waited.is_err() || fds[1].any().unwrap_or(true) {
            return;
        }
        let stream = match socket.try_accept() {
            Ok(Some(stream)) => Arc::new(stream),
            Ok(None) => continue, // its client has gone
            Err(_) => {
                // Most likely there are no descriptors left.
                thread::park_timeout(Duration::from_millis(5));
                continue;
            }
        };
        if handshake::check_user(&stream).is_err() {
            continue;
        }
        let mut served = shared.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.retain(|stream| stream.strong_count() > 0);
        served.push(Arc::downgrade(&stream));
        drop(served);
        let open = open.clone();
        let serve = move || {
            let _ = open().map(|other| pass_on(&stream, &Stream::other(other)));
            // A client sees the end of its socket, whatever the reason, and whatever has a copy.
            stream.shut_down(Shutdown::Both);
        };
        let thread = thread::Builder::new().name("manager-forward".into()).spawn(serve);
        if thread.is_err() {
            let served = shared.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.last().and_then(Weak::upgrade).inspect(|last| last.shut_down(Shutdown::Both));
        }
    }
}

/// Passes one connection on, from its handshake to the end of either side.
fn pass_on(client: &Stream, server: &Stream) -> Result<(), Error> {
    let passed = pass_all(client, server);
    for stream in [client, server] {
        stream.shut_down(Shutdown::Both);
    }
    match passed {
        Err(Error::Disconnected) => Ok(()),
        passed => passed,
    }
}

fn pass_all(client: &Stream, server: &Stream) -> Result<(), Error> {
    let mut way = Way { client, server, buffer: vec![0; STEP] };
    way.shake_hands().map_err(|error| match error {
        Error::Io(source) if is_time_out(&source) => {
            Error::HandshakeTimedOut(ConnectionOptions::default().handshake_timeout)
        }
        error => error,
    })?;
    loop {
        way.pass_frame(true)?;
        way.pass_frame(false)?;
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The two sides of a connection.
struct Way<'a> {
    client: &'a Stream,
    server: &'a Stream,
    buffer: Vec<u8>,
}

impl<'a> Way<'a> {
    fn shake_hands(&mut self) -> Result<(), Error> {
        for (from_client, mut left) in
            [(false, handshake::HELLO), (true, handshake::ANSWER), (false, handshake::HELLO)]
        {
            while left > 0 {
                left -= self.pass(from_client, left)?;
            }
        }
        Ok(())
    }

    /// Passes on what one read gives.
    fn pass(&mut self, from_client: bool, most: usize) -> Result<usize, Error> {
        let (from, to) = self.sides(from_client);
        let most = most.min(STEP);
        let read = from.read(&mut self.buffer[..most]).map_err(Error::io)?;
        if read == 0 {
            return Err(Error::Disconnected);
        }
        to.write_all(&self.buffer[..read]).map_err(Error::io)?;
        Ok(read)
    }

    fn sides(&self, from_client: bool) -> (&'a Stream, &'a Stream) {
        if from_client { (self.client, self.server) } else { (self.server, self.client) }
    }

    fn pass_frame(&mut self, from_client: bool) -> Result<(), Error> {
        let (from, to) = self.sides(from_client);
        let mut head = [0; frame::HEAD];
        let mut filled = 0;
        while filled < head.len() {
            match from.read(&mut head[filled..]) {
                Ok(0) => return Err(Error::Disconnected),
                Ok(read) => filled += read,
                Err(error) => self.wait_on(from_client, error)?,
            }
        }
        let (_, mut left) = frame::Head::read(&head, u64::MAX)?;
        to.write_all(&head).map_err(Error::io)?;
        while left > 0 {
            match self.pass(from_client, left) {
                Ok(passed) => left -= passed,
                Err(Error::Io(error)) => {
                    self.wait_on(from_client, io::Error::new(error.kind(), error))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on after a read that has timed out, unless the other side has ended meanwhile, which
    /// says nothing out of turn.
    fn wait_on(&self, from_client: bool, error: io::Error) -> Result<(), Error> {
        if !is_time_out(&error) {
            return Err(Error::io(error));
        }
        let (_, other) = self.sides(from_client);
        if other.descriptor().is_some() && other.wait_readable(Instant::now())? {
            return Err(Error::Disconnected);
        }
        Ok(())
    }
}
