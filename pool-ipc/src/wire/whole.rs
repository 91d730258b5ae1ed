//! One whole value as bytes: for files, pipes and tests; the pool encodes into arenas instead.

use super::{Decoder, Encoder, Wire, WireFault, decoder::view};
use crate::AlignedBytes;

/// Encodes `value` into a buffer of its own. Bytes alone keep no shared object alive: a handle to
/// one does not decode again.
///
/// ```
/// let bytes = pool_ipc::to_bytes(&vec![Some(1u64), None]).unwrap();
/// assert_eq!(pool_ipc::from_bytes::<Vec<Option<u64>>>(&bytes).unwrap(), [Some(1), None]);
/// ```
///
/// # Errors
///
/// What the type's own serialization reports.
pub fn to_bytes<T: Wire>(value: &T) -> Result<AlignedBytes, WireFault> {
    Encoder::new().to_bytes(value)
}

impl Encoder {
    /// Encodes a value like [`to_bytes`], and returns the table of segments that its handles need:
    /// a decoder that is given the table makes the value as long as the segments are kept.
    ///
    /// # Errors
    ///
    /// What the type's own serialization reports.
    pub fn to_bytes<T: Wire>(&mut self, value: &T) -> Result<AlignedBytes, WireFault> {
        let len = self.measure(value, 0)?;
        let mut bytes = AlignedBytes::new();
        bytes.resize(len);
        // SAFETY: the buffer is ours, aligned, and `len` bytes long.
        unsafe { self.encode_at(value, bytes.as_mut_ptr(), len, 0)? };
        Ok(bytes)
    }
}

/// Checks `bytes` and makes the value.
///
/// They have to be aligned for the archive: what [`to_bytes`] gives is. A part of a buffer that
/// begins at a multiple of 16 is for all types of std, anything else is copied first:
///
/// ```
/// use pool_ipc::rkyv::util::AlignedVec;
///
/// let bytes = pool_ipc::to_bytes(&vec![1u64, 2])?;
/// let message = [b"1", &bytes[..]].concat(); // a head of one byte, then the value
/// let mut aligned = AlignedVec::<16>::new();
/// aligned.extend_from_slice(&message[1..]);
/// assert_eq!(pool_ipc::from_bytes::<Vec<u64>>(&aligned)?, [1, 2]);
/// # Ok::<(), pool_ipc::WireFault>(())
/// ```
///
/// # Errors
///
/// [`WireFault::Invalid`] when the bytes are no valid archive of `T`, or not aligned for it;
/// [`WireFault::Segment`] for a handle to a shared object.
pub fn from_bytes<T: Wire>(bytes: &[u8]) -> Result<T, WireFault> {
    Decoder::new().decode(bytes)
}

/// Checks `bytes` and reads them in place; aligned as for [`from_bytes`].
///
/// # Errors
///
/// As [`from_bytes`].
pub fn view_bytes<T: Wire>(bytes: &[u8]) -> Result<&T::Archived, WireFault> {
    view::<T>(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    fn round_trip<T: Wire + PartialEq + std::fmt::Debug>(value: T) {
        let bytes = to_bytes(&value).unwrap();
        assert_eq!(from_bytes::<T>(&bytes).unwrap(), value);
        if !bytes.is_empty() {
            assert!(from_bytes::<T>(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn values_come_back() {
        round_trip(());
        round_trip(1usize << 40);
        round_trip(String::from("naïve"));
        round_trip(vec![vec![1.5f64], vec![]]);
        round_trip((1u8, Some('x'), [true, false], -3i64));
        round_trip(Ok::<String, Vec<u8>>("a".into()));
        round_trip((0..2000u64).map(|i| (format!("{i}"), i)).collect::<HashMap<_, _>>());
        round_trip(BTreeMap::from([(1, "a".to_string())]));
        round_trip((0..5000).map(|i| i.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn truncated_and_foreign_bytes_are_refused() {
        let bytes = to_bytes(&(5u64, vec![String::from("abcdefghij"); 3])).unwrap();
        assert!(from_bytes::<(u64, Vec<String>)>(&bytes[..bytes.len() - 16]).is_err());
        let mut twisted = AlignedBytes::new();
        twisted.resize(1);
        // SAFETY: one byte, ours.
        unsafe { twisted.as_mut_ptr().write(7) };
        assert_eq!(from_bytes::<bool>(&twisted), Err(WireFault::Invalid));
    }
}
