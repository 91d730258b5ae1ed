//! What all proxies have.

use std::sync::Arc;

use pool_ipc::Wire;

use super::{Attachment, RawProxy};
use crate::{
    Address, Error, context,
    protocol::{Blob, Body},
};

/// A typed handle of an object at a server.
///
/// Proxies are [`Wire`]: they may be items, results, arguments of processes, values in other
/// objects of the same server, and parts of all these. A proxy connects where it is used first; a
/// clone shares the reference of the original. The object goes when its last proxy is gone: dropped
/// or ended with its process. For one that was sent, the server keeps the object for 60 more
/// seconds, so that it can arrive.
pub trait Proxy: Wire + Clone {
    /// The name of the type at the server.
    const TYPE_NAME: &'static str;

    #[doc(hidden)]
    fn from_raw(raw: RawProxy) -> Self;

    #[doc(hidden)]
    fn raw(&self) -> &RawProxy;

    /// Where the server of the object is.
    fn address(&self) -> &Address {
        &self.raw().server().address
    }

    /// Whether both are proxies of one object.
    fn is_same_object<P: Proxy>(&self, other: &P) -> bool {
        let both = [self.raw(), other.raw()].map(|raw| (raw.server_id(), raw.object()));
        both[0] == both[1]
    }

    /// Calls a method of an own type.
    #[doc(hidden)]
    fn invoke<A: Wire, R: Wire>(&self, method: u32, arguments: A) -> Result<R, Error> {
        let mut reply = self.ask(method, Ask::new(self).value(&arguments)?)?;
        reply.value()?.ok_or(Error::Malformed("a method that returns nothing"))
    }

    #[doc(hidden)]
    fn ask(&self, method: u32, ask: Ask) -> Result<Reply, Error> {
        let (body, attachment) = self.raw().call(Self::TYPE_NAME, method, &ask.body)?;
        let Body { blobs, numbers, .. } = body;
        Ok(Reply { blobs: blobs.into_iter(), numbers: numbers.into_iter(), attachment })
    }
}

/// The number of a method of an own type (FNV-1a of its name).
#[doc(hidden)]
#[must_use]
pub const fn method_id(name: &str) -> u32 {
    let (bytes, mut hash, mut at) = (name.as_bytes(), 0x811c_9dc5_u32, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

/// The arguments of a call.
#[doc(hidden)]
#[derive(Debug)]
pub struct Ask {
    server: [u64; 2],
    body: Body,
}

impl Ask {
    pub(crate) fn new<P: Proxy>(proxy: &P) -> Self {
        Self { server: proxy.raw().server_id(), body: Body::default() }
    }

    pub(crate) fn value<T: Wire>(mut self, value: &T) -> Result<Self, Error> {
        self.body.blobs.push(context::encode_value(value, self.server)?);
        Ok(self)
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.body.numbers.push(number);
        self
    }
}

/// What a call returned.
#[doc(hidden)]
pub struct Reply {
    blobs: std::vec::IntoIter<Blob>,
    numbers: std::vec::IntoIter<u64>,
    attachment: Arc<Attachment>,
}

impl Reply {
    /// The next value, if there is one.
    pub(crate) fn value<T: Wire>(&mut self) -> Result<Option<T>, Error> {
        let session = self.attachment.session();
        self.blobs.next().map(|blob| session.decode(blob)).transpose()
    }

    /// All values that are left.
    pub(crate) fn values<T: Wire>(mut self) -> Result<Vec<T>, Error> {
        let mut values = Vec::with_capacity(self.blobs.len());
        while let Some(value) = self.value()? {
            values.push(value);
        }
        Ok(values)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        self.numbers.next().ok_or(Error::Malformed("a reply without its number"))
    }

    /// How many values are left.
    pub(crate) fn len(&self) -> usize {
        self.blobs.len()
    }

    /// The next number, if there is one.
    pub(crate) fn found(&mut self) -> Option<u64> {
        self.numbers.next()
    }

    pub(crate) fn attachment(self) -> Arc<Attachment> {
        self.attachment.clone()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // References in values that were not decoded.
        let session = self.attachment.session();
        self.blobs.by_ref().flat_map(|blob| blob.objects).for_each(|id| session.give_back(id));
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
