//! All connections of this process to one server.
//!
//! A call takes a connection that no other call uses, or opens one: calls of several threads wait
//! for each other nowhere.
//!
//! Invariant: a session is used by the process that opened it. A copy that a fork made is dropped,
//! which closes this process's copies of the sockets and says nothing to the server.

use std::{
    collections::HashMap,
    fmt,
    net::Shutdown,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Attachment, ServerRef};
use crate::{
    Address, Error,
    protocol::{Blob, Body, Fault, SERVER, SessionId, server},
    transport::{self, Connection, ConnectionOptions, Head, Kind, Stream},
};

/// The sessions of this process. Those that nothing uses stay, since the next item of a worker may
/// have a proxy of the same server, but only a few of them.
static SESSIONS: Mutex<Vec<Arc<Session>>> = Mutex::new(Vec::new());
const MOST_UNUSED: usize = 4;
/// Connections that are kept for the next call.
const MOST_IDLE: usize = 16;
/// How long a drop waits for the server.
const DROP_LIMIT: Duration = Duration::from_secs(1);

pub(crate) struct Session {
    server: Arc<ServerRef>,
    id: SessionId,
    pid: u32,
    idle: Mutex<Vec<Connection>>,
    attachments: Mutex<HashMap<u64, Weak<Attachment>>>,
    /// The streams of all connections, also of those that calls have.
    streams: Mutex<Vec<Weak<Stream>>>,
    /// A connection has failed: the server may have ended the session.
    is_broken: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// The session of this process with a server.
    pub(crate) fn of(server: &ServerRef) -> Result<Arc<Self>, Error> {
        if let Some(session) = Self::known(server) {
            return Ok(session);
        }
        let session = Self::open(&server.address, &server.options)?;
        if session.server.id != server.id {
            // Another server has got the address since.
            return Err(Error::NoSuchObject);
        }
        // Another thread may have been faster.
        Ok(Self::known(server).unwrap_or_else(|| session.keep()))
    }

    /// A session that this process has with the server.
    pub(crate) fn known(server: &ServerRef) -> Option<Arc<Self>> {
        let mut sessions = locked(&SESSIONS);
        let (usable, unusable) = sessions.drain(..).partition(|session| session.is_usable());
        *sessions = usable;
        let found = sessions.iter().find(|session| session.server.id == server.id).cloned();
        drop(sessions);
        let unusable: Vec<Arc<Self>> = unusable;
        drop(unusable);
        found
    }

    /// Opens a session with the server at an address.
    pub(crate) fn open(address: &Address, options: &ConnectionOptions) -> Result<Arc<Self>, Error> {
        let (connection, [server, id]) = join(address, options, [0, 0])?;
        let streams = Mutex::new(vec![Arc::downgrade(connection.stream())]);
        Ok(Arc::new(Self {
            streams,
            server: ServerRef::new(address.clone(), options.clone(), server),
            id,
            pid: std::process::id(),
            idle: Mutex::new(vec![connection]),
            attachments: Mutex::default(),
            is_broken: AtomicBool::new(false),
        }))
    }

    /// Lets others in this process have the session.
    pub(crate) fn keep(self: Arc<Self>) -> Arc<Self> {
        let mut sessions = locked(&SESSIONS);
        sessions.push(self.clone());
        let mut unused = sessions.iter().filter(|session| Arc::strong_count(session) == 1).count();
        let (kept, dropped): (Vec<_>, Vec<_>) = sessions.drain(..).partition(|session| {
            let goes = unused > MOST_UNUSED && Arc::strong_count(session) == 1;
            unused -= usize::from(goes);
            !goes
        });
        *sessions = kept;
        drop(sessions);
        drop(dropped);
        self
    }

    /// Has this process forget its session with a server, for whatever uses it no more.
    pub(crate) fn forget(server: &ServerRef) {
        let mut sessions = locked(&SESSIONS);
        let (dropped, kept): (Vec<_>, Vec<_>) =
            sessions.drain(..).partition(|session| session.server.id == server.id);
        *sessions = kept;
        drop(sessions);
        drop(dropped);
    }

    pub(crate) fn server(&self) -> &Arc<ServerRef> {
        &self.server
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.is_own() && !self.is_broken.load(Ordering::SeqCst)
    }

    /// Whether this process has opened it.
    pub(crate) fn is_own(&self) -> bool {
        self.pid == std::process::id()
    }

    /// Calls a method and waits for what it returns.
    pub(crate) fn call(&self, object: u64, method: u32, body: &Body) -> Result<Body, Error> {
        self.call_until(object, method, body, None)
    }

    /// Calls a method; after the deadline the session is given up.
    pub(crate) fn call_until(
        &self,
        object: u64,
        method: u32,
        body: &Body,
        deadline: Option<Instant>,
    ) -> Result<Body, Error> {
        let bytes = pool_ipc::to_bytes(body).map_err(Error::Encode)?;
        let mut connection = self.connection()?;
        let head = Head { kind: Kind::Call, object, method, serial: 0 };
        let sent = connection.send_frame(head, &bytes);
        if let Err(error @ Error::TooLarge { .. }) = sent {
            self.put_back(connection);
            return Err(error);
        }
        let reply = sent.and_then(|()| connection.receive_frame(deadline));
        let reply = reply.inspect_err(|error| self.failed(error))?;
        match reply.head.kind {
            Kind::Reply => {
                self.put_back(connection);
                pool_ipc::from_bytes(&reply.body).map_err(Error::Decode)
            }
            Kind::Fault => {
                self.put_back(connection);
                let fault: Fault = pool_ipc::from_bytes(&reply.body).map_err(Error::Decode)?;
                Err(fault.into())
            }
            _ => {
                self.set_broken();
                Err(Error::Malformed("a reply that is none"))
            }
        }
    }

    /// A connection that no other call uses.
    fn connection(&self) -> Result<Connection, Error> {
        if !self.is_usable() {
            return Err(Error::Disconnected);
        }
        if let Some(connection) = locked(&self.idle).pop() {
            return Ok(connection);
        }
        self.join()
    }

    fn join(&self) -> Result<Connection, Error> {
        let joined = join(&self.server.address, &self.server.options, self.id);
        let (connection, _) = joined.inspect_err(|error| {
            // The session goes on while the server has no room for one more connection.
            if !matches!(error, Error::ServerFull) {
                self.set_broken();
            }
        })?;
        let mut streams = locked(&self.streams);
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(connection.stream()));
        Ok(connection)
    }

    /// A connection has failed. With it the session ends, unless only a reply was too large, or did
    /// not come in the time that a drop has for it.
    fn failed(&self, error: &Error) {
        let is_unread = matches!(error, Error::TooLarge { .. } | Error::TimedOut);
        // The server ends a session with its last connection: this one still counts.
        if is_unread && let Ok(connection) = self.join() {
            self.put_back(connection);
        } else {
            self.set_broken();
        }
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = locked(&self.idle);
        if idle.len() < MOST_IDLE && self.is_usable() {
            idle.push(connection);
        }
    }

    fn set_broken(&self) {
        if self.is_broken.swap(true, Ordering::SeqCst) || !self.is_own() {
            return;
        }
        // At the server the session lives as long as a call of it, and keeps its locks.
        for stream in locked(&self.streams).iter().filter_map(Weak::upgrade) {
            stream.shut_down(Shutdown::Both);
        }
        let dropped = std::mem::take(&mut *locked(&self.idle));
        drop(dropped);
    }

    /// This process's reference to an object, which has to be of this type.
    pub(crate) fn attach(
        self: &Arc<Self>,
        object: u64,
        type_name: &str,
    ) -> Result<Arc<Attachment>, Error> {
        if object == SERVER {
            return Ok(Arc::new(Attachment::new(self.clone(), object, 0)));
        }
        let known = locked(&self.attachments).get(&object).and_then(Weak::upgrade);
        if let Some(known) = known {
            return Ok(known);
        }
        let body = Body { numbers: vec![object], texts: vec![type_name.into()], ..Body::default() };
        self.call(SERVER, server::ATTACH, &body)?;
        Ok(self.adopt(object))
    }

    /// Takes over a reference that the server has given to this session.
    pub(crate) fn adopt(self: &Arc<Self>, object: u64) -> Arc<Attachment> {
        let mut attachments = locked(&self.attachments);
        if let Some(known) = attachments.get(&object).and_then(Weak::upgrade) {
            known.add_grant();
            return known;
        }
        let attachment = Arc::new(Attachment::new(self.clone(), object, 1));
        attachments.insert(object, Arc::downgrade(&attachment));
        attachment
    }

    /// Gives back a reference that no proxy has taken.
    pub(crate) fn give_back(&self, object: u64) {
        self.release(object, 1, Duration::ZERO);
    }

    /// Gives references back; the server keeps the object for `keep`, for proxies on their way.
    pub(super) fn release(&self, object: u64, count: u64, keep: Duration) {
        if !self.is_usable() {
            return;
        }
        {
            let mut attachments = locked(&self.attachments);
            if attachments.get(&object).is_some_and(|known| known.strong_count() == 0) {
                attachments.remove(&object);
            }
        }
        let keep = u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX);
        let body = Body { numbers: vec![object, count, keep], ..Body::default() };
        self.finish(SERVER, server::RELEASE, &body);
    }

    /// A call from a drop, which waits for the reply for a second at most. The session of a server
    /// that opens no other connection then either ends.
    pub(crate) fn finish(&self, object: u64, method: u32, body: &Body) {
        if self.is_usable() {
            let deadline = Instant::now() + DROP_LIMIT;
            let _ = self.call_until(object, method, body, Some(deadline));
        }
    }

    /// Decodes a value that a call of this session returned.
    pub(crate) fn decode<T: pool_ipc::Wire>(self: &Arc<Self>, blob: Blob) -> Result<T, Error> {
        crate::context::decode_value(&blob.bytes, blob.objects, &self.server, Some(self))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server", &self.server.address).finish_non_exhaustive()
    }
}

/// Opens a connection of a session, or of a new one; returns the numbers of server and session.
fn join(
    address: &Address,
    options: &ConnectionOptions,
    session: SessionId,
) -> Result<(Connection, [SessionId; 2]), Error> {
    let deadline = Instant::now() + options.handshake_timeout;
    let mut connection = transport::connect(address, options)?;
    let body = pool_ipc::to_bytes(&Body { numbers: session.to_vec(), ..Body::default() });
    let head = Head { kind: Kind::Join, object: SERVER, method: 0, serial: 0 };
    connection.send_frame(head, &body.map_err(Error::Encode)?)?;
    let reply = connection.receive_frame(Some(deadline)).map_err(|error| match error {
        Error::TimedOut => Error::HandshakeTimedOut(options.handshake_timeout),
        error => error,
    })?;
    match reply.head.kind {
        Kind::Reply => {
            let body: Body = pool_ipc::from_bytes(&reply.body).map_err(Error::Decode)?;
            match body.numbers[..] {
                [a, b, c, d] => Ok((connection, [[a, b], [c, d]])),
                _ => Err(Error::Malformed("a server without a number")),
            }
        }
        Kind::Fault => {
            let fault: Fault = pool_ipc::from_bytes(&reply.body).map_err(Error::Decode)?;
            Err(fault.into())
        }
        _ => Err(Error::Malformed("a listener that is no server")),
    }
}
