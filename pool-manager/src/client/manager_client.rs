//! Makes objects at a server, and finds them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pool_ipc::Wire;

use super::{Proxy, RawProxy, ServerRef, Session};
use crate::{
    Address, ClientBuilder, DictProxy, Error, EventProxy, ListProxy, LockProxy, ManagedType,
    NamespaceProxy, QueueProxy, ReentrantLockProxy, SemaphoreProxy, ValueProxy, context,
    protocol::{Body, SERVER, names, server},
};

/// A client of a server: makes objects there, and finds those that others have published.
///
/// It is [`Wire`] and may be cloned: workers that get it make objects at the same server.
#[derive(Debug, Clone)]
pub struct ManagerClient {
    raw: RawProxy,
}

impl ManagerClient {
    /// Connects to the server at `address` without a key.
    ///
    /// # Errors
    ///
    /// The errors of [`ClientBuilder::connect`].
    pub fn connect(address: &Address) -> Result<Self, Error> {
        ClientBuilder::default().connect_manager(address)
    }

    pub(crate) fn of_session(session: &Arc<Session>) -> Result<Self, Error> {
        RawProxy::of_server(session).map(|raw| Self { raw })
    }

    pub(crate) fn server(&self) -> &Arc<ServerRef> {
        self.raw.server()
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.raw.server().address
    }

    /// Asks the server for an answer, and waits for it.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn ping(&self) -> Result<(), Error> {
        self.ask(server::PING, Body::default()).map(drop)
    }

    /// A new, empty dictionary.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn dict<K: Wire, V: Wire>(&self) -> Result<DictProxy<K, V>, Error> {
        self.make(names::DICT, Body::default())
    }

    /// A new list of these values.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`].
    pub fn list<T: Wire>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<ListProxy<T>, Error> {
        let id = self.server().id;
        let blobs = values.into_iter().map(|value| context::encode_value(&value, id));
        let blobs = blobs.collect::<Result<_, _>>()?;
        self.make(names::LIST, Body { blobs, ..Body::default() })
    }

    /// A new, empty namespace: values of different types by name.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn namespace(&self) -> Result<NamespaceProxy, Error> {
        self.make(names::NAMESPACE, Body::default())
    }

    /// A new value.
    ///
    /// # Errors
    ///
    /// Those of a connection; [`Error::Encode`].
    pub fn value<T: Wire>(&self, value: T) -> Result<ValueProxy<T>, Error> {
        let blobs = vec![context::encode_value(&value, self.server().id)?];
        self.make(names::VALUE, Body { blobs, ..Body::default() })
    }

    /// A new queue for at most `capacity` items; 0 for any number.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn queue<T: Wire>(&self, capacity: u64) -> Result<QueueProxy<T>, Error> {
        self.make(names::QUEUE, Body { numbers: vec![capacity], ..Body::default() })
    }

    /// A new lock.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn lock(&self) -> Result<LockProxy, Error> {
        self.make(names::LOCK, Body::default())
    }

    /// A new lock that the thread that holds it can take again.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn reentrant_lock(&self) -> Result<ReentrantLockProxy, Error> {
        self.make(names::REENTRANT_LOCK, Body::default())
    }

    /// A new event, not set.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn event(&self) -> Result<EventProxy, Error> {
        self.make(names::EVENT, Body::default())
    }

    /// A new semaphore with so many permits.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn semaphore(&self, permits: u64) -> Result<SemaphoreProxy, Error> {
        self.make(names::SEMAPHORE, Body { numbers: vec![permits], ..Body::default() })
    }

    /// A new object of an own type, made by the constructor that the server has registered for it.
    ///
    /// # Errors
    ///
    /// [`Error::NotRegistered`]; [`Error::WrongArgument`] if the constructor takes another type, by
    /// its name without modules; [`Error::Decode`] if two such types differ;
    /// [`Error::Panicked`]; those of a connection.
    pub fn create<P: ManagedType>(&self, argument: impl Wire) -> Result<P, Error> {
        let blobs = vec![context::encode_value(&argument, self.server().id)?];
        let texts = vec![P::TYPE_NAME.into(), context::name_of(&argument)];
        self.granted(server::CREATE, Body { blobs, texts, ..Body::default() })
    }

    /// Makes the object known by a name to all clients. It stays until the name is
    /// [withdrawn](Self::withdraw).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for an empty name; [`Error::NameTaken`]; [`Error::NoSuchObject`] for
    /// an object of another server; those of a connection.
    pub fn publish<P: Proxy>(&self, name: &str, proxy: &P) -> Result<(), Error> {
        if name.is_empty() {
            return Err(Error::InvalidInput("publish: the name is empty".to_string()));
        }
        if proxy.raw().server_id() != self.server().id {
            return Err(Error::NoSuchObject);
        }
        let numbers = vec![proxy.raw().object()];
        let body = Body { numbers, texts: vec![name.into()], ..Body::default() };
        self.ask(server::PUBLISH, body).map(drop)
    }

    /// The object that is published under this name.
    ///
    /// The server compares the kind of the object. What the values in it are is checked for each
    /// that is read.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`]; [`Error::WrongType`]; those of a connection.
    pub fn lookup<P: Proxy>(&self, name: &str) -> Result<P, Error> {
        let texts = vec![name.into(), P::TYPE_NAME.into()];
        self.granted(server::LOOKUP, Body { texts, ..Body::default() })
    }

    /// Takes a name back. The object goes with its last proxy.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`]; those of a connection.
    pub fn withdraw(&self, name: &str) -> Result<(), Error> {
        self.ask(server::WITHDRAW, Body { texts: vec![name.into()], ..Body::default() }).map(drop)
    }

    /// How many objects the server has.
    ///
    /// # Errors
    ///
    /// Those of a connection.
    pub fn object_count(&self) -> Result<u64, Error> {
        let (body, _) = self.ask(server::COUNT, Body::default())?;
        body.numbers.first().copied().ok_or(Error::Malformed("a reply without its number"))
    }

    /// Asks the server to end, and waits for its answer for at most `limit`.
    pub(crate) fn shut_down(&self, owner: [u64; 2], limit: Duration) -> Result<(), Error> {
        let body = Body { numbers: owner.to_vec(), ..Body::default() };
        let attachment = self.raw.attachment("")?;
        let deadline = Instant::now().checked_add(limit);
        attachment.session().call_until(SERVER, server::SHUT_DOWN, &body, deadline).map(drop)
    }

    fn make<P: Proxy>(&self, name: &str, body: Body) -> Result<P, Error> {
        self.granted(server::CREATE, Body { texts: vec![name.into()], ..body })
    }

    /// A call that gives this session a reference.
    fn granted<P: Proxy>(&self, method: u32, body: Body) -> Result<P, Error> {
        let (body, session) = self.ask(method, body)?;
        let object = body.numbers.first().copied();
        let object = object.ok_or(Error::Malformed("a reply without its object"))?;
        Ok(P::from_raw(RawProxy::of_grant(&session, object)))
    }

    fn ask(&self, method: u32, body: Body) -> Result<(Body, Arc<Session>), Error> {
        let attachment = self.raw.attachment("")?;
        let session = attachment.session().clone();
        session.call(SERVER, method, &body).map(|body| (body, session))
    }
}

impl ClientBuilder {
    /// Connects to the server of a [`Manager`](crate::Manager) at `address`.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect), among them [`Error::HandshakeTimedOut`] if a plain
    /// listener is there; [`Error::ServerFull`].
    pub fn connect_manager(&self, address: &Address) -> Result<ManagerClient, Error> {
        let session = Session::open(address, &self.options)?;
        // One session of a process is enough.
        let known = Session::known(session.server());
        ManagerClient::of_session(&known.unwrap_or_else(|| session.keep()))
    }
}

crate::proxies::crosses_as_proxy!([] ManagerClient, |raw| ManagerClient { raw });
