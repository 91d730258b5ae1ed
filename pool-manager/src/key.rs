//! The key that two sides prove to each other.
//!
//! Invariant: a key is never formatted, and never sent over a socket of this crate.

use std::{fmt, fs::File, io::Read, sync::Arc};

use crate::Error;

/// What both sides of a connection know and neither of them sends: 16 to 1024 bytes.
///
/// ```
/// use pool_manager::{AuthKey, Error};
///
/// let key = AuthKey::random()?;
/// assert_eq!(AuthKey::new(key.as_bytes())?, key);
/// assert!(matches!(AuthKey::new(b"short"), Err(Error::InvalidInput(_))));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct AuthKey(Arc<[u8]>);

impl AuthKey {
    /// The fewest bytes of a key.
    pub const MIN_BYTES: usize = 16;
    /// The most bytes of a key.
    pub const MAX_BYTES: usize = 1024;

    /// A key from bytes that the other side has, too. They should be random: who listens on the
    /// network can try words at leisure.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for fewer than 16 and for more than 1024 bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        let bytes = bytes.as_ref();
        if (Self::MIN_BYTES..=Self::MAX_BYTES).contains(&bytes.len()) {
            return Ok(Self(bytes.into()));
        }
        let (least, most, len) = (Self::MIN_BYTES, Self::MAX_BYTES, bytes.len());
        Err(Error::InvalidInput(format!("a key has {least} to {most} bytes, not {len}")))
    }

    /// A key of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] without `/dev/urandom`.
    pub fn random() -> Result<Self, Error> {
        Ok(Self(Arc::new(random_bytes::<32>()?)))
    }

    /// The bytes, to be handed to the other side by a way that others cannot read.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for AuthKey {
    /// Takes the same time wherever two keys of one length differ.
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&*other.0).fold(0, |bits, (a, b)| bits | (a ^ b));
        self.0.len() == other.0.len() && std::hint::black_box(differing) == 0
    }
}

impl Eq for AuthKey {}

impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey(..)")
    }
}

/// Bytes that cannot be foreseen.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(Error::io)?;
    Ok(bytes)
}

/// A number of 128 bits that no other has.
pub(crate) fn random_id() -> Result<[u64; 2], Error> {
    let bytes = random_bytes::<16>()?;
    let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
    Ok([half(0), half(8)])
}
