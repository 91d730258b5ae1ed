//! A proxy without its type, and how it crosses.
//!
//! A proxy that crosses within this host, as a part of an item, a result or an argument, has the
//! server's address and its key with it. In a message over a socket the key is left out; in a value
//! for its own server all but the object's number.
//!
//! Invariant: a proxy connects when it is used for the first time in a process, never when it is
//! decoded.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pool_ipc::{
    WireDecode, WireEncode, WireFault,
    rkyv::{Archive, Deserialize, Place, Serialize, rancor::Source},
    wire,
};

use super::{Attachment, ServerRef, Session};
use crate::{
    AuthKey, Error,
    context::{self, Destination},
    protocol::{Body, SERVER, ServerId},
    transport::ConnectionOptions,
};

wire! {
    /// A proxy as it lies in an archive.
    #[doc(hidden)]
    #[derive(Debug)]
    pub struct ProxyParts {
        server: [u64; 2],
        object: u64,
        /// Empty for a proxy of the server that the archive is for.
        address: String,
        key: Vec<u8>,
        max_message_bytes: u64,
        handshake_nanos: u64,
    }
}

/// A proxy without its type. Clones share the reference.
#[doc(hidden)]
#[derive(Clone)]
pub struct RawProxy {
    inner: Arc<Inner>,
}

struct Inner {
    server: Arc<ServerRef>,
    object: u64,
    attachment: Mutex<Option<Arc<Attachment>>>,
}

impl RawProxy {
    fn new(server: Arc<ServerRef>, object: u64, attachment: Option<Arc<Attachment>>) -> Self {
        Self { inner: Arc::new(Inner { server, object, attachment: Mutex::new(attachment) }) }
    }

    /// The proxy of the server itself.
    pub(crate) fn of_server(session: &Arc<Session>) -> Result<Self, Error> {
        let attachment = session.attach(SERVER, "")?;
        Ok(Self::new(session.server().clone(), SERVER, Some(attachment)))
    }

    /// The proxy of an object that the server has just given to the session.
    pub(crate) fn of_grant(session: &Arc<Session>, object: u64) -> Self {
        Self::new(session.server().clone(), object, Some(session.adopt(object)))
    }

    pub(crate) fn server(&self) -> &Arc<ServerRef> {
        &self.inner.server
    }

    pub(crate) fn object(&self) -> u64 {
        self.inner.object
    }

    pub(crate) fn server_id(&self) -> ServerId {
        self.inner.server.id
    }

    /// This process's reference to the object.
    pub(crate) fn attachment(&self, type_name: &str) -> Result<Arc<Attachment>, Error> {
        let mut slot = self.inner.attachment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attachment) = &*slot
            && attachment.session().is_usable()
        {
            return Ok(attachment.clone());
        }
        let session = Session::of(&self.inner.server)?;
        let attachment = session.attach(self.inner.object, type_name)?;
        *slot = Some(attachment.clone());
        Ok(attachment)
    }

    /// Calls a method of the object.
    pub(crate) fn call(
        &self,
        type_name: &str,
        method: u32,
        body: &Body,
    ) -> Result<(Body, Arc<Attachment>), Error> {
        let attachment = self.attachment(type_name)?;
        let reply = attachment.session().call(self.inner.object, method, body)?;
        Ok((reply, attachment))
    }

    fn to_parts(&self) -> ProxyParts {
        let Inner { server, object, attachment } = &*self.inner;
        let destination = context::destination(server.id, *object);
        let mut parts = ProxyParts {
            server: server.id,
            object: *object,
            address: String::new(),
            key: Vec::new(),
            max_message_bytes: server.options.max_message_bytes,
            handshake_nanos: u64::try_from(server.options.handshake_timeout.as_nanos())
                .unwrap_or(u64::MAX),
        };
        if matches!(destination, Destination::OwnServer) {
            return parts;
        }
        parts.address = server.address.to_string();
        if let (Destination::Memory, Some(key)) = (&destination, &server.options.key) {
            parts.key = key.as_bytes().to_vec();
        }
        let attachment = attachment.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attachment) = &*attachment {
            attachment.set_sent();
        }
        parts
    }

    fn from_parts(parts: ProxyParts) -> Result<Self, WireFault> {
        let ProxyParts { server: id, object, address, key, .. } = parts;
        if address.is_empty() {
            // Within what a server has sent, or at the server.
            let (server, session) = context::origin(object).ok_or(WireFault::Invalid)?;
            if server.id != id {
                return Err(WireFault::Invalid);
            }
            let attachment = session.map(|session| session.adopt(object));
            return Ok(Self::new(server, object, attachment));
        }
        let invalid = |_: Error| WireFault::Invalid;
        let key = (!key.is_empty()).then(|| AuthKey::new(key)).transpose().map_err(invalid)?;
        let options = ConnectionOptions {
            key,
            max_message_bytes: parts.max_message_bytes,
            handshake_timeout: Duration::from_nanos(parts.handshake_nanos),
        };
        options.check().map_err(invalid)?;
        let address = address.parse().map_err(invalid)?;
        Ok(Self::new(ServerRef::new(address, options, id), object, None))
    }
}

impl fmt::Debug for RawProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} at {}", self.inner.object, self.inner.server.address)
    }
}

/// What an encoded proxy leaves for its place in the archive.
#[doc(hidden)]
pub struct RawProxyResolver {
    parts: ProxyParts,
    resolver: <ProxyParts as Archive>::Resolver,
}

impl fmt::Debug for RawProxyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawProxyResolver").finish_non_exhaustive()
    }
}

impl Archive for RawProxy {
    type Archived = ArchivedProxyParts;
    type Resolver = RawProxyResolver;

    fn resolve(&self, resolver: RawProxyResolver, out: Place<ArchivedProxyParts>) {
        resolver.parts.resolve(resolver.resolver, out);
    }
}

impl Serialize<WireEncode> for RawProxy {
    fn serialize(&self, serializer: &mut WireEncode) -> Result<RawProxyResolver, WireFault> {
        let parts = self.to_parts();
        let resolver = parts.serialize(serializer)?;
        Ok(RawProxyResolver { parts, resolver })
    }
}

impl Deserialize<RawProxy, WireDecode> for ArchivedProxyParts {
    fn deserialize(&self, deserializer: &mut WireDecode) -> Result<RawProxy, WireFault> {
        let parts: ProxyParts = self.deserialize(deserializer)?;
        RawProxy::from_parts(parts).map_err(<WireFault as Source>::new)
    }
}
