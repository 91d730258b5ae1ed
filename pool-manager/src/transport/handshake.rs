//! How both sides of a new connection prove that they know the key.
//!
//! ```text
//! listener → client   PMH1, whether there is a key, 3 zero bytes, nonce L       (40 bytes)
//! client → listener   PMH1, whether there is a key, 3 zero bytes, nonce C,
//!                     HMAC(key, "client" label ‖ L ‖ C)                        (72 bytes)
//! listener → client   1, or 0 for no; HMAC(key, "listener" label ‖ L ‖ C)      (40 bytes)
//! ```
//!
//! HMAC-SHA-256 (RFC 2104). Each side's proof has both nonces and a label of its own in it, so one
//! of an earlier connection, or the other side's own, proves nothing. Without a key the proofs are
//! zero, and not looked at.
//!
//! Invariant: all lengths are fixed, so a peer that has proven nothing makes no side take memory;
//! the whole handshake has one deadline.

use std::{sync::Arc, time::Instant};

use hmac::{Hmac, KeyInit, Mac};
use nix::unistd::geteuid;
use sha2::Sha256;

use super::{Connection, ConnectionOptions, Stream};
use crate::{AuthKey, Error, key::random_bytes};

const MAGIC: [u8; 4] = *b"PMH1";
const CLIENT: &[u8] = b"pool-manager handshake 1: client proves";
const LISTENER: &[u8] = b"pool-manager handshake 1: listener proves";
/// The bytes of each part of a listener.
pub(super) const HELLO: usize = 40;
/// The bytes of a client's part.
pub(super) const ANSWER: usize = 72;

/// The listening side.
pub(crate) fn accept(
    stream: Arc<Stream>,
    options: &ConnectionOptions,
) -> Result<Connection, Error> {
    let exchange = Exchange::new(&stream, options)?;
    let ours = random_bytes::<32>()?;
    let key = options.key.as_ref();
    exchange.send(&hello(key, &ours))?;
    let answer: [u8; ANSWER] = exchange.receive_hello()?;
    let has_key = read_hello(&answer)?;
    let theirs = &answer[8..HELLO];
    let verdict = check_keys(key, has_key)
        .and_then(|()| verify(key, CLIENT, [&ours, theirs], &answer[HELLO..]));
    let mut last = [0; HELLO];
    if verdict.is_ok() {
        last[0] = 1;
        last[8..].copy_from_slice(&prove(key, LISTENER, [&ours, theirs]));
    }
    let sent = exchange.send(&last);
    verdict?;
    sent?;
    Ok(Connection::new(stream, options))
}

/// The connecting side.
pub(crate) fn connect(stream: Stream, options: &ConnectionOptions) -> Result<Connection, Error> {
    let exchange = Exchange::new(&stream, options)?;
    let key = options.key.as_ref();
    let first: [u8; HELLO] = exchange.receive_hello()?;
    let has_key = read_hello(&first)?;
    check_keys(key, has_key)?;
    let theirs = &first[8..];
    let ours = random_bytes::<32>()?;
    let mut answer = [0; ANSWER];
    answer[..HELLO].copy_from_slice(&hello(key, &ours));
    answer[HELLO..].copy_from_slice(&prove(key, CLIENT, [theirs, &ours]));
    exchange.send(&answer)?;
    let last: [u8; HELLO] = exchange.receive()?;
    if last[0] != 1 {
        return Err(Error::Refused);
    }
    verify(key, LISTENER, [theirs, &ours], &last[8..])?;
    Ok(Connection::new(Arc::new(stream), options))
}

fn hello(key: Option<&AuthKey>, nonce: &[u8; 32]) -> [u8; HELLO] {
    let mut bytes = [0; HELLO];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4] = u8::from(key.is_some());
    bytes[8..].copy_from_slice(nonce);
    bytes
}

/// Whether the other side has a key.
fn read_hello(bytes: &[u8]) -> Result<bool, Error> {
    match bytes[4..8] {
        [has_key @ (0 | 1), 0, 0, 0] => Ok(has_key == 1),
        _ => Err(Error::Malformed("a handshake of another version")),
    }
}

fn check_keys(ours: Option<&AuthKey>, theirs: bool) -> Result<(), Error> {
    match (ours, theirs) {
        (Some(_), false) => Err(Error::KeyNotUsed),
        (None, true) => Err(Error::KeyRequired),
        _ => Ok(()),
    }
}

fn mac(key: &AuthKey, label: &[u8], [listener, client]: [&[u8]; 2]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(label);
    mac.update(listener);
    mac.update(client);
    mac
}

fn prove(key: Option<&AuthKey>, label: &[u8], nonces: [&[u8]; 2]) -> [u8; 32] {
    key.map_or([0; 32], |key| mac(key, label, nonces).finalize().into_bytes().into())
}

/// Compares in a time that does not depend on where the two differ.
fn verify(
    key: Option<&AuthKey>,
    label: &[u8],
    nonces: [&[u8]; 2],
    proof: &[u8],
) -> Result<(), Error> {
    let Some(key) = key else { return Ok(()) };
    mac(key, label, nonces).verify_slice(proof).map_err(|_| Error::Refused)
}

/// Refuses the peer of a Unix socket if that is another user.
pub(super) fn check_user(stream: &Stream) -> Result<(), Error> {
    match stream.peer()? {
        Some((_, uid)) if uid != geteuid().as_raw() => Err(Error::OtherUser { uid }),
        _ => Ok(()),
    }
}

/// A stream with the deadline of its handshake.
struct Exchange<'a> {
    stream: &'a Stream,
    options: &'a ConnectionOptions,
    deadline: Instant,
}

impl<'a> Exchange<'a> {
    /// Begins a handshake, with the peer of a Unix socket if that is this user.
    fn new(stream: &'a Stream, options: &'a ConnectionOptions) -> Result<Self, Error> {
        check_user(stream)?;
        let deadline = Instant::now() + options.handshake_timeout;
        Ok(Self { stream, options, deadline })
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::io)
    }

    /// Receives a part that begins as a handshake does; what begins otherwise is not waited for.
    fn receive_hello<const N: usize>(&self) -> Result<[u8; N], Error> {
        let begin: [u8; MAGIC.len()] = self.receive()?;
        if begin != MAGIC {
            return Err(Error::Malformed("no handshake begins here"));
        }
        let mut bytes = [0; N];
        bytes[..MAGIC.len()].copy_from_slice(&begin);
        self.fill(&mut bytes, MAGIC.len())?;
        Ok(bytes)
    }

    fn receive<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn fill(&self, bytes: &mut [u8], mut filled: usize) -> Result<(), Error> {
        while filled < bytes.len() {
            if self.stream.descriptor().is_some() && !self.stream.wait_readable(self.deadline)? {
                return Err(Error::HandshakeTimedOut(self.options.handshake_timeout));
            }
            match self.stream.read(&mut bytes[filled..]).map_err(Error::io)? {
                0 => return Err(Error::Disconnected),
                read => filled += read,
            }
        }
        Ok(())
    }
}
