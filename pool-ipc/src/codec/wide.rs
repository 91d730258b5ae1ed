//! Integers of 128 bits in MessagePack, which has none: an extension type.
//!
//! Invariant: only what asks for such an integer reads one. Written as plain bytes it could be
//! taken for a text by what asks the bytes what they hold.

use std::fmt;

use rmp_serde::MSGPACK_EXT_STRUCT_NAME;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Unexpected, Visitor},
};

/// An integer, as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wide {
    Signed(i128),
    Unsigned(u128),
}

impl Wide {
    const SIGNED: i8 = 0;
    const UNSIGNED: i8 = 1;

    pub(super) fn signed(self) -> Option<i128> {
        match self {
            Self::Signed(value) => Some(value),
            Self::Unsigned(value) => value.try_into().ok(),
        }
    }

    pub(super) fn unsigned(self) -> Option<u128> {
        match self {
            Self::Signed(value) => value.try_into().ok(),
            Self::Unsigned(value) => Some(value),
        }
    }
}

impl Serialize for Wide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content = match *self {
            Self::Signed(value) => (Self::SIGNED, Bytes(value.to_be_bytes())),
            Self::Unsigned(value) => (Self::UNSIGNED, Bytes(value.to_be_bytes())),
        };
        serializer.serialize_newtype_struct(MSGPACK_EXT_STRUCT_NAME, &content)
    }
}

impl<'de> Deserialize<'de> for Wide {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Bytes([u8; 16]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesReader)
    }
}

struct BytesReader;

impl Visitor<'_> for BytesReader {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("16 bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        bytes.try_into().map(Bytes).map_err(|_| E::invalid_length(bytes.len(), &self))
    }
}

/// Takes narrower integers, too: a type may write one and read a wide one.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Wide;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Wide, E> {
        Ok(Wide::Signed(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Wide, E> {
        Ok(Wide::Unsigned(value.into()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, content: D) -> Result<Wide, D::Error> {
        content.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Wide, A::Error> {
        let kind = parts.next_element::<i8>()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let bytes = parts.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        match (kind, bytes) {
            (Wide::SIGNED, Bytes(bytes)) => Ok(Wide::Signed(i128::from_be_bytes(bytes))),
            (Wide::UNSIGNED, Bytes(bytes)) => Ok(Wide::Unsigned(u128::from_be_bytes(bytes))),
            (kind, _) => Err(A::Error::invalid_value(Unexpected::Signed(kind.into()), &self)),
        }
    }
}
