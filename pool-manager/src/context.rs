//! What the encoding of a value for a socket has to know of the proxies in it.
//!
//! Invariant: within an encoding for a socket no proxy writes its key. A proxy of the server that
//! the value is for writes its object's number only, and the server gets a list of those.

use std::cell::RefCell;
use std::sync::Arc;

use pool_ipc::{AlignedBytes, Encoder, SegmentFault, Wire, WireFault};

use crate::{
    Error,
    client::{ServerRef, Session},
    protocol::{Blob, ServerId},
};

/// The name of a value's type without the modules that its parts are in: those may have other paths
/// in another program.
pub(crate) fn name_of<T: ?Sized>(_: &T) -> String {
    short_name::<T>()
}

/// A type's name without modules.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let (mut short, mut word) = (String::new(), String::new());
    let mut letters = std::any::type_name::<T>().chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
        } else if letter == ':' && letters.next_if_eq(&':').is_some() {
            word.clear();
        } else {
            short.push_str(&word);
            word.clear();
            short.push(letter);
        }
    }
    short + &word
}

thread_local! {
    static ENCODING: RefCell<Option<Encoding>> = const { RefCell::new(None) };
    static DECODING: RefCell<Option<Decoding>> = const { RefCell::new(None) };
}

/// An encoding for a socket.
#[derive(Default)]
struct Encoding {
    /// The server that the value is for; none for a message of a connection.
    server: Option<ServerId>,
    /// Objects of this server in the value, each once.
    objects: Vec<u64>,
}

/// A decoding of what a server or its client has sent.
struct Decoding {
    server: Arc<ServerRef>,
    /// The session that holds the granted references; none at the server.
    session: Option<Arc<Session>>,
    granted: Vec<u64>,
}

/// Where a proxy is encoded for.
pub(crate) enum Destination {
    /// The memory of this host, or bytes of the user's.
    Memory,
    /// A socket, to whatever is behind it.
    Socket,
    /// The proxy's own server.
    OwnServer,
}

/// Where the running encoding goes, as a proxy of `object` of `server` sees it.
pub(crate) fn destination(server: ServerId, object: u64) -> Destination {
    ENCODING.with_borrow_mut(|encoding| match encoding {
        None => Destination::Memory,
        Some(Encoding { server: Some(own), objects }) if *own == server => {
            if !objects.contains(&object) {
                objects.push(object);
            }
            Destination::OwnServer
        }
        Some(_) => Destination::Socket,
    })
}

/// The server of the running decoding, and the session if it holds a reference to `object` that no
/// proxy has yet.
pub(crate) fn origin(object: u64) -> Option<(Arc<ServerRef>, Option<Arc<Session>>)> {
    DECODING.with_borrow_mut(|decoding| {
        let Decoding { server, session, granted } = decoding.as_mut()?;
        let place = granted.iter().position(|id| *id == object);
        let granting = place.and_then(|place| {
            granted.swap_remove(place);
            session.clone()
        });
        Some((server.clone(), granting))
    })
}

fn encode<T: Wire>(value: &T, encoding: Encoding) -> Result<(AlignedBytes, Vec<u64>), Error> {
    let outer = ENCODING.replace(Some(encoding));
    let restore = Restore(outer);
    let mut encoder = Encoder::new();
    let bytes = encoder.to_bytes(value).map_err(Error::Encode)?;
    if !encoder.segments().is_empty() {
        return Err(Error::Encode(WireFault::Segment(SegmentFault::NotCarried)));
    }
    let objects = ENCODING.with_borrow_mut(|now| now.take().unwrap_or_default().objects);
    drop(restore);
    Ok((bytes, objects))
}

/// Puts back the encoding around this one, also after a panic in the type's own `Serialize`.
struct Restore(Option<Encoding>);

impl Drop for Restore {
    fn drop(&mut self) {
        ENCODING.set(self.0.take());
    }
}

/// Encodes a message of a connection.
pub(crate) fn encode_message<T: Wire>(message: &T) -> Result<AlignedBytes, Error> {
    encode(message, Encoding::default()).map(|(bytes, _)| bytes)
}

/// Decodes a message of a connection.
pub(crate) fn decode_message<T: Wire>(body: &[u8]) -> Result<T, Error> {
    pool_ipc::from_bytes(body).map_err(Error::Decode)
}

/// Encodes a value that a server is to keep or to get, or has to give.
pub(crate) fn encode_value<T: Wire>(value: &T, server: ServerId) -> Result<Blob, Error> {
    let encoding = Encoding { server: Some(server), objects: Vec::new() };
    let (bytes, objects) = encode(value, encoding)?;
    Ok(Blob { bytes: bytes.to_vec(), objects })
}

/// Decodes a value that `server` has sent, or at the server what was sent to it.
pub(crate) fn decode_value<T: Wire>(
    blob: &[u8],
    objects: Vec<u64>,
    server: &Arc<ServerRef>,
    session: Option<&Arc<Session>>,
) -> Result<T, Error> {
    let mut aligned = AlignedBytes::new();
    aligned.resize(blob.len());
    aligned.as_mut_slice().copy_from_slice(blob);
    if objects.is_empty() {
        // A proxy without a reference of its own has to know its server, too.
        let decoding = Decoding { server: server.clone(), session: None, granted: Vec::new() };
        return within(decoding, || pool_ipc::from_bytes(&aligned)).0.map_err(Error::Decode);
    }
    let decoding = Decoding { server: server.clone(), session: session.cloned(), granted: objects };
    let (value, left) = within(decoding, || pool_ipc::from_bytes(&aligned));
    if let Some(session) = session {
        left.into_iter().for_each(|object| session.give_back(object));
    }
    value.map_err(Error::Decode)
}

/// Runs `act` in a decoding. Returns the references that no proxy has taken, too.
fn within<R>(decoding: Decoding, act: impl FnOnce() -> R) -> (R, Vec<u64>) {
    struct Restore(Option<Decoding>);
    impl Drop for Restore {
        fn drop(&mut self) {
            // A value that is replaced may hold the last handle of a session.
            let inner = DECODING.replace(self.0.take());
            drop(inner);
        }
    }
    let restore = Restore(DECODING.replace(Some(decoding)));
    let result = act();
    let left =
        DECODING.with_borrow_mut(|now| now.as_mut().map(|now| std::mem::take(&mut now.granted)));
    drop(restore);
    (result, left.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_have_no_modules() {
        assert_eq!(short_name::<u64>(), "u64");
        assert_eq!(short_name::<(String, [Option<Error>; 2])>(), "(String, [Option<Error>; 2])");
        assert_eq!(name_of("x"), "str");
    }
}
